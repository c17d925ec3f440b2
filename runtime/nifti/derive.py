"""The header of an enhanced volume: what is true of it, and nothing that could name a patient.

Fields are copied by name. Left out are extensions (dcm2niix and others put DICOM headers there)
and every field of free text: data_type, db_name, aux_file, intent_name. `descrip` says what the
volume is derived by.
"""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from scanside.runtime.dicom.provenance import ModelNote
from scanside.runtime.nifti.geometry import magnify_geometry
from scanside.runtime.nifti.header import Header, nibabel_class
from scanside.runtime.nifti.refusals import unsupported

_KEPT = (
    *("dim_info", "dim", "datatype", "bitpix", "pixdim", "intent_code"),
    *("slice_code", "slice_start", "slice_end", "slice_duration", "toffset", "xyzt_units"),
    *("cal_min", "cal_max", "qform_code", "sform_code"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z"),
)
_DESCRIPTION = 79  # of 80 bytes, for readers that want a zero at the end


def derived_header(header: Header, model: ModelNote) -> bytes:
    """The bytes before the voxels of the derived file, little-endian, no extensions.

    Raises UnsupportedImageError (reason "too large") when a magnified axis does not fit.
    """
    source = header.nibabel.structarr
    size = source.dtype.itemsize
    derived = nibabel_class(size)(endianness="<", check=False)
    fields = derived.structarr
    for name in _KEPT:
        fields[name] = source[name]
    i, j, k, t = header.shape
    shape = (i * model.scale, j * model.scale, k, t)
    if max(shape) > np.iinfo(fields["dim"].dtype).max:
        raise unsupported("too large", f"magnified {model.scale}x it does not fit into NIfTI-1")
    fields["dim"] = (int(source["dim"][0]), *shape, 1, 1, 1)
    if model.scale != 1:
        magnify_geometry(fields, model.scale)
    fields["scl_slope"], fields["scl_inter"] = header.slope, header.intercept
    fields["vox_offset"] = size + 4
    fields["descrip"] = _describe(model)
    block: bytes = derived.binaryblock
    return block + b"\0\0\0\0"  # no extensions follow


def _describe(model: ModelNote) -> bytes:
    """ASCII. A name that is too long gives way to the version, and to whether it was signed."""
    before = f"derived by Scanside {version('scanside')}: "
    after = f" {model.version}" + ("" if model.signed else ", UNSIGNED")
    name = model.name[: _DESCRIPTION - len(before) - len(after)]
    return f"{before}{name}{after}".encode("ascii", "replace")[:_DESCRIPTION]
