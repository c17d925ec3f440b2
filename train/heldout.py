"""Held-out cases: what selection, the gate and the report look at, and training never does."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from scanside.runtime.engines import Engine
from scanside.runtime.errors import RunFolderError
from scanside.runtime.files import replace_file
from scanside.runtime.frame import FrameFacts
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import StoredRange
from scanside.runtime.progress import task
from scanside.train.data.slice import Slice
from scanside.train.degradations.lowdose import field_of_view
from scanside.train.entry import facts_of
from scanside.train.metrics.case import Case, Image, Mask, Ruler, ruler
from scanside.train.metrics.mask import body
from scanside.train.metrics.quality import Quality, quality
from scanside.train.recipe import Recipe
from scanside.train.simulators import simulator_of


def make_cases(
    recipe: Recipe, slices: Sequence[Slice], levels: Sequence[float], seed: int
) -> list[Case]:
    """Every slice degraded to each of `levels`, by the recipe's degradation."""
    rng = np.random.default_rng(seed)
    simulator = simulator_of(recipe)
    modality = recipe.modality[0]
    cases = []
    with task("Degrading the test images", len(slices) * len(levels)) as progress:
        for piece in slices:
            rows, columns = (side - side % recipe.scale for side in piece.values.shape)
            clean = piece.values[:rows, :columns]
            for level in levels:
                cases.append(
                    Case(
                        clean=clean,
                        degraded=simulator.whole(piece, level, rng),
                        facts=facts_of(piece, modality),
                        inside=inside_of(clean, piece, modality),
                        level=float(level),
                        ruler=ruler(modality, clean, piece.limits),
                    )
                )
                progress.advance()
    return cases


def inside_of(clean: Image, piece: Slice, modality: str) -> Mask:
    """CT: the field of view without padding. MR: the patient, for in air a removed noise floor is
    easily won. Else everything that is not padding."""
    if modality == "MR":
        return body(clean)
    if modality == "CT" and clean.shape[0] == clean.shape[1]:
        hu = torch.from_numpy(clean.astype(np.float32))[None]
        seen: Mask = field_of_view(hu, piece.padding)[0].numpy()
        return seen
    if piece.padding is None:
        return np.ones(clean.shape, dtype=np.bool_)
    low, high = piece.padding
    return np.asarray((clean < low) | (clean > high))


def base_image(case: Case) -> Image:
    """What there is without a network: the degraded image, or its cubic interpolation."""
    scale = case.clean.shape[0] // case.degraded.shape[0]
    base: Image = FrameMap(case.degraded, case.facts, StoredRange()).apply(None, scale)
    return base


def enhance_case(engine: Engine, case: Case) -> Image:
    """The case's degraded image through an engine: as large as its clean one, as stored."""
    enhanced: Image = engine.run(case.degraded[None], [case.facts])[0]
    return enhanced


def enhance_cases(
    engines: Mapping[str, Engine], cases: Sequence[Case], title: str
) -> dict[str, list[Image]]:
    """Every case through every engine, by the engine's name; progress is shown under `title`."""
    images: dict[str, list[Image]] = {}
    with task(title, len(engines) * len(cases)) as progress:
        for name, engine in engines.items():
            images[name] = []
            for case in cases:
                images[name].append(enhance_case(engine, case))
                progress.advance(note=name)
    return images


def qualities(images: Sequence[Image], cases: Sequence[Case]) -> list[Quality]:
    """PSNR and SSIM of each image against its case's clean one."""
    return [quality(image, case) for image, case in zip(images, cases, strict=True)]


class _Words(msgspec.Struct, frozen=True):
    facts: FrameFacts
    level: float
    ruler: Ruler


def save_cases(path: Path, cases: Sequence[Case]) -> None:
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for index, case in enumerate(cases):
        arrays[f"clean_{index:04d}"] = case.clean
        arrays[f"degraded_{index:04d}"] = case.degraded
        arrays[f"inside_{index:04d}"] = case.inside
        words = msgspec.json.encode(_Words(case.facts, case.level, case.ruler))
        arrays[f"words_{index:04d}"] = np.frombuffer(words, dtype=np.uint8)
    with replace_file(path) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def load_cases(path: Path) -> list[Case]:
    """What `save_cases` wrote. Raises RunFolderError when it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            indices = sorted(name[6:] for name in arrays.files if name.startswith("clean_"))
            return [_load_case(arrays, index) for index in indices]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, msgspec.MsgspecError) as error:
        raise RunFolderError(
            f"{path} is missing or damaged", next_step="train into a new folder"
        ) from error


def _load_case(arrays: Mapping[str, npt.NDArray[Any]], index: str) -> Case:
    words = msgspec.json.decode(arrays[f"words_{index}"].tobytes(), type=_Words)
    return Case(
        arrays[f"clean_{index}"],
        arrays[f"degraded_{index}"],
        words.facts,
        arrays[f"inside_{index}"],
        words.level,
        words.ruler,
    )
