"""Strong edges: MTF50 of bone and air before and after, so that blur is not taken for less noise.

Edges are found once, on the clean image, with their place to a part of a pixel, their normal and
the levels on either side; every other image of the slice is then measured along them. Each pixel
near an edge is a sample of the edge-spread function at its own distance from the edge (ISO 12233's
slanted edge, on edges that anatomy slants), so that nothing is interpolated before the averaging.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.interpolate import CubicSpline
from scipy.signal.windows import tukey

from scanside.runtime.errors import TrainingError
from scanside.train.metrics.case import Image, Mask

REACH, STEP = 6.0, 0.25
"""Pixels either side of an edge, and per bin of the edge-spread function."""
COUNT = 300
BREADTH = 2.5  # pixels along the edge either side: a curve of radius 30 strays by 0.1 there
PERCENTILE = 95.0  # of the gradient inside, that an edge has at least
RISE = 2.5  # pixels either side that an edge's rise takes; beyond it lie its levels
SINGLE = 0.75  # a profile's step over its total variation: 1 is one edge, a thin wall has less
APART = 3.0
FEWEST = 20
PADDED = 4096
Array = npt.NDArray[np.float64]


class Edges(NamedTuple):
    """centre (N, 2): row and column, to a part of a pixel. normal (N, 2): unit vectors uphill.
    dark, bright (N,): levels of the clean image on either side, in modality units."""

    centre: Array
    normal: Array
    dark: Array
    bright: Array


def find_edges(clean: Image, inside: Mask, count: int = COUNT) -> Edges:
    """The strongest single edges of an image, at most `count`, at least three pixels apart.

    Ridges of the gradient (Gaussian derivatives, 1 pixel) whose profile of +-6 pixels lies inside
    and is one rise between two levels. Raises TrainingError under 20 of them.
    """
    values = clean.astype(np.float64)
    slope = np.stack([ndimage.gaussian_filter(values, 1, order=o) for o in ((1, 0), (0, 1))], -1)
    magnitude = np.hypot(slope[..., 0], slope[..., 1])
    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    strong = (depth > REACH + 1) & (magnitude > 0)
    if inside.any():
        strong &= magnitude >= np.percentile(magnitude[inside], PERCENTILE)
    pixels = np.argwhere(strong).astype(np.float64)
    normal = slope[strong] / magnitude[strong][:, None]
    before, here, after = _along(magnitude, pixels, normal, np.array([-1.0, 0.0, 1.0])).T
    curvature = 2 * here - before - after
    shift = 0.5 * (after - before) / np.where(curvature > 0, curvature, np.inf)
    peak = (curvature > 0) & (np.abs(shift) <= 0.71) & (here >= before) & (here >= after)
    normal = normal[peak]
    centre = pixels[peak] + shift[peak][:, None] * normal
    distance = np.arange(-REACH, REACH + STEP / 2, STEP)
    profile = _along(values, centre, normal, distance)
    dark = profile[:, distance < -RISE].mean(axis=1)
    bright = profile[:, distance > RISE].mean(axis=1)
    step = bright - dark
    single = step > SINGLE * np.abs(np.diff(profile, axis=1)).sum(axis=1)
    kept: list[int] = []
    for one in np.flatnonzero(single)[np.argsort(-step[single], kind="stable")]:
        if len(kept) == count:
            break
        if not kept or np.square(centre[kept] - centre[one]).sum(1).min() >= APART**2:
            kept.append(int(one))
    if len(kept) < FEWEST:
        raise TrainingError(
            f"only {len(kept)} strong edges in this image; sharpness needs {FEWEST}",
            next_step="take a slice with bone or air, or a larger mask",
        )
    return Edges(centre[kept], normal[kept], dark[kept], bright[kept])


def edge_spread(image: Image, edges: Edges) -> Array:
    """(49,): mean profile across the edges from 6 pixels before to 6 behind, every quarter pixel.

    Every pixel within 2.5 along and 6 across an edge is a sample, scaled by the edge's clean levels
    (linear: noise averages out).
    """
    reach = math.ceil(math.hypot(REACH, BREADTH))
    offsets = np.indices((2 * reach + 1,) * 2).reshape(2, -1).T - reach
    pixels = np.rint(edges.centre).astype(int)[:, None, :] + offsets  # (N, P, 2)
    away = pixels - edges.centre[:, None, :]
    across = (away * edges.normal[:, None, :]).sum(-1)
    along = away[..., 0] * edges.normal[:, None, 1] - away[..., 1] * edges.normal[:, None, 0]
    taken = (np.abs(across) <= REACH) & (np.abs(along) <= BREADTH)
    rows, columns = (np.clip(pixels[..., k], 0, image.shape[k] - 1) for k in (0, 1))
    values = image[rows, columns].astype(np.float64)
    scaled = (values - edges.dark[:, None]) / (edges.bright - edges.dark)[:, None]
    bins = np.rint((across[taken] + REACH) / STEP).astype(int)
    grid = np.arange(-REACH, REACH + STEP / 2, STEP)
    filled = np.bincount(bins, minlength=len(grid))
    some = filled > 0
    where = np.bincount(bins, across[taken], len(grid))[some] / filled[some]
    mean = np.bincount(bins, scaled[taken], len(grid))[some] / filled[some]
    # Edges that follow the pixel grid leave bins empty; a sample counts where it really lies.
    spread: Array = CubicSpline(where, mean)(np.clip(grid, where[0], where[-1]))
    return spread


def mtf50(image: Image, edges: Edges) -> float:
    """Frequency at which the MTF across the edges has fallen to a half, cycles per pixel.

    The line spread is the difference of the edge spread under a Tukey window; the sinc of the bin
    and of the difference is divided out. A Gaussian blur of deviation s (0.6 to 1.2 pixels) gives
    sqrt(ln 2 / 2) / (pi s). NaN where no edge is left.
    """
    line = np.diff(edge_spread(image, edges))
    frequency = np.fft.rfftfreq(PADDED, STEP)
    transfer = np.abs(np.fft.rfft(line * tukey(len(line), 0.5), PADDED))
    transfer /= np.sinc(STEP * frequency) ** 2 * transfer[0]
    below = int(np.argmax(transfer < 0.5))
    if below == 0:
        return math.nan
    drop = transfer[below - 1] - transfer[below]
    return float(frequency[below - 1] + frequency[1] * (transfer[below - 1] - 0.5) / drop)


def mtf50_ratio(image: Image, clean: Image, edges: Edges) -> float:
    """MTF50 of an image over the clean one's: 1 is as sharp, less is blurred."""
    return mtf50(image, edges) / mtf50(clean, edges)


def _along(image: Array, place: Array, normal: Array, distance: Array) -> Array:
    """(N, K): the image at each place plus distance (K,) along its normal, by cubic splines."""
    points = place[:, None, :] + distance[None, :, None] * normal[:, None, :]
    sampled: Array = ndimage.map_coordinates(image, np.moveaxis(points, -1, 0), order=3)
    return sampled
