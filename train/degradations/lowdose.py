"""Low-dose CT noise, made where it is born: in the sinogram.

White Gaussian noise is not CT noise. Here photons are counted (Poisson, in its Gaussian limit) and
the electronics add their own; the logarithm and the filtered back-projection turn that into the
correlated, position-dependent noise of a reconstruction. Only the noise is reconstructed and added
to the image, so that the image itself loses no sharpness. Back-projection is linear, which makes
that exact.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scanside.train.degradations.projection import filtered_back_projection, forward_project

MU_WATER = 0.0192
"""Linear attenuation of water at about 70 keV, per mm (NIST XCOM)."""
PROJECTION_SIDE = 256
"""The expected counts vary slowly, so they are projected on at most this many pixels a side."""
SOFT_TISSUE_HU = (-150.0, 150.0)
AIR_HU = -1000.0


def counts(hu: Tensor, *, pixel_mm: float, views: int, photons: float) -> Tensor:
    """Expected photons per detector bin, (B, views, n), for images hu (B, n, n) in HU.

    pixel_mm: side of a pixel. photons: I0, the unattenuated count per bin and view. Values under
    air (padding of -1500 or -2000) count as air.
    """
    n = hu.shape[-1]
    density = (hu.clamp(min=AIR_HU) / 1000 + 1) * MU_WATER * pixel_mm
    step = max(1, n // PROJECTION_SIDE)
    coarse = F.avg_pool2d(density[:, None], step)[:, 0] if step > 1 else density
    path = forward_project(coarse, views) * step
    if path.shape[-1] != n:
        path = F.interpolate(path, size=n, mode="linear", align_corners=False)
    return photons * torch.exp(-path)


def noise_fields(
    expected: Tensor,
    *,
    pixel_mm: float,
    electronic: float,
    cutoff: float,
    generator: torch.Generator,
) -> Tensor:
    """One realisation of the reconstructed noise, (B, n, n) in HU, for `counts` (B, views, n).

    The variance of -log of a count N with electronic noise of standard deviation `electronic`
    (photons) is (N + electronic^2) / N^2 to first order. cutoff: of the reconstruction kernel, in
    cycles per pixel.
    """
    safe = expected.clamp(min=1.0)
    deviation = (safe + electronic**2).sqrt() / safe
    error = torch.randn(expected.shape, generator=generator) * deviation
    return filtered_back_projection(error, cutoff) * (1000 / (MU_WATER * pixel_mm))


def field_of_view(hu: Tensor, padding: tuple[float, float] | None = None) -> Tensor:
    """Where the scanner reconstructed anything, (B, n, n) bool: within the circle, not padding.

    padding: lowest and highest HU that is padding.
    """
    n = hu.shape[-1]
    line = torch.arange(n) - (n - 1) / 2
    inside = (line[:, None] ** 2 + line[None, :] ** 2) <= (n / 2) ** 2
    mask = inside.expand_as(hu)
    return mask if padding is None else mask & ~((hu >= padding[0]) & (hu <= padding[1]))


def soft_tissue(hu: Tensor, inside: Tensor) -> Tensor:
    """Mask of soft tissue inside the field of view; the whole field where there is none."""
    low, high = SOFT_TISSUE_HU
    tissue = (hu > low) & (hu < high) & inside
    enough = tissue.flatten(1).sum(1) >= 64
    return torch.where(enough[:, None, None], tissue, inside)


def noise_at(
    hu: Tensor,
    sigma_hu: float,
    *,
    pixel_mm: float,
    views: int,
    cutoff: float,
    generator: torch.Generator,
    inside: Tensor | None = None,
    photons: float = 1e5,
    electronic: float = 10.0,
) -> Tensor:
    """Noise of a dose at which soft tissue has the standard deviation `sigma_hu`, (B, n, n) in HU.

    The field is made at `photons` and scaled, image by image: at these counts the deviation goes
    as one over the root of the dose. Zero outside `inside` (default: the circle).
    """
    if inside is None:
        inside = field_of_view(hu)
    expected = counts(hu, pixel_mm=pixel_mm, views=views, photons=photons)
    field = noise_fields(
        expected, pixel_mm=pixel_mm, electronic=electronic, cutoff=cutoff, generator=generator
    )
    where = soft_tissue(hu, inside).float()
    weight = where.flatten(1).sum(1).clamp(min=1)
    mean = (field * where).flatten(1).sum(1) / weight
    variance = ((field - mean[:, None, None]).square() * where).flatten(1).sum(1) / weight
    return field * (sigma_hu / variance.sqrt().clamp(min=1e-6))[:, None, None] * inside
