"""Derived DICOM series and NIfTI as ITK reads them (ITK-SNAP, 3D Slicer): where they belong.

At scale 1 size, spacing, direction and origin are the source's. At scale 2 the in-plane spacing is
halved and the corner of the volume, not the centre of its first voxel, is where it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest

from bundles import write_test_bundle
from dicoms import identity, note, repeat_twice
from scanside.runtime.cli import main
from scanside.runtime.dicom.convert import convert
from scanside.runtime.manifest import Percentiles
from scanside.runtime.nifti.convert import VolumeRules

sitk = pytest.importorskip("SimpleITK")
nibabel = pytest.importorskip("nibabel")

SCALES = {1: identity, 2: repeat_twice}
MR = VolumeRules("MR", False)


def corners(image: Any) -> npt.NDArray[np.float64]:
    """(8, 3): the volume's outer corners in ITK's millimetres (LPS)."""
    ends = [(-0.5, size - 0.5) for size in image.GetSize()]
    indices = np.stack(np.meshgrid(*ends), axis=-1).reshape(-1, 3)
    return np.array(
        [image.TransformContinuousIndexToPhysicalPoint([float(n) for n in one]) for one in indices]
    )


def same_place(got: Any, source: Any, scale: int, tolerance: float = 1e-4) -> None:
    """mm; DICOM's decimal strings and NIfTI's float32 hold six digits and more."""
    grown = np.array([scale, scale, 1])
    assert got.GetSize() == tuple(np.array(source.GetSize()) * grown)
    spacing = np.array(source.GetSpacing())
    np.testing.assert_allclose(got.GetSpacing(), spacing / grown, rtol=1e-6)
    np.testing.assert_allclose(got.GetDirection(), source.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(corners(got), corners(source), atol=tolerance)
    axes = np.array(source.GetDirection()).reshape(3, 3)
    shift = axes @ (spacing * (0.5 / grown - 0.5))  # -1/4 of a source voxel along both, at 2x
    want = np.array(source.GetOrigin()) + shift
    np.testing.assert_allclose(got.GetOrigin(), want, atol=tolerance)


def read_series(folder: Path) -> Any:
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    assert len(names) == len(list(folder.iterdir()))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(names)
    return reader.Execute()


def _turn(folder: Path, target: Path, axes: npt.NDArray[np.float64]) -> Path:
    """The series, turned in space: `axes` are its row, column and normal directions (LPS)."""
    target.mkdir()
    for number, file in enumerate(sorted(folder.iterdir())[:6]):
        dataset = pydicom.dcmread(file)
        dataset.PixelSpacing = [0.8, 1.1]
        dataset.ImageOrientationPatient = [round(n, 12) for n in axes[:2].reshape(-1)]
        position = np.array([-101.25, 33.5, 7.75]) + 4.8 * number * axes[2]
        dataset.ImagePositionPatient = [f"{n:.10f}"[:16] for n in position]
        dataset.save_as(target / f"{number}.dcm")
    return target


@pytest.mark.parametrize("scale", SCALES)
def test_a_real_sagittal_series(data_dir: Path, tmp_path: Path, scale: int) -> None:
    source = data_dir / "mr_siemens_prisma"
    convert(source, tmp_path / "out", SCALES[scale], note(scale))
    before, after = read_series(source), read_series(tmp_path / "out")
    assert before.GetSize() == (256, 256, 35)
    same_place(after, before, scale)
    first = sitk.GetArrayViewFromImage(before)
    grown = first.repeat(scale, axis=1).repeat(scale, axis=2)
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(after), grown)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("seed", range(3))
def test_an_oblique_series(data_dir: Path, tmp_path: Path, scale: int, seed: int) -> None:
    axes, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    axes[2] = np.cross(axes[0], axes[1])
    source = _turn(data_dir / "mr_siemens_prisma", tmp_path / "in", axes)
    convert(source, tmp_path / "out", SCALES[scale], note(scale))
    before = read_series(source)
    np.testing.assert_allclose(np.array(before.GetDirection()).reshape(3, 3).T, axes, atol=1e-6)
    same_place(read_series(tmp_path / "out"), before, scale)


ROTATED, _ = np.linalg.qr(np.random.default_rng(8).standard_normal((3, 3)))
AXES = {
    "axial": np.diag([-1.0, -1, 1]),
    "axial, mirrored (qfac -1)": np.diag([-1.0, 1, 1]),
    "sagittal storage": np.array([[0, 0, 1.0], [-1, 0, 0], [0, 1, 0]]),
    "coronal storage": np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]]),
    "oblique": ROTATED,
    "oblique, mirrored": ROTATED * [1, 1, -1],
}
FORMS = {"both forms": (1, 1), "qform only": (1, 0), "sform only": (0, 2)}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", ["Nifti1Image", "Nifti2Image"])
@pytest.mark.parametrize("codes", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
def test_nifti(
    tmp_path: Path, axes: npt.NDArray[np.float64], codes: tuple[int, int], kind: str, scale: int
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = axes * [0.75, 1.1, 3.5]
    affine[:3, 3] = -90.5, 41.25, 12
    voxels = np.random.default_rng(0).integers(0, 900, (7, 6, 5)).astype(np.int16)
    image = getattr(nibabel, kind)(voxels, affine)
    image.set_qform(affine, codes[0])
    image.set_sform(affine if codes[1] else None, codes[1])
    image.header.set_xyzt_units("mm")
    source, target = tmp_path / "in.nii.gz", tmp_path / "out.nii.gz"
    image.to_filename(source)
    convert(source, target, SCALES[scale], note(scale), volumes=MR)

    by_nibabel = nibabel.load(target)
    assert (by_nibabel.header["qform_code"], by_nibabel.header["sform_code"]) == codes
    grown = voxels.repeat(scale, axis=0).repeat(scale, axis=1)
    np.testing.assert_array_equal(np.asarray(by_nibabel.dataobj), grown)
    step, half = 1 / scale, 0.5 / scale - 0.5
    grid = np.array([[step, 0, 0, half], [0, step, 0, half], [0, 0, 1, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(by_nibabel.affine, affine @ grid, atol=1e-4)
    if kind == "Nifti2Image":  # which ITK does not read, neither the source nor the result
        return
    before, after = sitk.ReadImage(str(source)), sitk.ReadImage(str(target))
    same_place(after, before, scale)
    # Both libraries agree, about places (nibabel's are RAS) and about values.
    flip = np.diag([-1.0, -1, 1])
    by_itk = np.array(after.GetDirection()).reshape(3, 3) * after.GetSpacing()
    np.testing.assert_allclose(by_nibabel.affine[:3, :3], flip @ by_itk, atol=1e-5)
    np.testing.assert_allclose(by_nibabel.affine[:3, 3], flip @ after.GetOrigin(), atol=1e-4)
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(after).transpose(2, 1, 0), grown)


@pytest.mark.parametrize("scale", SCALES)
def test_the_command_on_a_series_that_itk_made_nifti(
    data_dir: Path, tmp_path: Path, scale: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same series as DICOM and as NIfTI: equal values in equal places."""
    pytest.importorskip("onnxruntime", reason="needs the extra [cpu]")
    axes, _ = np.linalg.qr(np.random.default_rng(9).standard_normal((3, 3)))
    axes[2] = np.cross(axes[0], axes[1])
    (tmp_path / "in").mkdir()
    series = _turn(data_dir / "mr_siemens_prisma", tmp_path / "in" / "dicom", axes)
    sitk.WriteImage(read_series(series), str(tmp_path / "in" / "one.nii.gz"))
    bundle = write_test_bundle(
        tmp_path / "mr.scanside",
        modality=("MR",),
        intensity=Percentiles(lower=1, upper=99, margin=0.5),
        scale=scale,
        residual=0.01,
    )
    arguments = ["enhance", bundle, tmp_path / "in", tmp_path / "out", "--engine", "onnxruntime"]
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    said = capfd.readouterr()
    assert not ended.value.code, said.err
    assert said.out == "6 images, 1 volumes, 12 frames enhanced\n"
    by_dicom = read_series(tmp_path / "out" / "dicom")
    by_nifti = sitk.ReadImage(str(tmp_path / "out" / "one.nii.gz"))
    same_place(by_nifti, by_dicom, 1)
    same_place(by_nifti, read_series(series), scale)
    values = sitk.GetArrayFromImage(by_nifti)
    dicom = sitk.GetArrayFromImage(by_dicom)
    # DICOM holds 12 unsigned bits, where the cubic's overshoot ends at 0; ITK's NIfTI 16.
    np.testing.assert_array_equal(np.clip(values.astype(int), 0, 4095), dicom)
    source = sitk.GetArrayFromImage(read_series(series)).astype(int)
    assert (dicom.mean() - source.mean()) > 1
