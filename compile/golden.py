"""Synthetic frames for the golden test: smooth anatomy and noise, in every guise a frame can have.

No patient's pixels: the frames ship in every bundle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from scanside.runtime.engines import Engine
from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.golden import GoldenFrame
from scanside.runtime.manifest import Sizes

GoldenInput = tuple[Pixels, FrameFacts]
Image = npt.NDArray[np.float64]

# HU of what a CT slice is made of, each inside and outside a soft-tissue window.
_AIR, _FAT, _SOFT, _LUNG, _BONE, _METAL = -1000.0, -90.0, 45.0, -820.0, 900.0, 3000.0
_NOISE_HU = 30.0
_PADDING = -2000
_OVERLAY = 0x5000  # bits 12 and 14
_BITS = 12
_OVER_TILE = 33
_STRIP = 48


def golden_range(modality: str) -> float:
    """What PSNR on golden frames is over, in modality units: 4095 HU of CT; else what bone is
    stored as, half of the bits."""
    return 4095.0 if modality == "CT" else float((1 << _bits(modality)) // 2 - 1)


def _bits(modality: str) -> int:
    return 8 if modality == "US" else _BITS


def golden_inputs(modality: str, sizes: Sizes, seed: int) -> list[GoldenInput]:
    """(words (R, C), facts) of frames that cover what engines get wrong.

    In this order: signed 16 bits (12 outside CT, 8 for ultrasound; so the others); unsigned 12 bits
    with an intercept, longer than a tile; unsigned MONOCHROME1; padding around a round field of
    view; overlay bits above 12 stored ones; a frame smaller than any kernel; a constant. All but
    the last hold values on both sides of any soft-tissue window. Sides are odd; within `sizes`, and
    the frames small enough to ship.
    """
    rng = np.random.default_rng(seed)
    # Stored values are positive outside CT, whatever their sign bit: MR, CR and US have no zero
    # inside their range.
    offset = -1024.0 if modality == "CT" else 0.0
    bits = _bits(modality)
    signed_bits = 16 if modality == "CT" else bits
    padding = _PADDING if modality == "CT" else -(1 << (bits - 1))

    def facts(bits: int, *, signed: bool, **more: object) -> FrameFacts:
        intercept = 0.0 if signed else offset
        described = {"modality": modality, "bits_stored": bits, "signed": signed}
        return FrameFacts(**{**described, "intercept": intercept, **more})  # type: ignore[arg-type]

    def frame(rows: int, columns: int, one: FrameFacts) -> GoldenInput:
        side = (_within(rows, sizes), _within(columns, sizes))
        return _words(_anatomy(rng, *side), one), one

    signed = frame(129, 167, facts(signed_bits, signed=True))
    tiled = frame(sizes.tile + _OVER_TILE, _STRIP, facts(bits, signed=False))
    inverted = frame(99, 75, facts(bits, signed=False, photometric="MONOCHROME1"))
    described = facts(signed_bits, signed=True, padding=(padding, padding))
    padded, padded_facts = frame(101, 101, described)
    padded[_outside_circle(padded.shape)] = padding
    overlaid_words, overlaid_facts = frame(67, 53, facts(bits, signed=False))
    overlaid = overlaid_words.astype(np.uint16)
    overlay = np.zeros(overlaid.shape, dtype=np.uint16)
    overlay[::3, ::2] = _OVERLAY
    tiny = frame(5, 3, facts(bits, signed=False))
    constant_facts = facts(bits, signed=False)
    constant = np.full((_within(33, sizes), _within(47, sizes)), 1069 % (1 << bits), np.uint16)
    return [
        signed,
        tiled,
        inverted,
        (padded, padded_facts),
        (overlaid | overlay, overlaid_facts),
        tiny,
        (constant, constant_facts),
    ]


def golden_frames(reference: Engine, inputs: Sequence[GoldenInput]) -> list[GoldenFrame]:
    """The inputs with what the reference makes of them: what `encode_golden` writes."""
    return [
        GoldenFrame(words=words, facts=facts, result=reference.run(words[np.newaxis], [facts])[0])
        for words, facts in inputs
    ]


def _within(side: int, sizes: Sizes) -> int:
    return min(max(side, sizes.minimum), sizes.maximum)


def _words(hu: Image, facts: FrameFacts) -> Pixels:
    """Stored as the facts say. Outside CT: HU's span from air to bone over half of the bits."""
    low, high = facts.stored_range
    if facts.modality == "CT":
        stored = (hu - facts.intercept) / facts.slope
    else:
        stored = (hu - _AIR) / (_BONE - _AIR) * high / 2
    stored = np.clip(np.rint(stored), low if facts.modality == "CT" else 0, high)
    return stored.astype(np.int16 if facts.signed else np.uint16)


def _anatomy(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """(rows, columns) HU: a body of fat and soft tissue with lungs, bones, vessels, a clip of
    metal, soft edges, a slow texture and correlated noise."""
    y, x = np.meshgrid(
        np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij", sparse=True
    )
    hu = np.full((rows, columns), _AIR)

    def paint(value: float, size: float, centre: tuple[float, float] = (0.0, 0.0)) -> None:
        """An ellipse; its edge is soft, as wide as a pixel or two."""
        stretch = rng.uniform(0.8, 1.25)
        radius = np.hypot((y - centre[0]) * stretch, (x - centre[1]) / stretch) / size
        cover = np.clip((1 - radius) * size * min(rows, columns) / 3 + 0.5, 0, 1)
        np.copyto(hu, hu + cover * (value - hu))

    paint(_FAT, 0.95)
    paint(_SOFT, 0.85)
    kinds = (_LUNG, _BONE, _SOFT + 80, _SOFT - 30, _FAT, _SOFT + 20, _BONE, _SOFT + 140)
    for value in kinds:
        centre = (float(rng.uniform(-0.6, 0.6)), float(rng.uniform(-0.6, 0.6)))
        paint(value, rng.uniform(0.08, 0.3), centre)
    paint(_METAL, 0.04, (0.5, -0.3))
    texture = 12 * np.sin(9 * y + 5 * x) * np.cos(7 * x - 3 * y)
    noise = rng.normal(0, 1, (rows + 1, columns))
    correlated = (noise[1:] + 0.5 * noise[:-1]) / np.hypot(1, 0.5)
    return np.asarray(hu + texture + _NOISE_HU * correlated)


def _outside_circle(shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    y, x = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return np.asarray(np.hypot(y, x) > 1)
