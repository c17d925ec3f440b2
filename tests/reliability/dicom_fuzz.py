"""Mutated DICOM through `scanside send` to a daemon that runs.

Every file ends in a typed error and no output, or in a result that is written whole and reads
back. Nothing of the patient's is said, nothing half-written stays. It mutates what SCANSIDE_DATA
holds, and pydicom's own test files: `python -m reliability.dicom_fuzz 5000`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.data import get_testdata_file
from reliability.daemon_process import PROGRAM, RESIDUAL, DaemonProcess

from attacks.dicom_mutations import Layout, layout, mutated
from bundles import write_test_bundle
from scanside.runtime.cli.send import send
from scanside.runtime.dicom.read import read_image
from scanside.runtime.errors import ImageError, ScansideError

OWN = ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm")
LARGEST = 700_000
LIMIT_S = 20.0
NAMING = (
    "PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "AccessionNumber",
    "InstitutionName", "ReferringPhysicianName", "OperatorsName", "StudyInstanceUID",
    "SeriesInstanceUID", "SOPInstanceUID", "StationName",
)  # fmt: skip
SHORTEST = 5
OUR_WORDS = {"Modality"}
"""In some patient's invented name, and in our own messages."""
MODALITIES = ("CT", "MR", "CR", "DX")


@dataclass
class Source:
    name: str
    whole: bytes
    layout: Layout
    telling: set[str]


@dataclass
class Outcome:
    """ends: by the error's name and reason, or "written". wrong: what may not be, with the two
    numbers that make it again."""

    files: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def table(self) -> str:
        rows: list[tuple[str, object]] = [("mutated files", self.files)]
        rows += [(f"  {end}", number) for end, number in self.ends.most_common()]
        rows += [(f"programs that ended with {code}", n) for code, n in sorted(self.codes.items())]
        rows.append(("seconds", f"{self.seconds:.0f}"))
        return "\n".join(f"{name:<52}{value!s:>10}" for name, value in rows)


def sources(data: Path | None) -> list[Source]:
    """pydicom's own, and every file of `data` that is not large."""
    files = [Path(str(get_testdata_file(name))) for name in OWN]
    if data is not None:
        files += sorted(
            one
            for one in data.rglob("*")
            if one.is_file() and one.suffix not in (".md", ".txt") and one.name != "SHA256SUMS"
        )
    found = []
    for file in files:
        whole = file.read_bytes()
        if 200 < len(whole) <= LARGEST:
            found.append(Source(file.name, whole, layout(whole), _telling(whole)))
    return found


def _telling(whole: bytes) -> set[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(whole), force=True, stop_before_pixels=True)
            values = [str(dataset.get(name) or "") for name in NAMING]
        except Exception:  # noqa: BLE001 - broken as it is: it names nobody that we know
            return set()
    parts = {part for value in values for part in (value, *value.split("^"))}
    return {part for part in parts if len(part) >= SHORTEST} - OUR_WORDS


def fuzz_dicom(
    folder: Path, data: Path | None, count: int, *, programs: int = 0, seed: int = 1
) -> Outcome:
    """So many mutated files in this process, then so many with a process each."""
    outcome, known = Outcome(), sources(data)
    bundle = write_test_bundle(folder / "m.scanside", modality=MODALITIES, residual=RESIDUAL)
    began = time.monotonic()
    with DaemonProcess(folder, bundle=bundle) as daemon:
        for number in range(count + programs):
            rng = random.Random(f"{seed}/{number}")
            source = rng.choice(known)
            here = folder / "one"
            here.mkdir()
            file, out = here / "in.dcm", here / "out.dcm"
            file.write_bytes(mutated(source.whole, source.layout, rng))
            run = _program if number >= count else _call
            began_one = time.monotonic()
            said = run([str(file), "--to", daemon.url, "--out", str(out)], out, outcome)
            outcome.files += 1
            where = f"seed {seed}, file {number} ({source.name})"
            if time.monotonic() - began_one > LIMIT_S:
                outcome.wrong.append(f"{where}: took {time.monotonic() - began_one:.0f} s")
            if told := [one for one in source.telling if one in said]:
                outcome.wrong.append(f"{where}: told {len(told)} of the patient's values")
            if "Traceback" in said:
                outcome.wrong.append(f"{where}: {said[-600:]}")
            if left := {one.name for one in here.iterdir()} - {"in.dcm", "out.dcm"}:
                outcome.wrong.append(f"{where}: left {left}")
            for one in here.iterdir():
                one.unlink()
            here.rmdir()
        if not daemon.alive:
            outcome.wrong.append("the daemon died")
        outcome.wrong += [f"{number} x {event}" for event, number in daemon.noted().items()]
    outcome.seconds = time.monotonic() - began
    return outcome


def _call(words: Sequence[str], out: Path, outcome: Outcome) -> str:
    """`scanside send` in this process; all that it says."""
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
        try:
            send.main(list(words), standalone_mode=False)
            end = "written"
        except ScansideError as error:
            reason = error.reason if isinstance(error, ImageError) else ""
            end = f"{type(error).__name__} {reason}".strip()
            heard.write(str(error))
        except Exception as error:  # noqa: BLE001 - the very thing that may not be
            import traceback

            end = f"UNTYPED {type(error).__name__}"
            heard.write("".join(traceback.format_exception(error)))
    outcome.ends[end] += 1
    _check_output(out, end == "written", outcome)
    return heard.getvalue()


def _program(words: Sequence[str], out: Path, outcome: Outcome) -> str:
    done = subprocess.run([*PROGRAM, "send", *words], capture_output=True, text=True, timeout=60)
    outcome.codes[done.returncode] += 1
    _check_output(out, done.returncode == 0, outcome)
    return done.stdout + done.stderr


def _check_output(out: Path, written: bool, outcome: Outcome) -> None:
    if out.exists() != written:
        outcome.wrong.append("a result without a success, or the other way round")
    if out.exists():
        try:
            read_image(out)
        except ScansideError as error:
            outcome.wrong.append(f"a result that does not read back: {error.message}")


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m reliability.dicom_fuzz", description=__doc__)
    parser.add_argument("files", type=int)
    parser.add_argument("--programs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    said = parser.parse_args(words)
    given = os.environ.get("SCANSIDE_DATA")
    data = Path(given) if given else None
    print(f"data: {'SCANSIDE_DATA' if data else 'only the files that pydicom brings along'}")  # noqa: T201
    with tempfile.TemporaryDirectory(prefix="scanside-dicom-") as folder:
        outcome = fuzz_dicom(Path(folder), data, said.files, programs=said.programs, seed=said.seed)
    print(outcome.table())  # noqa: T201
    sys.exit("\n".join(outcome.wrong[:20]) or None)


if __name__ == "__main__":
    main(sys.argv[1:])
