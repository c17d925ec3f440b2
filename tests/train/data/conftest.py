"""Small invented series for the tests of the data room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import generate_uid

from dicoms import make_dicom, save


@pytest.fixture
def make_series(tmp_path: Path) -> Callable[..., list[Path]]:
    """Axial CT images of noise, one for each position along z (mm), in one series.

    `each` maps an element to its values, one for an image; other elements hold for all. None leaves
    an element out.
    """

    def make(
        positions: list[float],
        name: str = "series",
        side: int = 32,
        each: dict[str, list[Any]] | None = None,
        **elements: Any,
    ) -> list[Path]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(len(positions))
        common = {
            "SeriesInstanceUID": generate_uid(),
            "RescaleSlope": 1,
            "RescaleIntercept": -1024,
            "PixelSpacing": [0.7, 0.7],
            "SliceThickness": 4,
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        } | elements
        paths = []
        for index, position in enumerate(positions):
            words = rng.integers(0, 4000, (side, side)).astype(np.uint16)
            words[0, 0] = index
            own = {key: values[index] for key, values in (each or {}).items()}
            place = {"ImagePositionPatient": [0, 0, position]}
            given = {**common, **place, **own}
            given = {key: value for key, value in given.items() if value is not None}
            dataset = make_dicom(words, bits=12, **given)
            # Names that say nothing of the order.
            paths.append(save(dataset, folder / f"{(7 * index) % 31:02d}.dcm"))
        return paths

    return make
