"""Images from files, varied: a random affine map and, for MR, a smooth shading."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from torchio import Affine, ScalarImage

from scanside.train.data.slice import Slice
from scanside.train.recipe import Augmentation

Plane = npt.NDArray[np.float32]

BIAS_ORDER = 3  # of the polynomial: coil sensitivities are smooth


def augment(piece: Slice, augmentation: Augmentation, rng: np.random.Generator) -> list[Slice]:
    """`augmentation.copies` of an image, the first as it is, of the same shape and dtype.

    Each other is turned by up to `degrees`, magnified by `scale` and shaded (`bias_field`). What
    turns in from outside is padding, or the lowest value where there is none. Values stay whole and
    within the image's own range, but for the shading, which stays within the bits. `pixel_mm` stays
    too: the copy is of a larger or smaller patient. All chance comes from `rng`.
    """
    return [piece, *(_varied(piece, augmentation, rng) for _ in range(augmentation.copies - 1))]


def _varied(piece: Slice, augmentation: Augmentation, rng: np.random.Generator) -> Slice:
    angle = float(rng.uniform(-augmentation.degrees, augmentation.degrees))
    scale = float(rng.uniform(*augmentation.scale))
    values = piece.values.astype(np.float32)
    outside = np.zeros(values.shape, bool)
    if piece.padding is not None:
        outside = (values >= piece.padding[0]) & (values <= piece.padding[1])
    inside = values[~outside]
    low, high = (inside.min(), inside.max()) if inside.size else (values.min(), values.max())
    # Padding lies far from every tissue: a spline across its edge would ring.
    flat = np.where(outside, low, values)
    # B-splines of third order keep the noise's texture, which linear interpolation would smooth.
    moved = _affine(flat, angle, scale, "bspline", float(low)).clip(low, high)
    if augmentation.bias_field > 0:
        moved = moved * bias_field(values.shape, augmentation.bias_field, rng)
    whole = np.clip(np.rint(moved), *piece.limits).astype(piece.values.dtype)
    if piece.padding is not None:
        edge = 1.0 if outside.any() else 0.0
        moved_outside = _affine(outside.astype(np.float32), angle, scale, "nearest", edge) > 0.5
        whole[moved_outside] = piece.padding[0]
    return piece._replace(values=whole)


def bias_field(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> Plane:
    """A random smooth field with mean 1, (R, C) float32: 1 + s p, where p is a polynomial of order
    3 with mean 0 and largest absolute value 1, and s is drawn from 0..`strength`.

    As van Leemput et al. model it (IEEE TMI 18:885, 1999), by polynomials of low order.
    """
    orders = range(BIAS_ORDER + 1)
    coefficients = np.zeros((BIAS_ORDER + 1, BIAS_ORDER + 1))
    for row, column in product(orders, orders):
        if row + column <= BIAS_ORDER:
            coefficients[row, column] = rng.uniform(-1, 1)
    down, across = (np.linspace(-1, 1, side) for side in shape)
    field = np.polynomial.polynomial.polygrid2d(down, across, coefficients)
    field -= field.mean()
    field /= np.abs(field).max()
    return np.asarray(1 + rng.uniform(0, strength) * field, np.float32)


def _affine(values: Plane, degrees: float, scale: float, interpolation: str, fill: float) -> Plane:
    """Turned about the centre and magnified; (R, C) as (channel, R, C, 1) for TorchIO."""
    move = Affine(
        scales=(scale, scale, 1.0),
        degrees=(0.0, 0.0, degrees),
        translation=(0.0, 0.0, 0.0),
        image_interpolation=interpolation,
        default_pad_value=fill,
    )
    tensor = torch.from_numpy(np.ascontiguousarray(values))[None, ..., None]
    image = ScalarImage(tensor=tensor)
    with torch.random.fork_rng(devices=[]):  # TorchIO draws whether to apply a transform at all
        moved = move(image)
    return np.asarray(moved.data[0, ..., 0].numpy(), np.float32)
