"""Who made a derived image, of what and how: what stays in its header for ever."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import msgspec
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import UID

from scanside.runtime.dicom.frame_facts import FRAME_GROUPS, SHARED_GROUPS, items, texts

# Made once, for Scanside alone (PS3.7 D.3.3.2): never change it.
IMPLEMENTATION_CLASS_UID = UID("2.25.88174031639194880351827818263350503519")

# CID 7203: noise removal has no code of its own there, smoothing is what comes nearest.
_SMOOTHING = Code("113087", "DCM", "Smoothing")
_RESAMPLING = Code("113085", "DCM", "Spatial resampling")
_SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")  # CID 7202
_PROCESSING = Code("109102", "DCM", "Processing Equipment")  # CID 7005


class ModelNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a derived image says of the model that made it.

    identity: sha256 (hex) of the model's manifest. engine: name and version. scale: output pixels
    per input pixel, each way. signed: whether the bundle's signature was verified.
    """

    name: str
    version: str
    identity: str
    engine: str
    scale: int
    signed: bool


def note_derivation(derived: Dataset, model: ModelNote) -> None:
    """Mark a dataset, and its functional groups, as derived by `model` from what it is now."""
    _mark_derived(derived, "ImageType")
    shared, frames = items(derived, SHARED_GROUPS)[:1], items(derived, FRAME_GROUPS)
    for group in [*shared, *frames]:
        for element in group:
            for macro in items(group, element.keyword) if element.keyword else ():
                if "FrameType" in macro:
                    _mark_derived(macro, "FrameType")

    # A functional group stands either in the shared item or in every frame's.
    in_frames = any("DerivationImageSequence" in frame for frame in frames)
    holders = frames if in_frames or not shared else shared
    for holder in holders:
        step = Dataset()
        step.DerivationDescription = _describe(model)
        step.DerivationCodeSequence = _derivation_codes(model)
        step.SourceImageSequence = _source_images(derived, model)
        holder.DerivationImageSequence = [*items(holder, "DerivationImageSequence"), step]

    evidence = [*items(derived, "SourceImageEvidenceSequence"), *_source_evidence(derived)]
    if holders and evidence:
        derived.SourceImageEvidenceSequence = evidence

    before = " ".join(texts(derived, "DerivationDescription"))
    room = 1024 - len(_describe(model)) - 2
    derived.DerivationDescription = (f"{before[:room]}; " if before else "") + _describe(model)
    derived.DerivationCodeSequence = [
        *items(derived, "DerivationCodeSequence"),
        *_derivation_codes(model),
    ]
    derived.SourceImageSequence = [
        *items(derived, "SourceImageSequence"),
        *_source_images(derived, model),
    ]
    if not derived.SourceImageSequence:
        del derived.SourceImageSequence


def _mark_derived(holder: Dataset, keyword: str) -> None:
    values = texts(holder, keyword)
    setattr(holder, keyword, ["DERIVED", *(values[1:] or ["PRIMARY"])])


def _describe(model: ModelNote) -> str:
    done = "enhanced" if model.scale == 1 else f"enhanced and magnified {model.scale}x"
    trust = "signed" if model.signed else "UNSIGNED model"
    return _plain(
        f"Scanside {version('scanside')}: {done} by neural network {model.name} {model.version} "
        f"(sha256 {model.identity}, {trust}) with {model.engine}",
        512,
    )


def _derivation_codes(model: ModelNote) -> list[Dataset]:
    codes = [_SMOOTHING] if model.scale == 1 else [_SMOOTHING, _RESAMPLING]
    return [_code(code) for code in codes]


def _source_images(derived: Dataset, model: ModelNote) -> list[Dataset]:
    """Reference to the image that `derived` was until now; nothing if it had no identity."""
    source = _reference(derived)
    if source is None:
        return []
    source.SpatialLocationsPreserved = "YES" if model.scale == 1 else "NO"
    source.PurposeOfReferenceCodeSequence = [_code(_SOURCE_IMAGE)]
    return [source]


def _source_evidence(derived: Dataset) -> list[Dataset]:
    """C.8.13.2.1.2: where the source of a functional group's derivation is to be found."""
    source = _reference(derived)
    if source is None or not derived.get("StudyInstanceUID"):
        return []
    series = Dataset()
    series.SeriesInstanceUID = derived.get("SeriesInstanceUID")
    series.ReferencedSOPSequence = [source]
    study = Dataset()
    study.StudyInstanceUID = derived.StudyInstanceUID
    study.ReferencedSeriesSequence = [series]
    return [study]


def _reference(dataset: Dataset) -> Dataset | None:
    """To what `dataset` is now; None if it has no usable identity."""
    uids = [UID(str(dataset.get(k) or "")) for k in ("SOPClassUID", "SOPInstanceUID")]
    if not all(uid.is_valid for uid in uids):
        return None
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = uids
    return reference


def note_equipment(derived: Dataset, model: ModelNote) -> None:
    """Add this device and the model to the Contributing Equipment Sequence."""
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = [_code(_PROCESSING)]
    equipment.Manufacturer = "Scanside"
    equipment.ManufacturerModelName = _plain(model.name, 64)
    equipment.SoftwareVersions = [_plain(v, 64) for v in (version("scanside"), model.version)]
    equipment.DeviceUID = device_uid()
    equipment.ContributionDateTime = now_for(derived).strftime("%Y%m%d%H%M%S.%f%z")
    equipment.ContributionDescription = _describe(model)
    derived.ContributingEquipmentSequence = [
        *items(derived, "ContributingEquipmentSequence"),
        equipment,
    ]


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def _plain(text: str, longest: int) -> str:
    """ASCII in any character set, and no backslash, which separates values."""
    return text.encode("ascii", "replace").decode().replace("\\", "_")[:longest]


def make_uid(identifier: uuid.UUID) -> UID:
    """The UID that stands for a UUID (PS3.5 B.2)."""
    return UID(f"2.25.{identifier.int}")


def now_for(dataset: Dataset) -> datetime:
    """Now, in the time zone that the dataset's other times are in."""
    offset = " ".join(texts(dataset, "TimezoneOffsetFromUTC"))
    try:
        zone = datetime.strptime(offset, "%z").tzinfo
    except ValueError:
        zone = None
    return datetime.now(timezone.utc).astimezone(zone)


def device_uid() -> UID:
    """This machine's: from /etc/machine-id, hashed as its manual asks, or its network card."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = str(uuid.getnode())
    return make_uid(uuid.uuid5(uuid.UUID(int=int(IMPLEMENTATION_CLASS_UID[5:])), machine))
