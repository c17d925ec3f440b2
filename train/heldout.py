"""Held-out cases: what selection, the gate and the report look at, and training never does."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from scanside.runtime.engines import Engine
from scanside.runtime.errors import RunFolderError
from scanside.runtime.files import replace_file
from scanside.runtime.frame import FrameFacts
from scanside.runtime.progress import task
from scanside.train.degradations.lowdose import field_of_view, noise_at
from scanside.train.images import Slice
from scanside.train.metrics.quality import Case, Image, Quality, quality

VIEWS = 360  # twice the training's: the noise under test is the finer simulation
CUTOFF = 0.5


def make_cases(slices: Sequence[Slice], sigmas_hu: Sequence[float], seed: int) -> list[Case]:
    """Low-dose cases: every slice with noise of each of `sigmas_hu` HU in soft tissue."""
    generator = torch.Generator().manual_seed(seed)
    cases = []
    with task("Simulating low dose for the test", len(slices) * len(sigmas_hu)) as progress:
        for piece in slices:
            for sigma_hu in sigmas_hu:
                cases.append(_make_case(piece, sigma_hu, generator))
                progress.advance()
    return cases


def _make_case(piece: Slice, sigma_hu: float, generator: torch.Generator) -> Case:
    hu = torch.from_numpy(piece.hu.astype(np.float32))[None]
    inside = field_of_view(hu, piece.padding)
    noise = noise_at(
        hu,
        sigma_hu,
        pixel_mm=piece.pixel_mm,
        views=VIEWS,
        cutoff=CUTOFF,
        generator=generator,
        inside=inside,
    )
    noisy = np.clip(np.rint((hu + noise)[0].numpy()), -32768, 32767).astype(np.int16)
    seen = inside[0].numpy()
    if piece.padding is not None:  # noise must not turn tissue into padding
        low, high = piece.padding
        noisy[seen & (noisy >= low) & (noisy <= high)] = high + 1
    return Case(piece.hu, noisy, seen, sigma_hu, piece.padding)


def case_facts(case: Case) -> FrameFacts:
    """What a scanner's header would say of a case: signed 16-bit HU."""
    return FrameFacts(modality="CT", bits_stored=16, signed=True, padding=case.padding)


def enhance_case(engine: Engine, case: Case) -> Image:
    """The case's noisy slice through an engine: (n, n) int16 HU, as a device would store it."""
    enhanced: Image = engine.run(case.noisy[None], [case_facts(case)])[0].astype(np.int16)
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
    """PSNR and SSIM of each image against its case's clean slice."""
    return [
        quality(image, case.clean, case.inside) for image, case in zip(images, cases, strict=True)
    ]


def save_cases(path: Path, cases: Sequence[Case]) -> None:
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for index, case in enumerate(cases):
        arrays[f"clean_{index:04d}"] = case.clean
        arrays[f"noisy_{index:04d}"] = case.noisy
        arrays[f"inside_{index:04d}"] = case.inside
        arrays[f"sigma_{index:04d}"] = np.array(case.sigma_hu)
        if case.padding is not None:
            arrays[f"padding_{index:04d}"] = np.array(case.padding)
    with replace_file(path) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def load_cases(path: Path) -> list[Case]:
    """What `save_cases` wrote. Raises RunFolderError when it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            indices = sorted(name[6:] for name in arrays.files if name.startswith("clean_"))
            return [_load_case(arrays, index) for index in indices]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise RunFolderError(
            f"{path} is missing or damaged", next_step="train into a new folder"
        ) from error


def _load_case(arrays: Mapping[str, npt.NDArray[Any]], index: str) -> Case:
    padding = None
    if f"padding_{index}" in arrays:
        low, high = arrays[f"padding_{index}"].tolist()
        padding = (low, high)
    return Case(
        arrays[f"clean_{index}"],
        arrays[f"noisy_{index}"],
        arrays[f"inside_{index}"],
        float(arrays[f"sigma_{index}"]),
        padding,
    )
