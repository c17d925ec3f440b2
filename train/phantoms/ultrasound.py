"""Randomised B-mode echo maps, 8 bits, without speckle: what endless compounding would show.

Grey levels are decibels: tissue backscatters by its kind, fluid hardly at all, interfaces across
the beam shine, bone and stones shadow what lies behind them, fluid brightens it.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from scanside.train.phantoms.ct import Array, Canvas, Mask

LIMIT = 255.0
TISSUE = (60.0, 170.0)
FLUID = (0.0, 12.0)


def _field_of_view(c: Canvas) -> Mask:
    """A linear array shows a rectangle, a curved one a sector."""
    n = c.n
    y, x = np.mgrid[:n, :n] / n
    if c.rng.random() < 0.4:
        edge = c.uniform(0.0, 0.15)
        return np.asarray((x > edge) & (x < 1 - edge))
    apex, opening = c.uniform(-0.3, 0.0), c.uniform(0.5, 0.8)
    radius = np.hypot(x - 0.5, y - apex)
    angle = np.abs(np.arctan2(x - 0.5, y - apex))
    return np.asarray((angle < opening) & (radius > 0.08 - apex) & (radius < 1.0 - apex))


def _behind(where: Mask) -> Array:
    """How much of a structure lies between the probe, above, and a pixel: (n, n), 0..1."""
    depth = np.cumsum(where, axis=0).astype(np.float32)
    return np.asarray(np.clip(depth / max(len(where) * 0.08, 1), 0, 1) * ~where)


def phantom(n: int, rng: np.random.Generator) -> Array:
    """One image (n, n) float32, 0..255; black outside the field of view."""
    c = Canvas(n, rng)
    level = c.uniform(*TISSUE)
    c.hu[:] = level
    c.hu += c.uniform(3, 12) * c.field(c.uniform(15, 40))
    for _ in range(int(rng.integers(1, 5))):  # layers: skin, fat, muscle, fasciae
        depth = c.y + 0.06 * c.field(30) - c.uniform(-1, 1)
        c.hu[depth > 0] = c.uniform(*TISSUE)
        c.hu[np.abs(depth) < c.uniform(0.005, 0.02)] += c.uniform(30, 80)
    for _ in range(int(rng.integers(2, 8))):
        rho = c.radius(
            c.uniform(-0.7, 0.7), c.uniform(-0.7, 0.7), c.uniform(0.05, 0.4),
            c.uniform(0.05, 0.35), c.uniform(0, 3), 0.12,
        )  # fmt: skip
        inside = rho < 1
        kind = rng.random()
        if kind < 0.35:  # a cyst or a vessel: no echo within, more behind
            c.hu[inside] = c.uniform(*FLUID)
            c.hu += c.uniform(10, 30) * _behind(inside)
        elif kind < 0.5:  # a stone or a bone's surface: a bright rim, a shadow
            rim = (rho < 1) & (rho > 0.8) & (c.y < c.y[inside].mean() if inside.any() else False)
            c.hu[rim] = c.uniform(200, 255)
            c.hu -= c.uniform(60, 200) * _behind(rim)
        else:
            c.hu[inside] = c.uniform(20, 200)
            c.hu[inside] += c.uniform(2, 10) * c.field(c.uniform(4, 10))[inside]
        if rng.random() < 0.6:
            c.hu[np.abs(rho - 1) < c.uniform(0.02, 0.06)] += c.uniform(15, 60)
    septa = np.abs(c.field(c.uniform(10, 25))) < c.uniform(0.01, 0.05)
    c.hu[septa] += c.uniform(10, 50)
    c.hu -= c.uniform(0, 50) * (c.y + 1) / 2  # attenuation that gain did not make up for
    image = gaussian_filter(c.hu, c.uniform(0.5, 1.0), mode="nearest")
    return np.where(_field_of_view(c), np.clip(image, 0, LIMIT), 0).astype(np.float32)
