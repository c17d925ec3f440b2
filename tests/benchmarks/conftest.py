"""Images that the benchmarks' tests judge on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicoms import make_dicom, save


@pytest.fixture
def clean_ct(tmp_path: Path) -> Path:
    """A folder of one CT image that no run has seen."""
    pytest.importorskip("torch", reason="needs the extra [workstation]")
    from scanside.train.phantoms.ct import phantom

    words = (phantom(160, np.random.default_rng(3)) + 1024).round().astype(np.uint16)
    place = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    scale = {"RescaleSlope": 1, "RescaleIntercept": -1024, "PixelSpacing": [0.9, 0.9]}
    folder = tmp_path / "clean"
    folder.mkdir()
    save(make_dicom(words, bits=12, **place, **scale), folder / "one.dcm")
    return folder
