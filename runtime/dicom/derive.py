"""An enhanced frame stack plus the image it came from -> a derived DICOM image.

The rules are PS3.3's: C.7.6.1.1.2 (Image Type), C.12.4.1.1 (derivation), C.7.6.16.2.6 (derivation
of frames), C.12.1 (Contributing Equipment).
"""

from __future__ import annotations

import uuid

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from scanside.runtime.dicom.explicit import to_explicit
from scanside.runtime.dicom.frame_facts import texts
from scanside.runtime.dicom.geometry import magnify_geometry
from scanside.runtime.dicom.provenance import (
    IMPLEMENTATION_CLASS_UID,
    ModelNote,
    make_uid,
    note_derivation,
    note_equipment,
    now_for,
)
from scanside.runtime.dicom.quiet import quiet
from scanside.runtime.dicom.read import Image
from scanside.runtime.errors import EngineError, UnsupportedImageError
from scanside.runtime.frame import Pixels

__all__ = ["ModelNote", "SeriesUids", "derive"]

SERIES_NUMBER_OFFSET = 9000
SERIES_SUFFIX = " (Scanside)"
_MAX_PIXEL_DATA_BYTES = 2**32 - 2

# What the old pixels, or their old bytes, were the reason for.
_STALE = (
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "SmallestImagePixelValueInPlane",
    "LargestImagePixelValueInPlane",
    "IconImageSequence",
    "HistogramSequence",
    "MACParametersSequence",
    "DigitalSignaturesSequence",
    "PixelDataProviderURL",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "DataSetTrailingPadding",
)
# Facts of the acquisition that an Enhanced MR image may keep once it is DERIVED (PS3.3 C.8.13.4:
# "may be present otherwise"), but that dciodvfy calls errors. The source image still has them.
_ENHANCED_MR = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.3")
_ENHANCED_MR_ORIGINAL_ONLY = (
    "BulkMotionCompensationTechnique",
    "CoverageOfKSpace",
    "EchoPlanarPulseSequence",
    "EchoPulseSequence",
    "GeometryOfKSpaceTraversal",
    "MRAcquisitionType",
    "MultiPlanarExcitation",
    "MultipleSpinEcho",
    "NumberOfKSpaceTrajectories",
    "OversamplingPhase",
    "PhaseContrast",
    "PulseSequenceName",
    "RectilinearPhaseEncodeReordering",
    "SaturationRecovery",
    "SegmentedKSpaceTraversal",
    "SpectrallySelectedSuppression",
    "SteadyStatePulseSequence",
    "TimeOfFlightContrast",
)
_ALWAYS_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit)
_METHODS = {
    **dict.fromkeys(_ALWAYS_LOSSY, "ISO_10918_1"),
    JPEGLSNearLossless: "ISO_14495_1",
    **{uid: "ISO_15444_1" for uid in JPEG2000TransferSyntaxes if "Lossless" not in uid.name},
}


class SeriesUids:
    """One new Series Instance UID per source series, for as long as this object lives."""

    def __init__(self) -> None:
        self._run = uuid.uuid4()

    def new(self, source: str) -> UID:
        """Always the same new UID for the same source UID; a fresh one for an empty `source`."""
        return make_uid(uuid.uuid5(self._run, source) if source else uuid.uuid4())


def derive(
    image: Image, pixels: Pixels, model: ModelNote, series: SeriesUids | None = None
) -> Dataset:
    """The dataset of the derived image, ready to be written as Explicit VR Little Endian.

    pixels: (N, R * scale, C * scale), dtype of `image.words`. `image` stays as it is. Raises
    EngineError when `pixels` is not of that shape and dtype, UnsupportedImageError when the result
    does not fit into DICOM's length fields.
    """
    frames, rows, columns = image.words.shape
    shape = (frames, rows * model.scale, columns * model.scale)
    if pixels.shape != shape or pixels.dtype != image.words.dtype:
        raise EngineError("the model returned pixels of another size or type than it promised")
    if max(shape[1:]) > 0xFFFF or pixels.nbytes > _MAX_PIXEL_DATA_BYTES:
        raise UnsupportedImageError(
            f"too large: magnified {model.scale}x it does not fit into a DICOM file",
            next_step="use a model without magnification",
            reason="too large",
        )
    with quiet():
        derived = to_explicit(image.dataset, signed=image.facts[0].signed)
        enhanced_mr = derived.get("SOPClassUID") in _ENHANCED_MR
        for keyword in (*_STALE, *(_ENHANCED_MR_ORIGINAL_ONLY if enhanced_mr else ())):
            if keyword in derived:
                delattr(derived, keyword)
        _note_lossy_source(derived, image)
        note_derivation(derived, model)
        note_equipment(derived, model)
        _renew_identity(derived, series or SeriesUids())
        if model.scale != 1:
            _drop_overlays(derived)
            magnify_geometry(derived, model.scale)
        derived.Rows, derived.Columns = shape[1:]
        _set_pixels(derived, pixels)
    return derived


def _set_pixels(derived: Dataset, pixels: Pixels) -> None:
    raw = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    vr = "OW" if pixels.dtype.itemsize == 2 else "OB"
    derived["PixelData"] = DataElement("PixelData", vr, raw)  # pydicom pads it to an even length


def _renew_identity(derived: Dataset, series: SeriesUids) -> None:
    now = now_for(derived)
    derived.SOPInstanceUID = make_uid(uuid.uuid4())
    derived.SeriesInstanceUID = series.new(str(derived.get("SeriesInstanceUID") or ""))
    if derived.get("ConcatenationUID"):
        derived.ConcatenationUID = series.new(str(derived.ConcatenationUID))
    derived.InstanceCreationDate = now.strftime("%Y%m%d")
    derived.InstanceCreationTime = now.strftime("%H%M%S.%f")
    derived.InstanceCreatorUID = IMPLEMENTATION_CLASS_UID
    number = texts(derived, "SeriesNumber")
    if number and number[0].isdigit() and int(number[0]) < 2**31 - SERIES_NUMBER_OFFSET:
        derived.SeriesNumber = int(number[0]) + SERIES_NUMBER_OFFSET
    description = " ".join(texts(derived, "SeriesDescription"))
    if not description.endswith(SERIES_SUFFIX):
        kept = description[: 64 - len(SERIES_SUFFIX)]
        derived.SeriesDescription = (kept + SERIES_SUFFIX).strip()


def _note_lossy_source(derived: Dataset, image: Image) -> None:
    """'01' stays for ever; a lossy file that forgot to say so gets it."""
    said = texts(derived, "LossyImageCompression")
    method = _METHODS.get(image.transfer_syntax)
    if method is None or said == ["01"] or (said and image.transfer_syntax not in _ALWAYS_LOSSY):
        return
    derived.LossyImageCompression = "01"
    derived.LossyImageCompressionMethod = method
    derived.LossyImageCompressionRatio = round(image.words.nbytes / image.encoded_bytes, 2)


def _drop_overlays(derived: Dataset) -> None:
    """Their grid is the old pixels'."""
    for tag in [t for t in derived.keys() if t.group & 0xFF00 == 0x6000]:  # noqa: SIM118
        del derived[tag]
    if "ShutterOverlayGroup" in derived:
        del derived.ShutterOverlayGroup
