"""NIfTI volumes -> axial slices: BraTS, LiTS and any other .nii or .nii.gz."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
import numpy.typing as npt
from monai.data.image_reader import NibabelReader

from scanside.runtime.errors import UnreadableImageError, UnsupportedImageError
from scanside.train.data.dicom_image import DEFAULT_PIXEL_MM
from scanside.train.data.found import ANOTHER_MODALITY, CONSTANT, NOT_HU, TOO_SMALL
from scanside.train.data.patient import patient_key
from scanside.train.data.slice import Slice, Values

SUFFIXES = (".nii", ".nii.gz")
SEGMENTATION = "segmentation"
EMPTY = "slice with too little body"

MAX_VOXELS = 2**30
LOWEST_CT_HU = -1024  # of 12 bits; scanners fill what they did not scan with less
BODY_HU = -500  # half-way between air and water
BODY_LEVEL = 0.05  # of an MR volume's 99th percentile
BODY_SHARE = 0.05
MR_BITS = 12  # what MR scanners store
SQUARE = 1.5

# patient_t1.nii.gz of BraTS 2012 to 2021; patient-t1n.nii.gz since 2023.
_BRATS = re.compile(r"(?P<patient>.+)[_-](t1|t1ce|t1gd|t1c|t1n|t2|t2w|t2f|flair)$", re.IGNORECASE)
# BraTS-GLI-00005-001 is patient 5 at a second time.
_VISIT = re.compile(r"(?P<patient>BraTS-[A-Z]+-\d+)-\d+$", re.IGNORECASE)
_LITS = re.compile(r"volume-(?P<patient>\d+)$", re.IGNORECASE)
_BIDS = re.compile(r"sub-(?P<patient>[A-Za-z0-9]+)")
_LABELS = re.compile(r"(^|[_-])(seg|segmentation|labels?|mask)([_-]|$)", re.IGNORECASE)


class Origin(NamedTuple):
    """What a volume's name tells. modality: "CT", "MR", or empty where it does not."""

    patient: str
    modality: str


class Volume(NamedTuple):
    """refused: reason -> slices."""

    slices: list[Slice]
    refused: dict[str, int]


def is_nifti(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def origin_of(path: Path, folder: Path) -> Origin:
    """Patient and modality by the layout that `path` below `folder` follows.

    BraTS: the patient's folder, or where the volumes lie in `folder` itself, the name before the
    modality; times of one patient are one patient. LiTS: the number. BIDS: the subject. Any other:
    the path below the folder.
    """
    name = _stem(path)
    if brats := _BRATS.match(name):
        patient = brats["patient"] if path.parent == folder else path.parent.name
        visit = _VISIT.match(patient)
        return Origin(visit["patient"] if visit else patient, "MR")
    if lits := _LITS.match(name):
        return Origin(lits["patient"], "CT")
    below = path.relative_to(folder) if path != folder else Path(path.name)
    if subject := _BIDS.match(below.as_posix()) or _BIDS.search(name):
        return Origin(subject["patient"], "")
    return Origin((below.parent / name).as_posix(), "")


def read_volume(path: Path, folder: Path, modality: tuple[str, ...], smallest: int) -> Volume:
    """The axial slices of a volume, oriented as DICOM's: rows to the patient's left, columns to the
    back.

    A volume does not tell its modality: where the layout does not either, it is taken for what
    `modality` asks. CT holds HU; MR of whole numbers is kept, any other mapped to 12 bits linearly.
    Raises UnsupportedImageError (reason "segmentation", "another modality", "not HU", "too small",
    "too large", "not a volume", "pixels not square", "not finite", "constant", "malformed header")
    or UnreadableImageError (reason "damaged").
    """
    if _LABELS.search(_stem(path)) or path.parent.name.lower().startswith("labels"):
        raise _unsupported(SEGMENTATION)
    origin = origin_of(path, folder)
    kind = origin.modality or next((one for one in modality if one in ("CT", "MR")), "")
    if kind not in modality:
        raise _unsupported(ANOTHER_MODALITY)
    voxels, spacing = _load(path)
    if min(voxels.shape[:2]) < smallest:
        raise _unsupported(TOO_SMALL)
    values, bits, body = _hu(voxels) if kind == "CT" else _mr(voxels, bool(origin.modality))
    lowest = int(values.min())
    padding = (lowest, lowest) if kind == "CT" and lowest < LOWEST_CT_HU else None
    pixel_mm = math.sqrt(spacing[0] * spacing[1])
    pixel_mm = pixel_mm if 0.01 < pixel_mm < 10 else DEFAULT_PIXEL_MM
    slices: list[Slice] = []
    refused: Counter[str] = Counter()
    for index in range(values.shape[2]):
        # Canonical NIfTI counts to the right and to the front, DICOM to the left and to the back.
        image = np.ascontiguousarray(values[::-1, ::-1, index].T)
        if (image > body).mean() < BODY_SHARE:
            refused[EMPTY] += 1
        elif image.min() == image.max():
            refused[CONSTANT] += 1
        else:
            slices.append(Slice(image, pixel_mm, bits, padding, patient_key(origin.patient)))
    return Volume(slices, dict(refused))


def _load(path: Path) -> tuple[npt.NDArray[np.generic], tuple[float, float]]:
    """(X, Y, Z) voxels, towards the patient's right, front and head; side of a voxel in mm."""
    reader = NibabelReader(as_closest_canonical=True)
    try:  # nibabel itself first: MONAI's reader makes up an affine where the file's is rubbish
        header = nibabel.load(path)
        shape, affine = tuple(header.shape), np.asarray(header.affine)
    except Exception:  # noqa: BLE001 - nibabel raises what its parts do, quoting the header
        raise _damaged() from None
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 1:
        raise _unsupported("not a volume")
    if math.prod(shape) > MAX_VOXELS:
        raise _unsupported("too large")
    if not np.isfinite(affine).all() or np.linalg.det(affine[:3, :3]) == 0:
        raise _unsupported("malformed header")
    try:
        voxels, meta = reader.get_data(reader.read(path))
    except Exception:  # noqa: BLE001 - truncated, or zlib's, gzip's or NumPy's errors
        raise _damaged() from None
    if voxels.dtype.kind not in "iuf":
        raise _unsupported("not a volume")
    if not np.isfinite(voxels).all():
        raise _unsupported("not finite")
    voxels = voxels.reshape(voxels.shape[:3])
    if voxels.min() == voxels.max():
        raise _unsupported(CONSTANT)
    sides = np.linalg.norm(np.asarray(meta["affine"])[:3, :2], axis=0)
    across, along = float(sides[0]), float(sides[1])
    if max(across, along) > SQUARE * min(across, along):
        raise _unsupported("pixels not square")
    return voxels, (across, along)


def _hu(voxels: npt.NDArray[np.generic]) -> tuple[Values, int, float]:
    """(whole HU, bits, value above which there is body). Every CT image shows some air."""
    if voxels.min() > BODY_HU:
        raise _unsupported(NOT_HU)
    return np.clip(np.rint(voxels), -0x8000, 0x7FFF).astype(np.int16), 16, BODY_HU


def _mr(voxels: npt.NDArray[np.generic], known: bool) -> tuple[Values, int, float]:
    """(whole values, bits, value above which there is body).

    known: the layout says that it is MR. If not, HU are told by their air.
    """
    low, high = float(voxels.min()), float(voxels.max())
    whole = voxels.dtype.kind != "f" or bool((voxels == np.rint(voxels)).all())
    if not known and whole and low <= LOWEST_CT_HU + 100:
        raise _unsupported(ANOTHER_MODALITY)
    if whole and low >= 0 and high <= 0xFFFF:
        values, bits = voxels.astype(np.uint16), int(high).bit_length()
    else:
        scale = ((1 << MR_BITS) - 1) / (high - low)
        mapped = np.rint((voxels.astype(np.float64) - low) * scale)
        values, bits = mapped.astype(np.uint16), MR_BITS
    return values, bits, BODY_LEVEL * float(np.percentile(values, 99))


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def _unsupported(reason: str) -> UnsupportedImageError:
    return UnsupportedImageError(
        f"this volume cannot be trained on: {reason}", next_step="leave it out", reason=reason
    )


def _damaged() -> UnreadableImageError:
    return UnreadableImageError(
        "damaged: the volume cannot be read", next_step="copy it again", reason="damaged"
    )
