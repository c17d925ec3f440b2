"""NIfTI to NIfTI: the engine's own slices, the header's own fields, and nobody's name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bundles import make_manifest, write_test_bundle
from dicoms import NAME, identity, note, repeat_twice
from scanside.runtime.bundle import Bundle
from scanside.runtime.cubic import double
from scanside.runtime.engines import Engine
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.errors import (
    EngineError,
    ImageError,
    MissingExtraError,
    OutputExistsError,
    RefusedFrameError,
    UnsupportedImageError,
)
from scanside.runtime.frame import FrameFacts
from scanside.runtime.manifest import StoredRange
from scanside.runtime.nifti.convert import VolumeRules, convert_volume, volume_rules

nibabel = pytest.importorskip("nibabel")
pytest.importorskip("onnxruntime", reason="needs the extra [cpu]")

CT = VolumeRules("CT", False)
# Upright as stored: columns run to the left, rows to the back.
AFFINE = np.array([[-0.8, 0, 0.3, 40], [0, -0.7, 0, 50], [0.1, 0, 3, -9], [0, 0, 0, 1.0]])


def volume(dtype: Any = np.int16, shape: tuple[int, ...] = (37, 33, 3)) -> npt.NDArray[Any]:
    """HU from far below the test model's window (-160..240, margin 200) to far above it."""
    hu = np.random.default_rng(5).integers(-1200, 1200, shape)
    hu[:6, :6] = -1024
    return hu.astype(dtype)


def save(path: Path, voxels: Any, kind: str = "Nifti1Image", **fields: Any) -> Path:
    image = getattr(nibabel, kind)(voxels, AFFINE)
    for name, value in fields.items():
        image.header.structarr[name] = value
    image.to_filename(path)
    return path


def stored(path: Path) -> npt.NDArray[Any]:
    """(i, j, k[, t]) as stored, unscaled."""
    return np.asarray(nibabel.load(path).dataobj.get_unscaled())


@pytest.fixture(scope="module", params=[(1, "blur"), (2, "blur")], ids=["1x", "2x"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    scale, residual = request.param
    path = tmp_path_factory.mktemp("bundle") / "test.scanside"
    write_test_bundle(path, scale=scale, residual=residual, receptive_field=1)
    return open_engine(Bundle.open(path), "onnxruntime", 1)


def _by_hand(engine: Engine, frames: Any, **facts: Any) -> npt.NDArray[Any]:
    """(k, j, i) frames through the engine, as an (i, j, k) array."""
    one = FrameFacts(modality="CT", **{"bits_stored": 16, "signed": True, **facts})
    return engine.run(np.ascontiguousarray(frames), [one] * len(frames)).transpose(2, 1, 0)


@pytest.mark.parametrize("kind", ["Nifti1Image", "Nifti2Image"])
@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
def test_a_volume_is_its_slices_through_the_engine(
    engine: Engine, tmp_path: Path, kind: str, name: str
) -> None:
    scale = engine.spec.scale
    source = save(tmp_path / "in.nii", volume(), kind)
    seen: list[tuple[int, int]] = []
    done = convert_volume(
        source, tmp_path / name, engine.run, note(scale), CT, tell=lambda *one: seen.append(one)
    )
    assert done == 3
    assert seen == [(1, 3), (2, 3), (3, 3)]
    got = stored(tmp_path / name)
    assert got.dtype == np.int16
    np.testing.assert_array_equal(got, _by_hand(engine, volume().transpose(2, 1, 0)))
    assert type(nibabel.load(tmp_path / name)).__name__ == kind
    if scale == 1:
        outside = (volume() < -360) | (volume() > 440)  # w = 0: the very voxels
        np.testing.assert_array_equal(got[outside], volume()[outside])
        assert (got[~outside] != volume()[~outside]).mean() > 0.9
    # The margin of a blur's receptive field and of the cubic's taps apart, padding is padding.
    assert np.all(got[: 3 * scale, : 3 * scale] == -1024)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2"])
def test_other_integers_with_a_slope(engine: Engine, tmp_path: Path, dtype: str) -> None:
    voxels = (volume() % 100).astype(dtype)
    source = save(tmp_path / "in.nii", voxels)
    content = bytearray(source.read_bytes())
    content[112:120] = np.array([-2.5, 100], "<f4").tobytes()  # scl_slope, scl_inter
    source.write_bytes(content)
    convert_volume(source, tmp_path / "out.nii", engine.run, note(engine.spec.scale), CT)
    want = _by_hand(
        engine,
        voxels.transpose(2, 1, 0),
        bits_stored=8 * voxels.itemsize,
        signed=dtype == "i1",
        slope=-2.5,
        intercept=100.0,
    )
    got = nibabel.load(tmp_path / "out.nii")
    assert (got.dataobj.slope, got.dataobj.inter) == (-2.5, 100)
    np.testing.assert_array_equal(stored(tmp_path / "out.nii"), want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_of_whole_hu_become_what_the_integers_become(
    engine: Engine, tmp_path: Path, dtype: Any
) -> None:
    scale = engine.spec.scale
    save(tmp_path / "in.nii", volume(dtype))
    convert_volume(tmp_path / "in.nii", tmp_path / "out.nii.gz", engine.run, note(scale), CT)
    got = stored(tmp_path / "out.nii.gz")
    assert got.dtype == dtype
    want = _by_hand(engine, volume().transpose(2, 1, 0)).astype(float)
    limits = volume().min(), 1e9  # the cubic may go below what the volume's 16 bits reach
    difference = np.abs(got - np.clip(want, *limits))
    # A float volume's steps are finer than 1 HU, and its cubic is not rounded to them.
    assert difference.max() <= 1.0
    if scale == 1:
        outside = (volume() < -360) | (volume() > 440)
        np.testing.assert_array_equal(got[outside], volume(dtype)[outside])


def _blurred(hu: npt.NDArray[np.float64], scale: int) -> npt.NDArray[np.float64]:
    """The test bundle's map and "blur" in float64: window -160..240 HU, margin 200."""
    unit = np.clip((hu + 360) / 800, 0, 1)
    padded = np.pad(unit, 1)
    rows, columns = hu.shape
    mean = sum(padded[r : r + rows, c : c + columns] for r in range(3) for c in range(3)) / 9
    residual = (mean - unit).repeat(scale, 0).repeat(scale, 1)
    base = np.asarray(double(hu)) if scale == 2 else hu  # type: ignore[arg-type]
    position = (base + 360) / 800
    weight = np.clip(np.minimum(position, 1 - position) / 0.25, 0, 1)
    return base + weight * residual * 800


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_between_the_steps(engine: Engine, tmp_path: Path, dtype: Any) -> None:
    scale = engine.spec.scale
    voxels = (volume(np.float64) * 1.00123 + 0.000417).astype(dtype)
    save(tmp_path / "in.nii", voxels)
    convert_volume(tmp_path / "in.nii", tmp_path / "out.nii", engine.run, note(scale), CT)
    got = stored(tmp_path / "out.nii")
    for frame, result in zip(voxels.transpose(2, 1, 0), got.transpose(2, 1, 0), strict=True):
        want = _blurred(frame.astype(np.float64), scale)
        inside = np.s_[scale:-scale, scale:-scale]  # past the edge the network sees zeros
        # Half a step (1/32 HU) of each of ten voxels, up to five times where the weight fades.
        difference = np.abs(result[inside] - np.maximum(want[inside], voxels.min()))
        assert difference.max() < 0.4
    if scale == 1:
        outside = (voxels < -361) | (voxels > 441)
        np.testing.assert_array_equal(got[outside], voxels[outside])


def test_four_dimensions(engine: Engine, tmp_path: Path) -> None:
    scale = engine.spec.scale
    voxels = volume(shape=(37, 33, 2, 3))
    save(tmp_path / "in.nii", voxels)
    assert convert_volume(tmp_path / "in.nii", tmp_path / "o.nii", engine.run, note(scale), CT) == 6
    got = stored(tmp_path / "o.nii")
    assert got.shape == (37 * scale, 33 * scale, 2, 3)
    for time in range(3):
        want = _by_hand(engine, voxels[..., time].transpose(2, 1, 0))
        np.testing.assert_array_equal(got[..., time], want)


SECRET = NAME.encode()[:15]
TEXTS = {"descrip": SECRET, "aux_file": SECRET, "intent_name": SECRET}
KEPT = {
    "xyzt_units": 10,
    "dim_info": 0b111001,
    "toffset": 2.5,
    "cal_max": 900,
    "cal_min": -20,
    "slice_code": 3,
    "slice_end": 2,
    "slice_duration": 0.25,
    "intent_code": 2001,
    "sform_code": 4,
    "qform_code": 1,
}


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("kind", ["Nifti1Image", "Nifti2Image"])
def test_fields_stay_and_texts_and_extensions_go(tmp_path: Path, kind: str, big: bool) -> None:
    image = getattr(nibabel, kind)(volume(), AFFINE)
    header = image.header.as_byteswapped(">") if big else image.header
    texts = TEXTS | ({"db_name": SECRET, "data_type": SECRET[:9]} if kind[5] == "1" else {})
    for name, value in (texts | KEPT).items():
        header.structarr[name] = value
    header.structarr["pixdim"][4] = 1.75
    header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", NAME.encode()))
    getattr(nibabel, kind)(volume(), None, header).to_filename(tmp_path / "in.nii")
    assert (tmp_path / "in.nii").read_bytes().count(SECRET[:9]) >= 4
    convert_volume(tmp_path / "in.nii", tmp_path / "out.nii", identity, note(), CT)
    assert SECRET[:9] not in (tmp_path / "out.nii").read_bytes()
    got = nibabel.load(tmp_path / "out.nii").header
    was = nibabel.load(tmp_path / "in.nii").header
    assert {name: got[name] for name in KEPT} == KEPT
    for name in ("pixdim", "dim", "quatern_b", "qoffset_x", "srow_x", "srow_y", "srow_z"):
        np.testing.assert_array_equal(got[name], was[name])
    assert not got.extensions
    description = got["descrip"].item()
    assert description.startswith(b"derived by Scanside ")
    assert description.endswith(b": test-model 1.2.3")
    np.testing.assert_array_equal(stored(tmp_path / "out.nii"), volume())


def test_a_long_name_gives_way_to_version_and_trust(tmp_path: Path) -> None:
    import msgspec

    save(tmp_path / "in.nii", volume())
    model = msgspec.structs.replace(note(signed=False), name="n" * 64, version="1" * 32)
    convert_volume(tmp_path / "in.nii", tmp_path / "out.nii", identity, model, CT)
    description = nibabel.load(tmp_path / "out.nii").header["descrip"].item()
    assert len(description) <= 79
    assert description.endswith(b"n " + b"1" * 32 + b", UNSIGNED")


def test_equal_input_gives_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "in.nii", volume())
    for name, now in (("a.nii.gz", 1e9), ("b.nii.gz", 1.1e9)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        convert_volume(tmp_path / "in.nii", tmp_path / name, identity, note(), CT)
    content = (tmp_path / "a.nii.gz").read_bytes()
    assert content == (tmp_path / "b.nii.gz").read_bytes()
    assert content[:8] == b"\x1f\x8b\x08\0\0\0\0\0"  # no name, no time


def test_what_a_model_needs_to_know(tmp_path: Path) -> None:
    several = make_manifest(modality=("CT", "MR"))
    assert volume_rules(make_manifest(), None) == VolumeRules("CT", False)
    assert volume_rules(several, "MR") == VolumeRules("MR", False)
    assert volume_rules(several, None).modality is None
    source = save(tmp_path / "in.nii", volume())
    with pytest.raises(UnsupportedImageError, match="--modality"):
        convert_volume(source, tmp_path / "o.nii", identity, note(), volume_rules(several, None))
    by_bits = volume_rules(make_manifest(intensity=StoredRange()), None)
    with pytest.raises(RefusedFrameError, match="bits"):
        convert_volume(source, tmp_path / "o.nii", identity, note(), by_bits)
    bytes_ = save(tmp_path / "bytes.nii", volume(np.uint8))
    assert convert_volume(bytes_, tmp_path / "o.nii", identity, note(), by_bits) == 3


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    source = save(tmp_path / "in.nii", volume())

    def third_fails(words: Any, facts: Any, seen: list[int] = []) -> Any:  # noqa: B006
        seen.append(1)
        if len(seen) % 3 == 0:
            raise EngineError("no")
        return words

    def grows(words: Any, facts: Any) -> Any:
        return repeat_twice(words, facts)

    for run in (third_fails, grows):
        with pytest.raises(EngineError):
            convert_volume(source, tmp_path / "new" / "o.nii.gz", run, note(), CT)
        assert not list((tmp_path / "new").glob("*") if (tmp_path / "new").exists() else [])
    (tmp_path / "o.nii").write_text("precious")
    with pytest.raises(OutputExistsError):
        convert_volume(source, tmp_path / "o.nii", identity, note(), CT)
    assert (tmp_path / "o.nii").read_text() == "precious"
    with pytest.raises(ImageError, match="cannot be written"):
        convert_volume(source, tmp_path / "o.nii" / "deeper.nii", identity, note(), CT)


def test_a_magnified_axis_beyond_nifti_1(tmp_path: Path) -> None:
    save(tmp_path / "in.nii", np.zeros((20000, 2, 1), np.uint8))
    with pytest.raises(UnsupportedImageError, match="too large"):
        convert_volume(tmp_path / "in.nii", tmp_path / "o.nii", repeat_twice, note(2), CT)
    save(tmp_path / "in.nii", np.zeros((20000, 2, 1), np.uint8), "Nifti2Image")
    convert_volume(tmp_path / "in.nii", tmp_path / "o.nii", repeat_twice, note(2), CT)
    assert stored(tmp_path / "o.nii").shape == (40000, 4, 1)


def test_without_nibabel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "in.nii", volume())
    monkeypatch.setitem(sys.modules, "nibabel.nifti1", None)
    with pytest.raises(MissingExtraError, match=r"scanside\[nifti\]"):
        convert_volume(tmp_path / "in.nii", tmp_path / "o.nii", identity, note(), CT)
