"""Classical 2x interpolation on the half-pixel-centred grid: the baselines of super-resolution."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def lanczos(coarse: Array, lobes: int) -> Array:
    """(R, C) -> (2R, 2C): sinc windowed by its own main lobe stretched over `lobes` pixels.

    C. Duchon, J. Appl. Meteorol. 18 (1979). Taps are normalised to sum to 1; edges are clamped.
    """
    return _double_along(_double_along(coarse, 1, lobes), 0, lobes)


def _double_along(image: Array, axis: int, lobes: int) -> Array:
    """Output 2i lies 1/4 before source i, output 2i + 1 lies 1/4 after it."""
    pixels = np.arange(-lobes, lobes + 1)
    widths = [(0, 0), (0, 0)]
    widths[axis] = (lobes, lobes)
    padded = np.pad(image, widths, mode="edge")
    length = image.shape[axis]
    phases = []
    for phase in (-0.25, 0.25):
        distance = pixels - phase
        taps = np.sinc(distance) * np.sinc(distance / lobes) * (np.abs(distance) < lobes)
        taps /= taps.sum()
        phases.append(
            sum(
                np.float32(tap) * np.take(padded, np.arange(k, k + length), axis)
                for k, tap in enumerate(taps)
            )
        )
    rows, columns = image.shape
    doubled = (2 * rows, columns) if axis == 0 else (rows, 2 * columns)
    return np.stack(phases, axis=axis + 1).reshape(doubled).astype(np.float32)
