"""Strong edges: MTF50 of bone and air before and after, so that blur is not taken for less noise.

Profiles are taken across the strongest edges of the clean image, along the gradient, and averaged
as they are aligned there (the edge-spread function; ISO 12233's slanted edge, on edges that anatomy
slants). Its derivative is the line-spread function, whose Fourier transform is the MTF.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.signal.windows import tukey

from scanside.train.metrics.case import Image, Mask

REACH, STEP = 5.0, 0.25
"""Pixels either side of an edge, and between samples of its profile."""
COUNT = 2000
"""With so many, 40 HU of noise moves the ratio by half a percent."""
APART = 2
STRONG = 0.25
"""Of the steepest gradient: bone and air, not one tissue beside another."""
PADDED = 1024
Array = npt.NDArray[np.float64]


class Edges(NamedTuple):
    """centre: (N, 2) row and column, to a part of a pixel. normal: (N, 2) unit vectors uphill."""

    centre: Array
    normal: Array


def find_edges(clean: Image, inside: Mask, count: int = COUNT) -> Edges:
    """The strongest edges of an image, at least two pixels apart, away from its borders."""
    smooth = ndimage.gaussian_filter(clean.astype(np.float64), 1.0)
    rows, columns = np.gradient(smooth)
    strength = np.hypot(rows, columns)
    reach = int(REACH) + 2
    allowed = ndimage.binary_erosion(inside, iterations=reach, border_value=0)
    peaks = (strength == ndimage.maximum_filter(strength, 2 * APART + 1)) & allowed
    peaks &= strength > STRONG * np.percentile(strength, 99.9)
    found = np.argwhere(peaks)
    order = np.argsort(-strength[peaks], kind="stable")[:count]
    at = found[order]
    gradient = np.stack([rows[tuple(at.T)], columns[tuple(at.T)]], 1)
    normal = gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
    before, here, behind = (
        ndimage.map_coordinates(strength, (at + step * normal).T, order=3) for step in (-1, 0, 1)
    )
    # The top of the parabola through three samples of the gradient: an edge lies between pixels,
    # and profiles that are half a pixel off would blur their mean.
    curve = np.minimum(before - 2 * here + behind, -1e-9)
    offset = np.clip((before - behind) / (2 * curve), -0.5, 0.5)
    return Edges(at + offset[:, None] * normal, normal)


def edge_spread(image: Image, edges: Edges) -> Array:
    """The mean profile across the edges, from 5 pixels before to 5 behind, every quarter pixel."""
    distance = np.arange(-REACH, REACH + STEP / 2, STEP)
    places = edges.centre[:, None, :] + distance[None, :, None] * edges.normal[:, None, :]
    values = ndimage.map_coordinates(
        image.astype(np.float64), places.reshape(-1, 2).T, order=3, mode="nearest"
    )
    spread: Array = values.reshape(len(edges.centre), -1).mean(0)
    return spread


def mtf50(image: Image, edges: Edges) -> float:
    """Frequency at which the MTF across the edges has fallen to a half, cycles per pixel.

    Of the mean profile: noise averages out over the edges. A Tukey window keeps what lies beyond an
    edge (the next one) out of its line-spread function.
    """
    line = np.gradient(edge_spread(image, edges), STEP)
    line = line * tukey(len(line), 0.5)
    transfer = np.abs(np.fft.rfft(line, PADDED))
    transfer /= transfer[0]
    frequency = np.fft.rfftfreq(PADDED, STEP)
    below = int(np.argmax(transfer < 0.5))
    left, right = transfer[below - 1], transfer[below]
    part = (left - 0.5) / (left - right)
    return float(frequency[below - 1] + part * (frequency[below] - frequency[below - 1]))


def mtf50_ratio(image: Image, clean: Image, edges: Edges) -> float:
    """MTF50 of an image over the clean one's: 1 is as sharp, less is blurred."""
    return mtf50(image, edges) / mtf50(clean, edges)
