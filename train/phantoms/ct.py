"""Randomised anatomical phantoms in HU: training images with nothing to download.

Not anatomy lessons, but images with CT's statistics: flat organs with organic outlines, thin walls,
sharp bone against soft tissue, air cells in bone, vessels in lung, low-contrast texture, a couch.
Organs are level sets of smooth random fields, so no two outlines are alike. Tissue values follow
the usual HU tables (air -1000, lung -850, fat -100, water 0, brain 30-40, muscle 50, liver 60,
contrast 150-350, trabecular bone 200-500, cortical bone 900-1800).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class Canvas:
    """An image being painted: hu (n, n) float32, with the tools to paint organs onto it.

    fine: pixels of the canvas for one of the image that it becomes; sizes are the image's."""

    def __init__(self, n: int, rng: np.random.Generator, fine: int = 1) -> None:
        self.n = n
        self.rng = rng
        self.hu = np.full((n, n), -1000.0, np.float32)
        # A whole body in 256 pixels is coarser than a scanner's 512: most canvases show a part.
        self.zoom = self.uniform(1.0, 2.2)
        self.fine = fine
        line = ((np.arange(n, dtype=np.float32) + 0.5) / n * 2 - 1) / self.zoom
        shift = 1 - 1 / self.zoom
        self.y, self.x = np.meshgrid(
            line + self.uniform(-shift, shift), line + self.uniform(-shift, shift), indexing="ij"
        )
        frequency = np.fft.fftfreq(n).astype(np.float32)
        self._f2 = frequency[:, None] ** 2 + np.fft.rfftfreq(n).astype(np.float32)[None, :] ** 2

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def field(self, size: float, high_pass: bool = False) -> Array:
        """A random field of mean 0 and deviation 1 whose blobs are about `size` pixels wide (at
        zoom 1)."""
        size *= self.zoom * self.fine
        white = np.fft.rfft2(self.rng.standard_normal((self.n, self.n)).astype(np.float32))
        shape = np.exp(-2 * (np.pi * size / 2) ** 2 * self._f2)
        if high_pass:
            shape = shape * (1 - np.exp(-2 * (np.pi * size) ** 2 * self._f2))
        smooth = np.fft.irfft2(white * shape, (self.n, self.n)).astype(np.float32)
        smooth -= smooth.mean()
        result: Array = smooth / max(float(smooth.std()), 1e-9)
        return result

    def radius(
        self, cx: float, cy: float, a: float, b: float, turn: float = 0.0, wobble: float = 0.06
    ) -> Array:
        """Distance from a wobbly ellipse's centre; 1 on its outline."""
        x, y = self.x - cx, self.y - cy
        u = (x * np.cos(turn) + y * np.sin(turn)) / a
        v = (y * np.cos(turn) - x * np.sin(turn)) / b
        angle = np.arctan2(v, u)
        outline = np.ones_like(angle)
        for k in range(2, 7):
            amplitude = self.rng.normal(0, wobble / k)
            outline += amplitude * np.cos(k * angle + self.uniform(0, 2 * np.pi))
        distance: Array = (np.hypot(u, v) / outline).astype(np.float32)
        return distance

    def paint(self, where: Mask, value: float, texture: float = 0.0, size: float = 3.0) -> None:
        """Set HU inside a mask, with a texture of the given deviation (HU) and grain (pixels)."""
        self.hu[where] = value
        if texture:
            self.hu[where] += texture * self.field(size)[where]

    def bone(self, rho: Array, shell: float, inside: Mask | None = None) -> None:
        """A bone within rho < 1: a cortical shell of relative thickness, trabecular inside."""
        within = rho < 1 if inside is None else (rho < 1) & inside
        marrow = self.uniform(100, 450)
        self.paint(within, marrow, self.uniform(40, 160), self.uniform(1.5, 4))
        self.paint(within & (rho > 1 - shell), self.uniform(800, 1700), 60, 4)

    def lesions(self, where: Mask, count: int) -> None:
        """Small discs of low contrast: what a denoiser must not swallow."""
        spots = np.argwhere(where)
        if len(spots) == 0:
            return
        for row, column in spots[self.rng.integers(0, len(spots), count)]:
            r = self.uniform(1.5, 9) * 2 / self.n / self.zoom
            disc = np.hypot(self.x - self.x[row, column], self.y - self.y[row, column]) < r
            self.hu[disc & where] += self.uniform(-60, 80)

    def lines(self, where: Mask, value: float, size: float, width: float) -> None:
        """Thin branching structures (vessels, septa): the zero crossings of a random field."""
        self.paint(where & (np.abs(self.field(size)) < width), value, 15)


def _body(c: Canvas, a: float, b: float) -> Array:
    """Skin, fat, muscle; returns the radius on which organs are placed (1 on the skin)."""
    rho = c.radius(c.uniform(-0.08, 0.08), c.uniform(-0.08, 0.08), a, b, c.uniform(-0.2, 0.2))
    skin = c.uniform(0.015, 0.03)
    fat = c.uniform(0.02, 0.18)
    c.paint(rho < 1, c.uniform(20, 70), 8)
    c.paint(rho < 1 - skin, c.uniform(-120, -85), 8, 6)
    inside = rho < 1 - skin - fat
    c.paint(inside, c.uniform(40, 65), 6)
    streaks = inside & (c.field(c.uniform(4, 14)) > c.uniform(0.8, 2))
    c.paint(streaks, c.uniform(-110, -70), 10)
    inner: Array = rho / (1 - skin - fat)
    return inner


def _head(c: Canvas) -> None:
    rho = _body(c, c.uniform(0.6, 0.8), c.uniform(0.7, 0.9))
    outer = c.uniform(0.88, 0.99)
    thick = c.uniform(0.04, 0.13)
    c.bone(rho / outer, thick * c.uniform(0.25, 0.5), rho > outer - thick)
    c.paint((rho < outer) & (rho > outer - thick * 0.3), c.uniform(900, 1800), 60)
    rim = (rho < outer - thick * 0.75) & (rho > outer - thick)
    c.paint(rim, c.uniform(900, 1800), 60)
    brain = rho < outer - thick
    c.paint(brain, c.uniform(26, 34), 3)
    grey = brain & (c.field(c.uniform(5, 14)) + 2.5 * (rho - 0.5) > c.uniform(-0.2, 0.8))
    c.hu[grey] += c.uniform(5, 14)
    c.lines(brain & (rho > 0.55 * outer), c.uniform(0, 15), c.uniform(8, 20), c.uniform(0.03, 0.1))
    ventricles = c.radius(
        0, c.uniform(-0.2, 0.2), c.uniform(0.08, 0.25), c.uniform(0.1, 0.3), 0, 0.3
    )
    c.paint((ventricles < 1) & (c.field(20) > -0.3) & brain, c.uniform(2, 12), 3)
    if c.rng.random() < 0.6:  # skull base: petrous bone, air cells, sinuses, orbits
        base = brain & (c.field(c.uniform(14, 30)) > c.uniform(0.2, 1.0))
        c.paint(base, c.uniform(500, 1300), c.uniform(100, 350), c.uniform(1.5, 5))
        cells = (rho < outer) & (c.field(c.uniform(22, 40)) > c.uniform(0.5, 1.3))
        c.paint(cells & (c.field(c.uniform(2, 6)) > c.uniform(-0.6, 0.8)), -1000 + c.uniform(0, 90))
        for side in (-1, 1):
            orbit = c.radius(side * c.uniform(0.2, 0.35), -c.uniform(0.35, 0.5), 0.17, 0.17)
            c.paint(orbit < 1, c.uniform(-100, -80), 6)
            c.paint(orbit < 0.75, c.uniform(5, 20))
            c.paint(orbit < c.uniform(0.1, 0.3), c.uniform(60, 110))
        if c.rng.random() < 0.7:
            sinus = c.radius(c.uniform(-0.1, 0.1), -c.uniform(0.2, 0.5), 0.22, 0.18, 0, 0.4)
            c.paint(sinus < 1.08, c.uniform(300, 900), 100)
            c.paint(sinus < 1, -1000 + c.uniform(0, 30))
            c.lines(sinus < 1, c.uniform(50, 500), c.uniform(8, 16), 0.06)
    c.lesions(brain, int(c.rng.integers(2, 12)))


def _chest(c: Canvas) -> None:
    rho = _body(c, c.uniform(0.75, 0.95), c.uniform(0.55, 0.75))
    for side in (-1, 1):
        lung = c.radius(side * 0.36, 0, c.uniform(0.22, 0.32), c.uniform(0.33, 0.45), 0, 0.15)
        lung = np.where(rho < 0.9, lung, 2.0).astype(np.float32)
        c.paint(lung < 1, c.uniform(-900, -780), 25, 4)
        c.lines(lung < 0.97, c.uniform(-100, 60), c.uniform(9, 18), c.uniform(0.04, 0.12))
        spots = (lung < 0.95) & (c.field(c.uniform(2.5, 5)) > c.uniform(1.8, 2.6))
        c.paint(spots, c.uniform(-300, 60), 20)
    heart = c.radius(
        c.uniform(-0.1, 0.15), c.uniform(-0.15, 0.1), 0.25, 0.22, c.uniform(0, 3), 0.15
    )
    c.paint(heart < 1, c.uniform(35, 60), 5)
    c.paint((heart < 0.8) & (c.field(16) > 0.2), c.uniform(80, 350), 8)
    _spine(c)
    for _ in range(int(c.rng.integers(6, 14))):
        angle = c.uniform(0, 2 * np.pi)
        rib = c.radius(0.8 * np.cos(angle), 0.58 * np.sin(angle), 0.07, 0.025, angle + np.pi / 2)
        c.bone(rib, 0.45, rho < 1)
    c.lesions(rho < 0.95, int(c.rng.integers(2, 12)))


def _abdomen(c: Canvas) -> None:
    rho = _body(c, c.uniform(0.75, 0.95), c.uniform(0.55, 0.8))
    cavity = rho < 0.88
    c.paint(cavity, c.uniform(-115, -85), 8, 5)
    for _ in range(int(c.rng.integers(6, 14))):
        organ = c.radius(
            c.uniform(-0.5, 0.5),
            c.uniform(-0.4, 0.3),
            c.uniform(0.06, 0.35),
            c.uniform(0.06, 0.3),
            c.uniform(0, 3),
            0.2,
        )
        value = c.uniform(10, 130)
        c.paint((organ < 1) & cavity, value, c.uniform(2, 8), c.uniform(2, 5))
        if c.rng.random() < 0.5:
            c.lines((organ < 0.95) & cavity, value + c.uniform(-30, 120), c.uniform(10, 24), 0.07)
        if c.rng.random() < 0.25:
            c.paint((organ < 0.7) & (c.field(10) > 0) & cavity, -1000 + c.uniform(0, 100))
    _spine(c)
    c.lesions(cavity, int(c.rng.integers(3, 14)))


def _limb(c: Canvas) -> None:
    rho = _body(c, c.uniform(0.35, 0.7), c.uniform(0.35, 0.7))
    c.lines(rho < 1, c.uniform(-110, -60), c.uniform(14, 30), c.uniform(0.03, 0.1))
    for _ in range(int(c.rng.integers(1, 5))):
        bone = c.radius(
            c.uniform(-0.25, 0.25),
            c.uniform(-0.25, 0.25),
            c.uniform(0.06, 0.22),
            c.uniform(0.06, 0.22),
            c.uniform(0, 3),
            0.15,
        )
        c.bone(bone, c.uniform(0.1, 0.4), rho < 1.05)
    c.lesions(rho < 0.95, int(c.rng.integers(1, 8)))


def _spine(c: Canvas) -> None:
    y = c.uniform(0.3, 0.4)
    c.bone(c.radius(c.uniform(-0.05, 0.05), y, 0.14, 0.12), c.uniform(0.08, 0.2))
    arch = c.radius(0, y + 0.19, 0.12, 0.1, 0, 0.3)
    c.bone(arch, 0.5)
    c.paint(arch < 0.5, c.uniform(10, 40))
    for side in (-1, 1):
        c.bone(c.radius(side * 0.15, y + 0.14, 0.1, 0.03, side * 0.5), 0.5)


def _couch(c: Canvas) -> None:
    """A couch or a head holder: a thin bright shell outside the body."""
    rho = c.radius(0, c.uniform(-0.3, 0.0), c.uniform(0.9, 1.6), c.uniform(0.85, 1.0), 0, 0.01)
    shell = (np.abs(rho - 1) < c.uniform(0.008, 0.03)) & (c.y > 0.3) & (c.hu < -900)
    c.paint(shell, c.uniform(-300, 200), 10)
    foam = (rho < 1) & (rho > c.uniform(0.8, 0.97)) & (c.y > 0.3) & (c.hu < -900)
    c.paint(foam, c.uniform(-990, -900), 5)


SITES: tuple[Callable[[Canvas], None], ...] = (_head, _head, _chest, _abdomen, _limb)
"""Heads twice: their bone and air cells are the hardest."""


def _response(c: Canvas) -> Array:
    """A scanner's modulation transfer on the canvas' half plane of frequencies.

    Focal spot and detector blur like a Gaussian of 0.3 to 0.6 pixels, and the reconstruction kernel
    ends at a cutoff, mostly well below Nyquist: real CT holds nothing beyond it, which is why sinc
    interpolation does so well there. A third of the slices are blurred by a Gaussian alone.
    """
    if c.rng.random() < 1 / 3:
        return np.asarray(np.exp(-2 * (np.pi * c.uniform(0.5, 1.3)) ** 2 * c._f2))
    focal = np.exp(-2 * (np.pi * c.uniform(0.3, 0.6)) ** 2 * c._f2)
    edge = np.clip(np.sqrt(c._f2) / c.uniform(0.3, 0.7), 0, 1)
    return np.asarray(focal * (0.5 + 0.5 * np.cos(np.pi * edge)))


def phantom(n: int, rng: np.random.Generator) -> Array:
    """One slice (n, n) float32 in HU, as sharp as a scanner makes it."""
    c = Canvas(n, rng)
    SITES[int(rng.integers(len(SITES)))](c)
    if rng.random() < 0.8:
        _couch(c)
    blurred = np.fft.irfft2(np.fft.rfft2(c.hu) * _response(c), (n, n))
    return np.clip(blurred, -1024, 3071).astype(np.float32)


def phantoms(count: int, n: int, seed: int) -> Array:
    """`count` slices (count, n, n) float32 in HU; equal seeds give equal slices."""
    rng = np.random.default_rng(seed)
    return np.stack([phantom(n, rng) for _ in range(count)])
