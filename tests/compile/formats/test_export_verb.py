"""`scanside export` at the command line: bad input leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundles import write_test_bundle
from scanside.compile.formats.cli import DEFAULT_MODEL
from scanside.compile.formats.folder import new_folder, write
from scanside.compile.formats.usage import CARD
from scanside.runtime import errors
from scanside.runtime.bundle import CPU_MODEL, MODEL, Bundle
from scanside.runtime.cli import main
from scanside.runtime.manifest import Acceptance

FORMATS = list(DEFAULT_MODEL)
WARNED = Acceptance(
    data="none", data_range=1.0, unit="HU", drift_limit_db=0.1, figures={}, warnings=("a loss",)
)


@pytest.fixture
def bundle(tmp_path):
    return write_test_bundle(tmp_path / "m.scanside", acceptance=WARNED)


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    return folder / "export"


@pytest.fixture
def run(capfd):
    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["export", *map(str, arguments)])
        captured = capfd.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return call


def everything(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_is_written_with_its_warnings_and_again_the_same(run, bundle, out, form):
    code, text = run(bundle, "--format", form, "--out", out)
    assert code == 0, text
    assert "WARNING: a loss" in text
    assert "outside the bundle's signature" in text
    first = everything(out.parent)
    models = [data for name, data in first.items() if name.endswith(("model.onnx", "export"))]
    member = {"cpu": CPU_MODEL, "reference": MODEL}[DEFAULT_MODEL[form]]
    assert models == [Bundle.open(bundle).member(member)]
    code, text = run(bundle, "--format", form, "--out", out, "--force")
    assert code == 0, text
    assert everything(out.parent) == first
    assert not list(out.parent.rglob(".*"))


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_there_stays_without_force(run, bundle, out, form):
    run(bundle, "--format", form, "--out", out)
    before = everything(out.parent)
    code, text = run(bundle, "--format", form, "--out", out, "--model", "reference")
    assert code == errors.OutputExistsError.exit_code
    assert "--force" in text
    assert everything(out.parent) == before


def test_force_never_replaces_what_is_no_export(run, bundle, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    for form in ("monai-bundle", "onnx"):
        code, _ = run(bundle, "--format", form, "--out", home, "--force")
        assert code == errors.OutputExistsError.exit_code
    link = tmp_path / "link"
    link.symlink_to(home)
    code, _ = run(bundle, "--format", "monai-bundle", "--out", link, "--force")
    assert code == errors.OutputExistsError.exit_code
    assert everything(home) == {"thesis.txt": b"years of work"}


@pytest.mark.parametrize("form", FORMATS)
def test_a_missing_a_broken_and_a_poorer_bundle_leave_nothing(run, bundle, out, form, tmp_path):
    data = bytearray(bundle.read_bytes())
    data[-2000] ^= 1
    broken = tmp_path / "broken.scanside"
    broken.write_bytes(data)
    for file, more in ((tmp_path / "none", ()), (broken, ()), (bundle, ("--model", "trt"))):
        code, text = run(file, "--format", form, "--out", out, *more)
        assert code == errors.BundleError.exit_code
        assert "  next: " in text
        assert list(out.parent.iterdir()) == []


def test_an_unknown_format_is_a_usage_error(run, bundle, out):
    code, text = run(bundle, "--format", "coreml", "--out", out)
    assert code == 2
    assert "'monai-bundle', 'triton', 'onnx'" in text


@pytest.mark.parametrize("form", FORMATS)
def test_a_place_that_cannot_hold_it_is_told(run, bundle, tmp_path, form):
    (tmp_path / "file").write_text("")
    code, text = run(bundle, "--format", form, "--out", tmp_path / "file" / "export")
    assert code == errors.CompileError.exit_code
    assert "cannot be written" in text


def test_a_failure_half_way_keeps_the_earlier_export_whole(tmp_path):
    path = tmp_path / "export"
    with new_folder(path, False) as made:
        write(made / CARD, b"first")

    def half(place: Path) -> None:
        with new_folder(place, True) as made:
            write(made / "configs" / "half.json", b"half")
            raise RuntimeError

    for place in (path, tmp_path / "new"):
        with pytest.raises(RuntimeError):
            half(place)
        assert everything(tmp_path) == {f"export/{CARD}": b"first"}
    assert [one.name for one in tmp_path.iterdir()] == ["export"]
