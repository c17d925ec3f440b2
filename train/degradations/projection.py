"""Parallel-beam projection and filtered back-projection in torch, in pixel units.

Geometry: square images of n x n pixels, n detector bins one pixel wide, views spread evenly over
180 degrees, everything centred on (n - 1) / 2. Formulas: Kak and Slaney, Principles of
Computerized Tomographic Imaging (1988), chapter 3.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

VIEWS_AT_ONCE = 20  # bounds the memory of the sampling grids


def _centred(n: int) -> Tensor:
    return torch.arange(n, dtype=torch.float32) - (n - 1) / 2


def _angles(views: int) -> Tensor:
    return torch.arange(views, dtype=torch.float32) * (math.pi / views)


def forward_project(images: Tensor, views: int) -> Tensor:
    """Line integrals of images (B, n, n): a sinogram (B, views, n), in units of value x pixels."""
    batch, n, _ = images.shape
    line = _centred(n)
    parts = []
    for angles in torch.split(_angles(views), VIEWS_AT_ONCE):
        cos, sin = torch.cos(angles)[:, None, None], torch.sin(angles)[:, None, None]
        # (views, samples along the ray, bins)
        x = line[None, None, :] * cos - line[None, :, None] * sin
        y = line[None, None, :] * sin + line[None, :, None] * cos
        grid = (torch.stack([x, y], -1) * (2 / n)).reshape(1, -1, n, 2)
        sampled = F.grid_sample(
            images[:, None], grid.expand(batch, -1, -1, -1), mode="bilinear", align_corners=False
        )
        parts.append(sampled.reshape(batch, len(angles), n, n).sum(2))
    return torch.cat(parts, 1)


def ramp_response(length: int, cutoff: float) -> Tensor:
    """Frequency response of the band-limited ramp under a Hann window, (length // 2 + 1,).

    The ramp is the transform of its exact spatial samples (Kak and Slaney, eq. 61), so that it has
    no offset at zero frequency. cutoff: where the window reaches zero, in cycles per pixel;
    0.5 is a soft kernel that uses the whole band, smaller is smoother.
    """
    taps = torch.zeros(length)
    taps[0] = 0.25
    odd = torch.arange(1, length // 2 + 1, 2)
    taps[odd] = taps[-odd] = -1 / (math.pi * odd.float()) ** 2
    frequency = torch.fft.rfftfreq(length)
    hann = torch.where(
        frequency < cutoff, 0.5 + 0.5 * torch.cos(math.pi * frequency / cutoff), torch.zeros(())
    )
    response: Tensor = torch.fft.rfft(taps).real * hann
    return response


def filtered_back_projection(sinogram: Tensor, cutoff: float = 0.5) -> Tensor:
    """Images (B, n, n) from a sinogram (B, views, n); the inverse of `forward_project`."""
    batch, views, n = sinogram.shape
    length = 1 << (2 * n - 1).bit_length()  # zero padding: no wrap-around
    spectrum = torch.fft.rfft(sinogram, length) * ramp_response(length, cutoff)
    filtered = torch.fft.irfft(spectrum, length)[..., :n]
    line = _centred(n)
    image = torch.zeros(batch, n, n)
    start = 0
    for angles in torch.split(_angles(views), VIEWS_AT_ONCE):
        count = len(angles)
        bins = (
            line[None, None, :] * torch.cos(angles)[:, None, None]
            + line[None, :, None] * torch.sin(angles)[:, None, None]
        ) * (2 / n)
        rows = ((torch.arange(count) + 0.5) * (2 / count) - 1)[:, None, None].expand_as(bins)
        grid = torch.stack([bins, rows], -1).reshape(1, count * n, n, 2)
        sampled = F.grid_sample(
            filtered[:, None, start : start + count],
            grid.expand(batch, -1, -1, -1),
            align_corners=False,
        )
        image += sampled.reshape(batch, count, n, n).sum(1)
        start += count
    return image * (math.pi / views)
