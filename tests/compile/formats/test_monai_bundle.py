"""The MONAI bundle in the hands of genuine MONAI."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from pydicom.dataset import Dataset

from bundles import CT_WINDOW, write_test_bundle
from dicoms import make_dicom, save
from scanside.compile.formats.monai_bundle import write_monai
from scanside.runtime.bundle import CPU_MODEL, MANIFEST, MODEL, Bundle
from scanside.runtime.dicom.read import read_image
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.manifest import Acceptance, Percentiles, StoredRange

CHILD = Path(__file__).with_name("monai_child.py")
WARNING = 'a "small" disc keeps 48% of its contrast'
ACCEPTANCE = Acceptance(
    data="none",
    data_range=4095.0,
    unit="HU",
    drift_limit_db=0.1,
    figures={"psnr": 40.0},
    warnings=(WARNING,),
)
MODELS = {
    "a CT window, in tiles": {
        "intensity": CT_WINDOW,
        "residual": "blur",
        "tile": 48,
        "multiple_of": 4,
        "receptive_field": 1,
    },
    "percentiles, twice as large": {
        "intensity": Percentiles(lower=1.0, upper=99.0, margin=0.5),
        "residual": "blur",
        "scale": 2,
        "receptive_field": 1,
    },
    "the stored range, a constant": {"intensity": StoredRange(), "residual": 0.25},
}
REQUIRED = {
    "authors", "copyright", "description", "monai_version", "network_data_format",
    "numpy_version", "pytorch_version", "required_packages_version", "schema", "task", "version",
}  # fmt: skip
"""What MONAI's schema of 25 July 2024 requires."""
TENSOR = {"dtype", "format", "num_channels", "spatial_shape", "type", "value_range"}

pytest.importorskip("ignite", reason="MONAI's evaluators need pytorch-ignite, of the extra [dev]")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Odd sizes, 12 bits, padding, MONOCHROME1, two frames, a folder within, a stranger."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(5)
    words = rng.integers(0, 4096, (57, 70)).astype(np.uint16)
    scaled = {"RescaleSlope": 1, "RescaleIntercept": -1024}
    save(make_dicom(words, 12, **scaled), folder / "twelve.dcm")
    padded = rng.integers(-900, 900, (40, 33)).astype(np.int16)
    padded[:9] = -2000
    save(make_dicom(padded, PixelPaddingValue=-2000), folder / "padded.dcm")
    inverted = make_dicom(words, 12, PhotometricInterpretation="MONOCHROME1", **scaled)
    save(inverted, folder / "inverted.dcm")
    (folder / "within").mkdir()
    two = make_dicom(np.stack([words, words[::-1]]), 12)
    two.PerFrameFunctionalGroupsSequence = [rescaled(1, -1024), rescaled(0.5, -600)]
    save(two, folder / "within" / "two.dcm")
    (folder / "notes.txt").write_text("not an image")
    return folder


def rescaled(slope: float, intercept: float) -> Dataset:
    rule, group = Dataset(), Dataset()
    rule.RescaleSlope, rule.RescaleIntercept, rule.RescaleType = slope, intercept, "HU"
    group.PixelValueTransformationSequence = [rule]
    return group


def expected(bundle: Path, folder: Path) -> dict[str, np.ndarray]:
    """What the runtime's engine on ONNX Runtime makes of every frame."""
    engine = open_engine(Bundle.open(bundle), "onnxruntime", threads=1)
    found = {}
    for path in sorted(folder.rglob("*.dcm")):
        image = read_image(path)
        name = path.relative_to(folder).as_posix()
        for frame, words in enumerate(engine.run(image.words, image.facts), 1):
            found[f"{name}.{frame:04}.npy"] = words
    return found


def run_child(exported: Path, images: Path, out: Path) -> dict:
    command = [sys.executable, str(CHILD), str(exported), str(images), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("model", MODELS)
def test_monai_runs_it_without_scanside_to_the_very_pixels_of_the_runtime(model, images, tmp_path):
    bundle = write_test_bundle(tmp_path / "model.scanside", **MODELS[model])
    exported = write_monai(Bundle.open(bundle), CPU_MODEL, tmp_path / "exported", False)
    found = run_child(exported, images, tmp_path / "out")
    wanted = expected(bundle, images)
    assert found["missing"] == []
    assert found["version"] == "1.0.0"
    assert found["written"] == sorted(wanted)
    assert len(wanted) == 5
    changed = 0
    for name, words in wanted.items():
        result = np.load(tmp_path / "out" / name)
        assert result.dtype == words.dtype
        np.testing.assert_array_equal(result, words)
        original = read_image(images / name[: -len(".0001.npy")]).words
        changed += words.shape != original.shape[1:] or (words != original).any()
    assert changed  # or equality would prove nothing


def test_a_trained_model_gives_the_same_real_ct(tiny_bundle, data_dir, tmp_path):
    series = tmp_path / "series"
    series.mkdir()
    for name in ("01.dcm", "14.dcm"):
        (series / name).write_bytes((data_dir / "ct_ge_hispeed_dual" / name).read_bytes())
    exported = write_monai(Bundle.open(tiny_bundle), CPU_MODEL, tmp_path / "exported", False)
    run_child(exported, series, tmp_path / "out")
    for name, words in expected(tiny_bundle, series).items():
        np.testing.assert_array_equal(np.load(tmp_path / "out" / name), words)


def test_the_command_in_its_readme_runs(images, tmp_path):
    pytest.importorskip("fire", reason="MONAI's command line needs fire, of the extra [dev]")
    bundle = write_test_bundle(tmp_path / "model.scanside")
    exported = write_monai(Bundle.open(bundle), CPU_MODEL, tmp_path / "exported", False)
    text = (exported / "docs/README.md").read_text()
    (block,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    (line,) = [one for one in block.replace("\\\n", "").splitlines() if "monai.bundle" in one]
    given = {"python": sys.executable, "/path/to/dicom": images, "/path/to/results": tmp_path / "o"}
    command = [str(given.get(word, word)) for word in line.split()]
    subprocess.run(command, cwd=exported, check=True, capture_output=True, timeout=200)
    assert len(list((tmp_path / "o").rglob("*.npy"))) == 5


def test_another_network_in_its_place_is_refused(images, tmp_path):
    bundle = write_test_bundle(tmp_path / "model.scanside")
    exported = write_monai(Bundle.open(bundle), CPU_MODEL, tmp_path / "exported", False)
    with (exported / "models/model.onnx").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(AssertionError, match="BundleIntegrityError"):
        run_child(exported, images, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_cannot_be_served_is_named_before_anything_is_written(images, tmp_path):
    bundle = write_test_bundle(tmp_path / "model.scanside")
    exported = write_monai(Bundle.open(bundle), CPU_MODEL, tmp_path / "exported", False)
    series = tmp_path / "series"
    series.mkdir()
    words = np.zeros((40, 40), np.uint16)
    save(make_dicom(words), series / "a.dcm")
    save(make_dicom(words, ImageType=["ORIGINAL", "PRIMARY", "MOSAIC"]), series / "b.dcm")
    with pytest.raises(AssertionError, match=r"UnsupportedImageError: b\.dcm: mosaic"):
        run_child(exported, series, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Path]:
    folder = tmp_path_factory.mktemp("exported")
    path = write_test_bundle(
        folder / "model.scanside", multiple_of=4, scale=2, acceptance=ACCEPTANCE
    )
    bundle = Bundle.open(path)
    return bundle, write_monai(bundle, CPU_MODEL, folder / "exported", False)


def test_the_bytes_are_those_that_were_verified(exported):
    bundle, folder = exported
    assert (folder / "models/model.onnx").read_bytes() == bundle.member(CPU_MODEL)
    assert (folder / "configs/manifest.json").read_bytes() == bundle.member(MANIFEST)
    card = json.loads((folder / "scanside.json").read_bytes())
    assert card["sha256"] == hashlib.sha256(bundle.member(CPU_MODEL)).hexdigest()


def test_the_metadata_has_what_the_schema_requires(exported):
    """By name, for where the schema cannot be had; the next test is MONAI's own."""
    metadata = json.loads((exported[1] / "configs/metadata.json").read_bytes())
    assert metadata.keys() >= REQUIRED
    networks = metadata["network_data_format"]
    for tensor in (*networks["inputs"].values(), *networks["outputs"].values()):
        assert tensor.keys() >= TENSOR
    assert networks["inputs"]["image"]["spatial_shape"] == ["4 * n", "4 * n"]
    assert networks["outputs"]["pred"]["spatial_shape"] == ["8 * n", "8 * n"]


@pytest.mark.filterwarnings("ignore:No hash value provided")
def test_monai_verifies_the_metadata_against_its_schema(exported, tmp_path):
    """The schema is at a URL: SCANSIDE_MONAI_SCHEMA may name a file that holds it."""
    pytest.importorskip("jsonschema", reason="needs jsonschema, of the extra [dev]")
    from monai.bundle import verify_metadata

    metadata = exported[1] / "configs/metadata.json"
    schema = os.environ.get("SCANSIDE_MONAI_SCHEMA", str(tmp_path / "schema.json"))
    try:
        verify_metadata(meta_file=str(metadata), filepath=schema)
    except URLError:
        pytest.skip("MONAI's schema cannot be downloaded here: not verified against it")
    spoilt = json.loads(metadata.read_bytes())
    del spoilt["network_data_format"]["outputs"]["pred"]["dtype"]
    (tmp_path / "spoilt.json").write_text(json.dumps(spoilt))
    with pytest.raises(ValueError, match="'dtype' is a required property"):
        verify_metadata(meta_file=str(tmp_path / "spoilt.json"), filepath=schema)


def test_warnings_and_caution_are_told_where_they_are_read(exported):
    for name in ("docs/README.md", "configs/metadata.json", "scanside.json"):
        text = (exported[1] / name).read_text().replace('\\"', '"')
        assert WARNING in text, name
        assert "outside the bundle's signature" in text, name


def test_only_the_network_that_enhance_runs_promises_its_pixels(exported, tmp_path):
    bundle, folder = exported
    promise = "the pixels are those of `scanside enhance"
    assert promise in (folder / "docs/README.md").read_text()
    other = write_monai(bundle, MODEL, tmp_path / "other", False)
    assert promise not in (other / "docs/README.md").read_text()


def test_scripts_are_the_runtimes_files_and_import_no_scanside(exported):
    scripts = sorted((exported[1] / "scripts").rglob("*.py"))
    names = {path.relative_to(exported[1] / "scripts").as_posix() for path in scripts}
    assert {"workflow.py", "intensity.py", "tiling.py", "dicom/read.py"} <= names
    for path in scripts:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("scanside") for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                assert not str(node.module).startswith("scanside"), path


def test_the_licence_of_the_scripts_is_with_them(exported):
    assert "Apache License" in (exported[1] / "LICENSE").read_text()
