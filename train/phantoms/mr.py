"""Randomised magnitude MR: heads, limbs and trunks in any contrast, 12 bits.

As in `scanside.train.phantoms.ct`, organs are level sets of smooth random fields. What differs is
the contrast: bone and air are dark, fat may be the brightest of all, and which of fluid, grey and
white matter is brighter depends on the sequence (T1: fluid < grey < white; T2 the other way round),
so all intensities are drawn anew for every image.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from scanside.train.phantoms.ct import Array, Canvas, Mask

LIMIT = 4095.0
FINE = 2
STRONG = (250.0, 2500.0)
"""Where the brightest tissue may lie: scanners scale as they like."""
SEQUENCES = {  # share of the brightest: fluid, grey matter, white matter, muscle, fat
    "T1": (0.15, 0.42, 0.6, 0.35, 1.0),
    "T2": (1.0, 0.55, 0.4, 0.2, 0.7),
    "PD": (0.8, 0.75, 0.6, 0.5, 0.9),
    "FLAIR": (0.1, 0.6, 0.45, 0.35, 0.8),
}


class Tissues:
    """Intensities of one image, in shares of the brightest."""

    def __init__(self, c: Canvas) -> None:
        names = list(SEQUENCES)
        base = SEQUENCES[names[int(c.rng.integers(len(names)))]]
        fluid, grey, white, muscle, fat = (max(0.03, v * c.uniform(0.75, 1.25)) for v in base)
        self.fluid, self.grey, self.white = fluid, grey, white
        self.muscle, self.fat = muscle, fat * (c.uniform(0.15, 0.5) if c.rng.random() < 0.2 else 1)
        self.bone, self.marrow = c.uniform(0.01, 0.06), self.fat * c.uniform(0.5, 0.95)
        self.vessel = c.uniform(0.02, 0.08) if c.rng.random() < 0.5 else c.uniform(0.9, 1.6)


def _folds(c: Canvas, where: Mask, depth: Array, t: Tissues) -> None:
    """Cortex: grey matter along a folded surface, fluid in the furrows."""
    c.paint(where, t.white, 0.02 * t.white, c.uniform(3, 8))
    folded = np.abs(c.field(c.uniform(5, 11)))
    near = np.clip((depth - c.uniform(0.35, 0.6)) * 3, 0, 1)
    c.paint(where & (folded < 0.75 * near), t.grey, 0.03 * t.grey, 3)
    c.paint(where & (folded < c.uniform(0.1, 0.25) * near), t.fluid, 0.03 * t.fluid, 3)


def _head(c: Canvas, t: Tissues) -> None:
    rho = c.radius(c.uniform(-0.1, 0.1), c.uniform(-0.15, 0.1), c.uniform(0.6, 0.85), 0.8)
    skin, skull = c.uniform(0.05, 0.12), c.uniform(0.05, 0.1)
    c.paint(rho < 1, t.fat, 0.06 * t.fat, 5)
    c.paint((rho < 1) & (rho > 1 - 0.25 * skin), t.muscle)
    inside = rho < 1 - skin
    c.paint(inside, t.bone)
    diploe = inside & (rho > 1 - skin - 0.6 * skull) & (rho < 1 - skin - 0.25 * skull)
    c.paint(diploe, t.marrow * c.uniform(0.3, 1), 0.1 * t.marrow, 2)
    brain = rho < 1 - skin - skull
    c.paint(brain, t.fluid)
    _folds(c, brain & (rho < 0.97 - skin - skull), rho, t)
    for _ in range(int(c.rng.integers(1, 4))):
        ventricle = c.radius(
            c.uniform(-0.2, 0.2), c.uniform(-0.2, 0.2), c.uniform(0.04, 0.2), c.uniform(0.05, 0.25),
            c.uniform(0, 3), 0.35,
        )  # fmt: skip
        c.paint((ventricle < 1) & brain, t.fluid, 0.02 * t.fluid, 4)
    for _ in range(int(c.rng.integers(2, 6))):
        nucleus = c.radius(
            c.uniform(-0.3, 0.3), c.uniform(-0.3, 0.3), c.uniform(0.04, 0.12),
            c.uniform(0.04, 0.12), c.uniform(0, 3), 0.2,
        )  # fmt: skip
        c.paint((nucleus < 1) & brain, t.grey * c.uniform(0.85, 1.1), 0.03 * t.grey, 3)
    if c.rng.random() < 0.6:  # a cerebellum: finer folds
        small = c.radius(c.uniform(-0.3, 0.3), c.uniform(0.25, 0.45), 0.28, 0.2, 0, 0.1)
        where = (small < 1) & brain
        c.paint(where, t.grey)
        c.paint(where & (np.abs(c.field(c.uniform(2, 4))) < 0.35), t.white)
    if c.rng.random() < 0.7:  # face and neck below or in front: fat, muscle, air
        face = c.radius(c.uniform(-0.7, 0.7), c.uniform(0.5, 0.9), c.uniform(0.4, 0.7), 0.5, 0, 0.2)
        _flesh(c, (face < 1) & (rho > 1 - 0.5 * skin), t)
        cavities = (face < 0.85) & (c.field(c.uniform(10, 25)) > c.uniform(0.6, 1.3)) & (rho > 0.95)
        c.paint(cavities, 0.0)
    _lines(c, brain, t.vessel, c.uniform(15, 30), c.uniform(0.02, 0.05))


def _lines(c: Canvas, where: Mask, value: float, size: float, width: float) -> None:
    """Vessels and septa: the zero crossings of a random field, where another field lets them be."""
    there = where & (c.field(1.5 * size) > c.uniform(-0.3, 0.8))
    c.paint(there & (np.abs(c.field(size)) < width), value, 0.05 * value)


def _flesh(c: Canvas, where: Mask, t: Tissues) -> None:
    """Muscle in bundles with fat between them."""
    c.paint(where, t.muscle, 0.06 * t.muscle, c.uniform(2, 5))
    c.paint(where & (c.field(c.uniform(6, 16)) > c.uniform(0.5, 1.4)), t.fat, 0.06 * t.fat, 4)
    _lines(c, where, t.fat * c.uniform(0.5, 1), c.uniform(8, 20), c.uniform(0.03, 0.1))


def _limb(c: Canvas, t: Tissues) -> None:
    rho = c.radius(0, 0, c.uniform(0.4, 0.85), c.uniform(0.4, 0.85), c.uniform(0, 3))
    c.paint(rho < 1, t.fat, 0.05 * t.fat, 5)
    _flesh(c, rho < c.uniform(0.75, 0.95), t)
    for _ in range(int(c.rng.integers(1, 4))):
        bone = c.radius(
            c.uniform(-0.25, 0.25), c.uniform(-0.25, 0.25), c.uniform(0.08, 0.3),
            c.uniform(0.08, 0.3), c.uniform(0, 3), 0.15,
        )  # fmt: skip
        where = (bone < 1) & (rho < 1)
        c.paint(where, t.bone)
        c.paint(where & (bone < c.uniform(0.75, 0.93)), t.marrow, 0.12 * t.marrow, 2)
        c.paint((np.abs(bone - 1.04) < 0.04) & (rho < 1), t.grey)


def _trunk(c: Canvas, t: Tissues) -> None:
    rho = c.radius(0, 0, c.uniform(0.75, 0.95), c.uniform(0.55, 0.8))
    c.paint(rho < 1, t.fat, 0.05 * t.fat, 6)
    _flesh(c, rho < c.uniform(0.8, 0.95), t)
    cavity = rho < 0.78
    for _ in range(int(c.rng.integers(6, 14))):
        organ = c.radius(
            c.uniform(-0.5, 0.5), c.uniform(-0.4, 0.4), c.uniform(0.06, 0.35),
            c.uniform(0.06, 0.3), c.uniform(0, 3), 0.2,
        )  # fmt: skip
        value = c.uniform(0.02, 1.0)
        c.paint((organ < 1) & cavity, value, 0.05 * value, c.uniform(2, 5))
        if c.rng.random() < 0.4:
            _lines(c, (organ < 0.95) & cavity, t.vessel, c.uniform(10, 24), 0.06)
    spine = c.radius(c.uniform(-0.05, 0.05), c.uniform(0.35, 0.5), 0.13, 0.11)
    c.paint(spine < 1, t.bone)
    c.paint(spine < 0.88, t.marrow, 0.1 * t.marrow, 2)
    c.paint(c.radius(0, 0.62, 0.05, 0.05) < 1, t.fluid)


def _acquired(c: Canvas) -> Array:
    """The canvas as a scanner acquires it: of its k-space the middle, half of either axis.

    Often less than that along an axis (partial phase resolution, zero-filled), and often under a
    filter that trades sharpness for ringing. The magnitude is what is shown.
    """
    n = c.n // FINE
    kspace = np.fft.fftshift(np.fft.fft2(c.hu))
    first = (c.n - n) // 2
    kspace = kspace[first : first + n, first : first + n]
    frequency = np.abs(np.fft.fftshift(np.fft.fftfreq(n)))
    for axis in (0, 1):
        share = c.uniform(0.65, 1.0) if c.rng.random() < 0.5 else 1.0
        edge = np.clip(frequency / (0.5 * share), 0, 1)
        hann = 0.5 + 0.5 * np.cos(np.pi * edge)
        strength = c.uniform(0.0, 0.8)
        line = np.where(frequency <= 0.5 * share, 1 - strength + strength * hann, 0)
        kspace = kspace * (line[:, None] if axis == 0 else line[None, :])
    return np.asarray(np.abs(np.fft.ifft2(np.fft.ifftshift(kspace))) / FINE**2, dtype=np.float32)


def phantom(n: int, rng: np.random.Generator) -> Array:
    """One image (n, n) float32, 0..4095, painted finer and acquired through k-space."""
    c = Canvas(FINE * n, rng, FINE)
    c.hu[:] = 0
    t = Tissues(c)
    sites = (_head, _head, _limb, _trunk)
    sites[int(rng.integers(len(sites)))](c, t)
    c.hu *= 1 + c.uniform(0, 0.03) * c.field(c.uniform(2, 6), high_pass=True)
    # Cells are finer than any pixel, but no border in a body is as sharp as a painted one.
    image = gaussian_filter(c.hu, c.uniform(0.5, 1.2), mode="nearest")
    c.hu = image.astype(np.float32)
    image = _acquired(c)
    image *= c.uniform(*STRONG) / max(float(np.percentile(image, 99)), 1e-3)
    return np.asarray(np.clip(image, 0, LIMIT), dtype=np.float32)
