"""Held-out cases: what selection, the gate and the report look at, and training never does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from scanside.runtime.engines import Engine
from scanside.runtime.frame import FrameFacts
from scanside.train.files import replace_file
from scanside.train.images import Slice
from scanside.train.lowdose import field_of_view, noise_at
from scanside.train.measure import Case, Image, Quality, quality

VIEWS = 360  # twice the training's: the noise under test is the finer simulation
CUTOFF = 0.5


def make_cases(slices: Sequence[Slice], sigma_hu: float, seed: int) -> list[Case]:
    """Low-dose cases from clean slices: noise of `sigma_hu` HU in soft tissue, inside the field."""
    generator = torch.Generator().manual_seed(seed)
    cases = []
    for piece in slices:
        hu = torch.from_numpy(piece.hu.astype(np.float32))[None]
        inside = field_of_view(hu, piece.padding_hu)
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
        padding = None if piece.padding_hu is None else int(piece.padding_hu)
        if padding is not None:
            noisy[inside[0].numpy() & (noisy == padding)] += 1  # noise must not turn into padding
        cases.append(Case(piece.hu, noisy, inside[0].numpy(), padding))
    return cases


def case_facts(case: Case) -> FrameFacts:
    """What a scanner's header would say of a case: signed 16-bit HU."""
    padding = None if case.padding_hu is None else (case.padding_hu, case.padding_hu)
    return FrameFacts(modality="CT", bits_stored=16, signed=True, padding=padding)


def enhance_case(engine: Engine, case: Case) -> Image:
    """The case's noisy slice through an engine: (n, n) int16 HU, as a device would store it."""
    enhanced: Image = engine.run(case.noisy[None], [case_facts(case)])[0].astype(np.int16)
    return enhanced


def engine_quality(engine: Engine, cases: Sequence[Case]) -> list[Quality]:
    """PSNR and SSIM against the clean slice for each case, through the device's intensity map."""
    return [quality(enhance_case(engine, case), case.clean, case.inside) for case in cases]


def save_cases(path: Path, cases: Sequence[Case]) -> None:
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for index, case in enumerate(cases):
        arrays[f"clean_{index:04d}"] = case.clean
        arrays[f"noisy_{index:04d}"] = case.noisy
        arrays[f"inside_{index:04d}"] = case.inside
        if case.padding_hu is not None:
            arrays[f"padding_{index:04d}"] = np.array(case.padding_hu)
    with replace_file(path) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def load_cases(path: Path) -> list[Case]:
    with np.load(path, allow_pickle=False) as arrays:
        indices = sorted(name[6:] for name in arrays.files if name.startswith("clean_"))
        return [
            Case(
                arrays[f"clean_{index}"],
                arrays[f"noisy_{index}"],
                arrays[f"inside_{index}"],
                int(arrays[f"padding_{index}"]) if f"padding_{index}" in arrays.files else None,
            )
            for index in indices
        ]
