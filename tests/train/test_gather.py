"""What a run is trained on and judged on, from phantoms and files."""

import msgspec
import numpy as np
import pytest

from dicoms import make_dicom, save
from scanside.runtime.errors import EmptySplitError, NoImagesError
from scanside.train.gather import gather
from scanside.train.run import Run
from tiny import TINY

SMALL = msgspec.structs.replace(TINY, phantoms=2, heldout_phantoms=1, crop=32, phantom_side=64)


def write_patients(folder, count: int) -> None:
    rng = np.random.default_rng(0)
    for patient in range(count):
        words = rng.integers(-200, 300, (64, 64)).astype(np.int16)
        usual = {"RescaleSlope": 1, "RescaleIntercept": 0}
        usual |= {"PatientID": f"p{patient}", "PatientName": f"Name^{patient}"}
        save(make_dicom(words, Modality="CT", RescaleType="HU", **usual), folder / f"{patient}.dcm")


def test_files_are_split_by_patient_and_nothing_names_them(tmp_path):
    (tmp_path / "data").mkdir()
    write_patients(tmp_path / "data", 6)
    run, lines = Run(tmp_path / "run"), []
    gathered = gather(SMALL, run, [tmp_path / "data"], lines.append)
    assert gathered.files % SMALL.augmentation.copies == 0
    held = {case.clean.tobytes() for case in gathered.cases}
    assert not any(entry.clean.tobytes() in held for entry in gathered.entries)
    config = run.config()
    assert config.files == gathered.files > 0
    assert "patients from files" in config.data
    written = (run.folder / "config.json").read_text() + "\n".join(lines)
    assert "Name" not in written
    assert "p1" not in written


def test_an_empty_split_is_told(tmp_path):
    with pytest.raises((EmptySplitError, NoImagesError)):
        gather(SMALL, Run(tmp_path / "run"), [tmp_path], lambda line: None)
    assert not (tmp_path / "run").exists()
