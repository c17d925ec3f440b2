"""A header of any encoding -> the same header in Explicit VR Little Endian.

pydicom would do it by decoding every value and encoding it again, which loses text whose character
set is wrong or unknown and leaves the words of big-endian tables unswapped. Here text stays the
bytes it was.
"""

from __future__ import annotations

import copy
from typing import cast

import numpy as np
from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

_WORD_BYTES = {
    **dict.fromkeys(("US", "SS", "OW", "AT"), 2),
    **dict.fromkeys(("UL", "SL", "FL", "OF", "OL"), 4),
    **dict.fromkeys(("FD", "OD", "SV", "UV", "OV"), 8),
}


def to_explicit(source: Dataset, *, signed: bool) -> Dataset:
    """A new dataset; what pydicom has not decoded yet stays bytes, and `source` says the same.

    signed: Pixel Representation 1, which decides between VR US and SS where the file does not say.
    """
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    for tag in sorted(source.keys()):
        if tag.group < 8 or tag.element == 0:  # commands, file meta, retired group lengths
            continue
        element = cast("DataElement | RawDataElement", source.get_item(tag))
        vr = _vr(element, source, signed)
        if vr == "SQ" and not _is_raw_explicit(element):
            element = source[tag]
            nested = [to_explicit(item, signed=signed) for item in element.value or ()]
            elements[tag] = DataElement(
                tag, "SQ", Sequence(nested), is_undefined_length=element.is_undefined_length
            )
        elif isinstance(element, RawDataElement):
            value = element.value or b""
            if not element.is_little_endian:
                value = _swapped(value, vr)
            elements[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
        else:
            element = copy.deepcopy(element)
            if source.original_encoding[1] is False and isinstance(element.value, bytes):
                element.value = _swapped(element.value, vr)
            elements[tag] = element
    charset = source._character_set
    target = Dataset(elements, parent_encoding=charset)
    target.set_original_encoding(False, True, charset)
    return target


def _is_raw_explicit(element: DataElement | RawDataElement) -> bool:
    """Bytes that can be written as they are, items and all."""
    return (
        isinstance(element, RawDataElement)
        and not element.is_implicit_VR
        and element.is_little_endian
    )


def _vr(element: DataElement | RawDataElement, dataset: Dataset, signed: bool) -> str:
    vr = element.VR
    if vr is None:
        vr = (
            _private_vr(element.tag, dataset) if element.tag.is_private else _public_vr(element.tag)
        )
    if vr == "US or SS":
        return "SS" if signed else "US"
    return "OW" if " or " in vr else str(vr)


def _public_vr(tag: BaseTag) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _private_vr(tag: BaseTag, dataset: Dataset) -> str:
    if tag.is_private_creator:
        return "LO"
    try:
        return private_dictionary_VR(tag, dataset[Tag(tag.group, tag.element >> 8)].value)
    except KeyError:
        return "UN"  # which by PS3.5 6.2.2 holds little-endian implicit bytes


def _swapped(value: bytes, vr: str) -> bytes:
    size = _WORD_BYTES.get(vr, 1)
    if size == 1 or len(value) % size:
        return value
    return np.frombuffer(value, f"u{size}").byteswap().tobytes()
