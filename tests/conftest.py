"""Fixtures that every package's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real DICOM from real scanners: SCANSIDE_DATA, by default shared/data beside the checkout."""
    folder = Path(os.environ.get("SCANSIDE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real DICOM here: set SCANSIDE_DATA to the folder that holds it")
    return folder
