"""Randomised radiographs, 12 bits, bright where dense.

A radiograph is a sum along the beam: bodies of ellipsoidal shape add their chords, lungs and bowel
gas take some away, thin cortices show at their edges, and what a film shows is the logarithm, that
is, the sum itself. Scatter adds a smooth veil.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from scanside.train.phantoms.ct import Array, Canvas, Mask

LIMIT = 4095.0


def _chord(rho: Array) -> Array:
    """Length of the ray through an ellipsoid, 1 at its centre."""
    return np.asarray(np.sqrt(np.clip(1 - rho**2, 0, None)))


def _bone(c: Canvas, rho: Array, density: float) -> None:
    """A tube: the cortex doubles at its edges, the marrow has a trabecular pattern."""
    shell = _chord(rho) - 0.85 * _chord(rho / c.uniform(0.7, 0.9))
    trabeculae = 1 + 0.12 * c.field(c.uniform(1.2, 2.5)) * (rho < 0.9)
    c.hu += density * (shell + 0.35 * _chord(rho)) * trabeculae


def _chest(c: Canvas) -> None:
    body = c.radius(0, 0.1, 1.1, 1.3, 0, 0.04)
    c.hu += c.uniform(0.9, 1.2) * _chord(body)
    for side in (-1, 1):
        lung = c.radius(side * 0.42, -0.05, c.uniform(0.28, 0.36), c.uniform(0.5, 0.65), 0, 0.08)
        c.hu -= c.uniform(0.5, 0.65) * np.clip(1.3 * _chord(lung), 0, 1)
        branching = (lung < 0.95) & (np.abs(c.field(c.uniform(8, 16))) < 0.12)
        c.hu += 0.06 * branching * np.abs(c.field(6))
        for index in range(8):
            y = -0.6 + 0.16 * index
            rib = c.radius(side * 0.42, y, 0.42, 0.03, side * c.uniform(0.2, 0.45), 0.02)
            _bone(c, rib, c.uniform(0.08, 0.15))
    heart = c.radius(c.uniform(0, 0.15), 0.2, c.uniform(0.22, 0.34), 0.3, 0.4, 0.08)
    c.hu += c.uniform(0.25, 0.4) * _chord(heart)
    for index in range(10):
        _bone(c, c.radius(0, -0.9 + 0.2 * index, 0.1, 0.085, 0, 0.05), c.uniform(0.15, 0.25))
    for side in (-1, 1):
        _bone(c, c.radius(side * 0.4, -0.72, 0.4, 0.035, side * -0.25, 0.03), 0.2)


def _limb(c: Canvas) -> None:
    turn = c.uniform(-0.5, 0.5)
    flesh = c.radius(0, 0, c.uniform(0.35, 0.6), 1.6, turn, 0.05)
    c.hu += c.uniform(0.35, 0.6) * _chord(flesh)
    c.hu += 0.02 * c.field(c.uniform(6, 14)) * (flesh < 1)
    for _ in range(int(c.rng.integers(1, 5))):
        shaft = c.radius(
            c.uniform(-0.3, 0.3), c.uniform(-0.8, 0.8), c.uniform(0.06, 0.16),
            c.uniform(0.4, 1.2), turn + c.uniform(-0.2, 0.2), 0.06,
        )  # fmt: skip
        _bone(c, shaft, c.uniform(0.4, 0.9))


def _abdomen(c: Canvas) -> None:
    c.hu += c.uniform(0.9, 1.3) * _chord(c.radius(0, 0, 1.15, 1.4, 0, 0.04))
    for _ in range(int(c.rng.integers(4, 12))):
        gas = c.radius(
            c.uniform(-0.6, 0.6), c.uniform(-0.6, 0.6), c.uniform(0.04, 0.16),
            c.uniform(0.04, 0.2), c.uniform(0, 3), 0.2,
        )  # fmt: skip
        c.hu -= c.uniform(0.1, 0.3) * _chord(gas)
    for index in range(7):
        _bone(c, c.radius(0, -0.9 + 0.3 * index, 0.14, 0.12, 0, 0.05), c.uniform(0.2, 0.35))
    for side in (-1, 1):
        _bone(c, c.radius(side * 0.5, 0.7, 0.4, 0.35, side * 0.4, 0.1), c.uniform(0.15, 0.3))


def _collimated(c: Canvas) -> Mask:
    """What the shutters leave open: a rectangle, a little turned."""
    y, x = np.mgrid[: c.n, : c.n] / c.n * 2 - 1
    turn, (high, wide) = c.uniform(-0.1, 0.1), (c.uniform(0.75, 1.1), c.uniform(0.75, 1.1))
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return np.asarray((np.abs(along) < wide) & (np.abs(across) < high))


def phantom(n: int, rng: np.random.Generator) -> Array:
    """One radiograph (n, n) float32, 0..4095; focal spot and detector blur it by 0.5 to 1 pixel."""
    c = Canvas(n, rng)
    c.hu[:] = 0
    sites = (_chest, _chest, _limb, _abdomen)
    sites[int(rng.integers(len(sites)))](c)
    c.hu += c.uniform(0.02, 0.1) * np.abs(c.field(60))  # scatter
    for _ in range(int(rng.integers(0, 4))):  # tubes and wires
        c.hu += c.uniform(0.05, 0.2) * (np.abs(c.field(c.uniform(30, 60))) < c.uniform(0.01, 0.04))
    if rng.random() < 0.4:  # a marker of lead
        at = (c.uniform(-0.6, 0.6), c.uniform(-0.6, 0.6))
        c.hu += 1.5 * ((np.abs(c.x - at[0]) < 0.04) & (np.abs(c.y - at[1]) < 0.07))
    image = gaussian_filter(c.hu, c.uniform(0.5, 1.0), mode="nearest")
    low, high = np.percentile(image, [1, 99.5])
    floor = c.uniform(50, 500)
    image = floor + (image - low) / max(high - low, 1e-6) * c.uniform(2200, 3500)
    if rng.random() < 0.5:  # collimated: outside, nothing but scatter reached the detector
        image = np.where(_collimated(c), image, image.max() * c.uniform(0.9, 1.0))
    return np.asarray(np.clip(image, 0, LIMIT), dtype=np.float32)
