"""Projection against geometry: chords of a disc, and back."""

import numpy as np
import pytest
import torch

from scanside.train.degradations.projection import (
    filtered_back_projection,
    forward_project,
    ramp_response,
)


def disc(n: int, radius: float, row: float = 0.0, column: float = 0.0) -> torch.Tensor:
    line = torch.arange(n) - (n - 1) / 2
    inside = (line[:, None] - row) ** 2 + (line[None, :] - column) ** 2 < radius**2
    return inside.float()[None]


def test_projection_of_a_disc_is_its_chords():
    sinogram = forward_project(disc(128, 40), 12)[0].numpy()
    offset = np.arange(128) - 63.5
    chords = 2 * np.sqrt(np.clip(40.0**2 - offset**2, 0, None))
    inner = np.abs(offset) < 36
    assert np.abs(sinogram[:, inner] - chords[inner]).max() < 2.0
    assert np.abs(sinogram[:, np.abs(offset) > 43]).max() == 0


def test_an_off_centre_disc_moves_as_a_sine():
    sinogram = forward_project(disc(128, 6, column=30), 4)[0]
    centres = (sinogram * (torch.arange(128) - 63.5)).sum(1) / sinogram.sum(1)
    expected = 30 * torch.cos(torch.arange(4) * torch.pi / 4)
    assert torch.allclose(centres, expected, atol=0.3)


@pytest.mark.parametrize("n", [64, 129])
def test_back_projection_inverts_projection(n):
    image = disc(n, n / 3)
    back = filtered_back_projection(forward_project(image, 180))[0]
    middle = slice(n // 2 - n // 8, n // 2 + n // 8)
    assert back[middle, middle].mean() == pytest.approx(1, abs=0.02)
    assert back[2 : n // 10, n // 2].abs().mean() < 0.05


def test_the_ramp_is_a_ramp_that_ends_at_its_cutoff():
    response = ramp_response(1024, 0.3).numpy()
    frequency = np.fft.rfftfreq(1024)
    assert abs(response[0]) < 1e-3
    hann = 0.5 + 0.5 * np.cos(np.pi * frequency / 0.3)
    within = (frequency > 0.02) & (frequency < 0.29)
    assert np.allclose(response[within], (frequency * hann)[within], atol=2e-3)
    assert (response[frequency >= 0.3] == 0).all()
