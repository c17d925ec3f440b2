"""Two folders -> a blinded page for the readers and a key for the organiser."""

from __future__ import annotations

import os
import random
import secrets
import sys
from pathlib import Path
from typing import NamedTuple

from scanside.benchmarks.study.page import Embedded, embed, identifier, render
from scanside.benchmarks.study.pictures import pair, read_picture
from scanside.benchmarks.study.plan import plan
from scanside.benchmarks.study.records import Case, Key, write_key
from scanside.runtime.dicom.read import DIRECTORY, NOT_DICOM
from scanside.runtime.errors import (
    ImageError,
    NoImagesError,
    OutputExistsError,
    UnsupportedImageError,
)
from scanside.runtime.files import replace_file
from scanside.runtime.progress import task

# What the browsers still open: Chromium holds at most 512 MiB in one string.
MAX_PAGE_BYTES = 2**28


class Made(NamedTuple):
    """cases: in the study. patients: whose they are. showings: cases and repeats.
    left_out: names that could not be compared, each told on stderr. key: where it lies."""

    cases: int
    patients: int
    showings: int
    left_out: int
    key: Path


def new_study(
    folder_a: Path,
    folder_b: Path,
    out: Path,
    *,
    names: tuple[str, str],
    question: str,
    repeats: float,
    most: int | None,
) -> Made:
    """Write the page `out` and, beside it, the key `out` with the ending .key.json (mode 0600).

    repeats: share of the cases that are shown twice, 0 to 0.5. most: at most so many cases, drawn
    at random. Files that are neither DICOM nor .npy are passed; a name in one folder only, or a
    pair that cannot be compared, is left out and told. The randomisation's seed is drawn here and
    kept in the key: a seed that readers could guess would tell them the sides.

    Raises NoImagesError, OutputExistsError (a key that is lost cannot be made again), and
    UnsupportedImageError, reason "too large", where the page would not open.
    """
    key_path = out.with_suffix(".key.json")
    for path in (out, key_path):
        if path.exists():
            raise OutputExistsError(
                f"{path.name} is there already", next_step="give the new study another name"
            )
    seed = secrets.randbits(128)
    common, lonely = _common_names(folder_a, folder_b)
    for name in lonely:
        _tell(name, "left out: it is in one of the folders only")
    # Its own stream: how many are drawn must not change the sides.
    drawn = random.Random(f"cases {seed}").sample(common, min(most or len(common), len(common)))
    cases, embedded, failed = _embed(folder_a, folder_b, sorted(drawn))
    showings = plan(len(cases), repeats, seed)
    study = identifier()
    page, shown = render(study, question, embedded, showings)
    key = Key(
        study=study,
        a=names[0],
        b=names[1],
        question=question,
        seed=f"{seed:032x}",
        cases=cases,
        pairs=shown,
    )
    write_key(key_path, key)
    with replace_file(out) as stream:
        stream.write(page.encode())
    patients = len({case.patient for case in cases})
    return Made(len(cases), patients, len(showings), failed + len(lonely), key_path)


def _common_names(folder_a: Path, folder_b: Path) -> tuple[list[str], list[str]]:
    """Relative names in both folders, and those in one of them, sorted; hidden files are none."""
    found = []
    for folder in (folder_a, folder_b):
        if not folder.is_dir():
            raise NoImagesError(
                f"{folder.name} is not a folder", next_step="name two folders of images"
            )
        paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        found.append({str(path) for path in paths if not path.name.startswith(".")})
    a, b = found
    if not a & b:
        raise NoImagesError(
            "the two folders have no file name in common",
            next_step="give an image and its counterpart the same name",
        )
    return sorted(a & b), sorted(a ^ b)


def _embed(
    folder_a: Path, folder_b: Path, names: list[str]
) -> tuple[list[Case], list[Embedded], int]:
    cases: list[Case] = []
    embedded: list[Embedded] = []
    patients: dict[str, int] = {}
    size = failed = 0
    with task("reading pairs", len(names)) as progress:
        for name in names:
            progress.advance()
            try:
                one = pair(read_picture(folder_a / name), read_picture(folder_b / name))
            except ImageError as error:
                if error.reason not in (NOT_DICOM, DIRECTORY):
                    failed += 1
                    _tell(name, f"left out: {error}")
                continue
            embedded.append(embed(one))
            # An array has no patient: its folder is taken for one, if it lies in any.
            patient = one.patient or f"folder {os.path.dirname(name) or name}"
            number = patients.setdefault(patient, len(patients) + 1)
            cases.append(Case(name=name, patient=number))
            size += len(embedded[-1].a) + len(embedded[-1].b)
            if size > MAX_PAGE_BYTES:
                raise UnsupportedImageError(
                    f"too large: the page would hold more than {MAX_PAGE_BYTES >> 20} MiB",
                    next_step=f"draw fewer cases, such as --cases {len(cases) // 2}",
                    reason="too large",
                )
    if not cases:
        raise NoImagesError(
            "the two folders hold no pair of images that can be compared",
            next_step="name two folders of DICOM or .npy files with the same names",
        )
    return cases, embedded, failed


def _tell(name: str, text: str) -> None:
    printable = "".join(letter if letter.isprintable() else "?" for letter in name)
    sys.stderr.write(f"{printable}: {text}\n")
