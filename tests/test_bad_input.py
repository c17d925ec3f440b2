"""Bad input at the command line: a typed error, its exit code, a next step, nothing half done."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundles import write_test_bundle
from dicoms import make_dicom, save
from scanside.runtime import errors
from scanside.runtime.cli import main
from scanside.train.recipes import recipe_text

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(one) for one in arguments])
        return int(ended.value.code or 0), capfd.readouterr().err

    return call


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_test_bundle(tmp_path / "good.scanside", modality=("CT",))


@pytest.fixture
def slice_(tmp_path: Path) -> Path:
    words = np.random.default_rng(0).integers(-500, 500, (40, 40)).astype(np.int16)
    return save(make_dicom(words, Modality="CT"), tmp_path / "slice.dcm")


def refused(result: tuple[int, str], error: type[errors.ScansideError]) -> str:
    code, text = result
    assert code == error.exit_code, text
    assert text.count("error: ") == 1
    assert "  next: " in text
    assert "Traceback" not in text
    return text


def test_an_unknown_recipe(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert "denoise-ct" in refused(run("train", "sharpen", "--out", out), errors.UnknownRecipeError)
    assert not out.exists()


def test_a_wrong_recipe_key(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(recipe_text("quick-ct").replace("steps =", "stepps ="))
    text = refused(run("train", mine, "--out", tmp_path / "run"), errors.RecipeError)
    assert "'stepps'" in text
    assert "did you mean 'steps'" in text
    assert not (tmp_path / "run").exists()


def test_a_series_of_mixed_modalities(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    words = np.random.default_rng(0).integers(-500, 500, (128, 128)).astype(np.int16)
    for index, modality in enumerate(("CT", "MR")):
        image = make_dicom(words, Modality=modality, SeriesInstanceUID="1.2.3")
        save(image, data / f"{index}.dcm")
    text = refused(
        run("train", "quick-ct", "--data", data, "--out", tmp_path / "run"), errors.NoImagesError
    )
    assert "modality" in text
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_architecture(run: Run, tmp_path: Path, tiny_run: Path) -> None:
    text = refused(
        run("train", "sr-ct", "--from", tiny_run, "--out", tmp_path / "run"),
        errors.ArchitectureError,
    )
    assert "unet" in text
    assert "sr net" in text


def test_a_precision_that_this_machine_lacks(run: Run, tmp_path: Path) -> None:
    text = run("train", "quick-ct", "--precision", "fp8", "--out", tmp_path / "run")
    assert text[0] == 2  # click's own: it lists the choices


def test_a_training_folder_without_images(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(
        run("train", "denoise-ct", "--data", tmp_path / "empty", "--out", tmp_path / "run"),
        errors.NoImagesError,
    )
    assert not (tmp_path / "run").exists()


def test_compiling_no_run(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.scanside"
    refused(run("compile", tmp_path, "--out", out), errors.RunFolderError)
    assert not out.exists()


def test_a_folder_without_readable_images(run: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "notes.txt").write_text("no image")
    refused(run("enhance", bundle, tmp_path / "scans", tmp_path / "out"), errors.NoImagesError)
    assert not list(tmp_path.glob("out/**/*.dcm"))


def damaged(kind: str, slice_: Path) -> Path:
    path = slice_.with_name(f"{kind}.dcm")
    if kind == "truncated":
        path.write_bytes(slice_.read_bytes()[:-700])
    elif kind == "colour":
        words = np.zeros((8, 8, 3), np.uint8)
        dataset = make_dicom(words[..., 0], Modality="CT")
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
        dataset.PlanarConfiguration = 0
        dataset.PixelData = words.tobytes()
        save(dataset, path)
    else:
        dataset = make_dicom(np.zeros((8, 8), np.int16), Modality="CT")
        del dataset.PixelData
        save(dataset, path)
    return path


@pytest.mark.parametrize("kind", ["truncated", "colour", "pixel-less"])
def test_a_broken_image(run: Run, bundle: Path, slice_: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out.dcm"
    refused(run("enhance", bundle, damaged(kind, slice_), out), errors.ImageError)
    assert not out.exists()


def test_one_bad_file_among_many(run: Run, bundle: Path, slice_: Path, tmp_path: Path) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    for name in ("a.dcm", "c.dcm"):
        shutil.copy(slice_, scans / name)
    shutil.copy(damaged("truncated", slice_), scans / "b.dcm")
    text = refused(run("enhance", bundle, scans, out), errors.PartialError)
    assert "b.dcm" in text
    assert sorted(path.name for path in out.iterdir()) == ["a.dcm", "c.dcm"]


def test_a_wrong_modality(run: Run, bundle: Path, tmp_path: Path) -> None:
    words = np.random.default_rng(0).integers(0, 500, (40, 40)).astype(np.int16)
    source = save(make_dicom(words, Modality="MR"), tmp_path / "mr.dcm")
    text = refused(run("enhance", bundle, source, tmp_path / "x.dcm"), errors.RefusedFrameError)
    assert "wrong modality" in text or "is for CT" in text
    assert not (tmp_path / "x.dcm").exists()


@pytest.mark.parametrize("verb", ["inspect", "serve", "enhance"])
def test_a_damaged_bundle(run: Run, bundle: Path, slice_: Path, tmp_path: Path, verb: str) -> None:
    raw = bytearray(bundle.read_bytes())
    raw[len(raw) // 2] ^= 1
    broken = tmp_path / "broken.scanside"
    broken.write_bytes(raw)
    more = {"inspect": [], "serve": ["--bind", "tcp://127.0.0.1:*", "--allow-unsigned"]}
    arguments = more.get(verb, [slice_, tmp_path / "x.dcm"])
    code, text = run(verb, broken, *arguments)
    assert code == errors.BundleError.exit_code
    assert "error: " in text
    assert not (tmp_path / "x.dcm").exists()


def test_a_port_in_use(run: Run, bundle: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        refused(run("serve", bundle, "--bind", url, "--allow-unsigned"), errors.AddressInUseError)


def test_a_server_that_is_not_there(run: Run, slice_: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    code, text = run("send", slice_, "--to", url, "--out", tmp_path / "x.dcm")
    assert code == errors.ServerUnreachableError.exit_code, text
    assert not (tmp_path / "x.dcm").exists()


def test_an_unsigned_bundle_is_served_only_when_allowed(run: Run, bundle: Path) -> None:
    refused(run("serve", bundle, "--bind", "tcp://127.0.0.1:*"), errors.UnsignedBundleError)


def test_an_unexpected_error_shows_no_text_of_its_own(
    run: Run, monkeypatch: pytest.MonkeyPatch, bundle: Path
) -> None:
    from scanside.runtime import bundle as module

    def explode(path: Path) -> None:
        raise RuntimeError("DOE^JOHN")

    monkeypatch.setattr(module.Bundle, "open", explode)
    code, text = run("inspect", bundle)
    assert code == 1
    assert "DOE" not in text
    assert "RuntimeError" in text
