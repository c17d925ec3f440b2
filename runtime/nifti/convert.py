"""One NIfTI file -> one derived NIfTI file, whatever it is that enhances the slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scanside.runtime.errors import EngineError, RefusedFrameError, UnsupportedImageError
from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.manifest import Manifest, StoredRange
from scanside.runtime.nifti.derive import derived_header
from scanside.runtime.nifti.orientation import orientation_of
from scanside.runtime.nifti.read import Volume, Voxels, is_nifti, read_volume
from scanside.runtime.nifti.stored_grid import StoredGrid, stored_grid
from scanside.runtime.nifti.write import write_volume

if TYPE_CHECKING:
    from scanside.runtime.dicom.convert import Run
    from scanside.runtime.dicom.provenance import ModelNote


class VolumeRules(NamedTuple):
    """What a model needs to know of a volume and NIfTI does not tell.

    modality: the user's or the model's only one, None where it is open. by_bits: the model's
    intensity goes by the bits that count, which only 8-bit volumes make plain.
    """

    modality: str | None
    by_bits: bool


def volume_rules(manifest: Manifest, modality: str | None) -> VolumeRules:
    """The rules of a model; `modality` is what the user said, if anything."""
    if modality is None and len(manifest.modality) == 1:
        modality = manifest.modality[0]
    return VolumeRules(modality, isinstance(manifest.intensity, StoredRange))


def convert_volume(
    source: Path,
    target: Path,
    run: Run,
    model: ModelNote,
    rules: VolumeRules,
    *,
    overwrite: bool = False,
    tell: Callable[[int, int], None] = lambda done, frames: None,
) -> int:
    """Enhance every slice (i, j) of a volume; returns their number, which `tell` counts up to.

    A slice is one frame, in the plane of the first two array axes whichever plane that is, and
    upright (`scanside.runtime.nifti.orientation`). Raises what reading, `run` and writing raise,
    and UnsupportedImageError (reason "modality unknown"), RefusedFrameError where `rules` say no.
    """
    if rules.modality is None:
        raise UnsupportedImageError(
            "the model is for several modalities and NIfTI does not tell its own",
            next_step="say it: --modality MR, for example",
            reason="modality unknown",
        )
    volume = read_volume(source)
    frames = len(volume.voxels)
    if rules.by_bits and volume.header.dtype.itemsize > 1:
        raise RefusedFrameError(
            "malformed",
            "the model goes by the bits that count, and NIfTI does not tell how many do",
            next_step="enhance the DICOM images instead, or a volume of 8 bits",
        )

    def told() -> Iterator[Voxels]:
        for done, frame in enumerate(_enhanced(volume, run, rules.modality or "", model.scale), 1):
            tell(done, frames)
            yield frame

    write_volume(derived_header(volume.header, model), told(), target, overwrite=overwrite)
    return frames


def check_names(source: Path, target: Path) -> None:
    """UnsupportedImageError (reason "destination name") unless both names say the same format."""
    if is_nifti(source) == is_nifti(target):
        return
    if is_nifti(source):
        message, step = "a NIfTI file becomes a NIfTI file", "a name that ends in .nii or .nii.gz"
    else:
        message, step = "a DICOM image becomes a DICOM image", "another name than .nii"
    raise UnsupportedImageError(
        message, next_step=f"give the result {step}, or name a folder", reason="destination name"
    )


def _enhanced(volume: Volume, run: Run, modality: str, scale: int) -> Iterator[Voxels]:
    """Each slice enhanced: (R * scale, C * scale), dtype of the volume."""
    header = volume.header
    orientation = orientation_of(header.nibabel.structarr)
    if volume.voxels.dtype.kind in "iu":
        facts = FrameFacts(
            modality=modality,
            bits_stored=8 * header.dtype.itemsize,
            signed=header.dtype.kind == "i",
            slope=header.slope,
            intercept=header.intercept,
        )
        for words in map(orientation.upright, volume.voxels):
            yield orientation.as_stored(_run(run, words, facts, scale))
        return
    grid: StoredGrid = stored_grid(volume.voxels)
    facts = FrameFacts(
        modality=modality,
        bits_stored=16,
        signed=False,
        slope=grid.step * header.slope,
        intercept=grid.zero * header.slope + header.intercept,
    )
    for frame in map(orientation.upright, volume.voxels):
        enhanced = _run(run, grid.words(frame), facts, scale)
        yield orientation.as_stored(grid.apply(frame, enhanced, facts, scale))


def _run(run: Run, words: Pixels, facts: FrameFacts, scale: int) -> Pixels:
    rows, columns = words.shape
    enhanced = run(words[None], [facts])
    if enhanced.shape != (1, rows * scale, columns * scale) or enhanced.dtype != words.dtype:
        raise EngineError("the model returned pixels of another size or type than it promised")
    result: Pixels = enhanced[0]
    return result
