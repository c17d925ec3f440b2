"""Low-dose noise against what physics says of it."""

import numpy as np
import pytest
import torch

from scanside.train.degradations.lowdose import (
    counts,
    field_of_view,
    noise_at,
    noise_fields,
    soft_tissue,
)

N = 128


def water(padding: bool = False) -> torch.Tensor:
    line = torch.arange(N) - (N - 1) / 2
    radius = (line[:, None] ** 2 + line[None, :] ** 2).sqrt()
    hu = torch.where(radius < N * 0.35, 40.0, -1000.0)
    return (torch.where(radius > N / 2, -2000.0, hu) if padding else hu)[None]


def fields(photons: float, count: int = 6, electronic: float = 0.0) -> torch.Tensor:
    expected = counts(water().expand(count, -1, -1), pixel_mm=1.0, views=90, photons=photons)
    return noise_fields(
        expected,
        pixel_mm=1.0,
        electronic=electronic,
        cutoff=0.5,
        generator=torch.Generator().manual_seed(1),
    )


def test_counts_follow_beer_and_lambert():
    expected = counts(water(), pixel_mm=1.0, views=4, photons=1e5)[0]
    path_mm = 2 * 0.35 * N
    assert expected[:, N // 2].numpy() == pytest.approx(
        1e5 * np.exp(-0.0192 * 1.04 * path_mm), rel=0.05
    )
    assert expected[:, 2].numpy() == pytest.approx(1e5, rel=1e-3)


def test_variance_goes_as_one_over_the_dose():
    middle = np.s_[:, N // 3 : -N // 3, N // 3 : -N // 3]
    low, high = fields(1e4)[middle].var(), fields(1e5)[middle].var()
    assert low / high == pytest.approx(10, rel=0.02)


def test_electronic_noise_matters_where_few_photons_arrive():
    middle = np.s_[:, N // 3 : -N // 3, N // 3 : -N // 3]
    quiet, loud = fields(300)[middle].std(), fields(300, electronic=20.0)[middle].std()
    assert loud > 1.5 * quiet


def test_the_noise_power_spectrum_is_that_of_filtered_back_projection():
    """NPS(f) of FBP goes as f Hann(f)^2 (Riederer et al. 1978), times sinc(f)^4 of the linear
    interpolation. White noise would be flat."""
    patch = fields(1e5, count=24)[:, 40:88, 40:88].numpy()
    taper = np.outer(np.hanning(48), np.hanning(48))
    spectrum = np.square(np.abs(np.fft.fft2(patch * taper))).mean(0)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(48), np.fft.fftfreq(48)))
    theory = f * (0.5 + 0.5 * np.cos(2 * np.pi * np.minimum(f, 0.5))) ** 2 * np.sinc(f) ** 4
    bands = [(f > low) & (f < low + 0.06) for low in (0.06, 0.14, 0.22, 0.30, 0.38)]
    found = np.array([spectrum[band].mean() for band in bands])
    expected = np.array([theory[band].mean() for band in bands])
    assert expected.max() > 5 * expected.min()
    assert found / found.sum() == pytest.approx(expected / expected.sum(), abs=0.03)


@pytest.mark.parametrize("sigma", [10.0, 40.0])
def test_soft_tissue_has_the_deviation_that_was_asked_for(sigma):
    hu = water()
    inside = field_of_view(hu)
    noise = noise_at(
        hu, sigma, pixel_mm=1.0, views=90, cutoff=0.5, generator=torch.Generator().manual_seed(0)
    )
    assert noise[soft_tissue(hu, inside)].std().item() == pytest.approx(sigma, rel=0.01)
    assert (noise[~inside] == 0).all()


def test_padding_gets_no_noise_and_casts_no_shadow():
    padded, plain = water(padding=True), water()
    inside = field_of_view(padded, (-2000.0, -2000.0))
    assert not inside[0, 0, 0]
    same = [counts(one, pixel_mm=1.0, views=4, photons=1e5) for one in (padded, plain)]
    assert torch.equal(*same)
