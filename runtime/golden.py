"""Golden frames: what every engine must reproduce, on every device, before it serves a frame.

`golden.npz` is laid out as strictly as the bundle around it (`scanside.runtime.stored_zip`): .npy
members `facts` (JSON in a uint8 array: the list of the frames' facts), and `words_NNN` and
`result_NNN` per frame. numpy.load can read it too.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from scanside.runtime.admission import admit
from scanside.runtime.bundle import GOLDEN, Bundle
from scanside.runtime.engines import Engine
from scanside.runtime.errors import (
    BundleError,
    BundleFormatError,
    GoldenMismatchError,
    RefusedFrameError,
)
from scanside.runtime.frame import FrameFacts, Pixels, merge_stored, stored_values
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import MEBIBYTE, Manifest, Tolerance
from scanside.runtime.stored_zip import read_members, write_members

MAX_MEMBER_BYTES = 16 * MEBIBYTE
FEW = 1000
COMPILE_AGAIN = "compile the bundle again"
ANOTHER_ENGINE = "choose another engine, or compile the bundle again"
# The header exactly as `encode_golden` has it written: NumPy's own reader takes much more.
_NPY_HEADER = re.compile(
    rb"\{'descr': '(?P<dtype>[<|][iu][12])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>\d{1,9},|\d{1,9}, \d{1,9})\), \} *\n"
)


@dataclass(frozen=True)
class GoldenFrame:
    """words: (R, C) in; result: (R * scale, C * scale) out of the reference, of the same dtype."""

    words: Pixels
    facts: FrameFacts
    result: Pixels


@dataclass(frozen=True)
class GoldenFigures:
    """One frame's distance from the reference, in modality units; PSNR in dB (inf if equal)."""

    largest: float
    p999: float
    psnr: float


@dataclass(frozen=True)
class GoldenReport:
    """Figures per golden frame, in the bundle's order, of an engine that passed."""

    frames: tuple[GoldenFigures, ...]

    @property
    def worst(self) -> GoldenFigures:
        return GoldenFigures(
            largest=max(figures.largest for figures in self.frames),
            p999=max(figures.p999 for figures in self.frames),
            psnr=min(figures.psnr for figures in self.frames),
        )


def encode_golden(frames: Sequence[GoldenFrame]) -> bytes:
    """The bytes of golden.npz; equal frames are equal bytes."""
    facts = np.frombuffer(msgspec.json.encode([frame.facts for frame in frames]), dtype=np.uint8)
    members = [("facts.npy", _encode_array(facts))]
    for index, frame in enumerate(frames):
        members.append((_name("words", index), _encode_array(frame.words)))
        members.append((_name("result", index), _encode_array(frame.result)))
    out = io.BytesIO()
    write_members(out, members)
    return out.getvalue()


def decode_golden(raw: bytes, manifest: Manifest) -> list[GoldenFrame]:
    """Frames from golden.npz's bytes. Raises BundleFormatError for anything malformed, over a cap
    or not a frame that the manifest's model may touch."""
    try:
        members = dict(read_members(io.BytesIO(raw), len(raw), lambda _: MAX_MEMBER_BYTES))
        all_facts = msgspec.json.decode(
            _decode_array(members["facts.npy"], dimensions=1).tobytes(), type=list[FrameFacts]
        )
        frames = [
            GoldenFrame(
                words=_decode_array(members[_name("words", index)], dimensions=2),
                facts=facts,
                result=_decode_array(members[_name("result", index)], dimensions=2),
            )
            for index, facts in enumerate(all_facts)
        ]
    except (BundleError, KeyError, ValueError, msgspec.MsgspecError) as error:
        raise BundleFormatError("golden.npz is malformed", next_step=COMPILE_AGAIN) from error
    if not frames:
        raise BundleFormatError("golden.npz holds no frame", next_step=COMPILE_AGAIN)
    for frame in frames:
        _check_frame(frame, manifest)
    return frames


def check_engine(engine: Engine, bundle: Bundle) -> GoldenReport:
    """Run the bundle's golden frames and hold them against the manifest's tolerance.

    Raises GoldenMismatchError naming the worst figure, EngineError when the engine fails,
    BundleFormatError when there are no readable golden frames.
    """
    manifest = bundle.manifest
    figures = []
    for index, frame in enumerate(decode_golden(bundle.member(GOLDEN), manifest)):
        result = engine.run(frame.words[np.newaxis], [frame.facts])[0]
        place = f"{engine.spec.name} on golden frame {index}"
        _check_exact(result, frame, manifest, place)
        figures.append(golden_figures(result, frame, manifest.tolerance.data_range))
        check_tolerance(figures[-1], manifest.tolerance, place)
    return GoldenReport(tuple(figures))


def _check_exact(result: Pixels, frame: GoldenFrame, manifest: Manifest, place: str) -> None:
    """What has no tolerance: shape, dtype and, at scale 1, every bit that no model may touch."""
    if result.shape != frame.result.shape or result.dtype != frame.result.dtype:
        raise GoldenMismatchError(
            f"{place} gave {result.shape} {result.dtype},"
            f" not {frame.result.shape} {frame.result.dtype}",
            next_step=ANOTHER_ENGINE,
        )
    if manifest.scale != 1:
        return
    kept = FrameMap(frame.words, frame.facts, manifest.intensity).untouched()
    if (result != frame.words)[kept].any():
        raise GoldenMismatchError(
            f"{place} changed pixels that are padding or beyond the window",
            next_step=ANOTHER_ENGINE,
        )
    rebuilt = merge_stored(stored_values(result, frame.facts), frame.words, frame.facts)
    if (result != rebuilt).any():
        raise GoldenMismatchError(
            f"{place} changed bits above Bits Stored", next_step=ANOTHER_ENGINE
        )


def golden_figures(result: Pixels, frame: GoldenFrame, data_range: float) -> GoldenFigures:
    """How far a result (R * scale, C * scale) is from the frame's, in modality units.

    A frame of fewer than `FEW` pixels has no 99.9th percentile and no mean that would say anything
    of an engine: its largest difference is all that counts.
    """
    difference = stored_values(result, frame.facts).astype(np.float64)
    difference -= stored_values(frame.result, frame.facts)
    difference = np.abs(difference * frame.facts.slope)
    if difference.size < FEW:
        return GoldenFigures(largest=float(difference.max()), p999=0.0, psnr=math.inf)
    error = float(np.mean(difference**2))
    return GoldenFigures(
        largest=float(difference.max()),
        p999=float(np.percentile(difference, 99.9)),
        psnr=math.inf if error == 0 else 10 * math.log10(data_range**2 / error),
    )


def check_tolerance(figures: GoldenFigures, tolerance: Tolerance, place: str) -> None:
    """GoldenMismatchError naming the figure that is furthest over its limit, if one is."""
    over = {
        f"largest difference {figures.largest:.4g}, allowed {tolerance.largest:.4g}": (
            figures.largest - tolerance.largest
        )
        / max(tolerance.largest, 1e-9),
        f"99.9th percentile {figures.p999:.4g}, allowed {tolerance.p999:.4g}": (
            figures.p999 - tolerance.p999
        )
        / max(tolerance.p999, 1e-9),
        f"PSNR {figures.psnr:.2f} dB, required {tolerance.psnr_floor:.2f} dB": (
            tolerance.psnr_floor - figures.psnr
        )
        / max(abs(tolerance.psnr_floor), 1e-9),
    }
    text, excess = max(over.items(), key=lambda item: item[1])
    if excess > 0:
        raise GoldenMismatchError(f"{place} is off: {text}", next_step=ANOTHER_ENGINE)


def _name(kind: str, index: int) -> str:
    return f"{kind}_{index:03}.npy"


def _encode_array(array: npt.NDArray[np.generic]) -> bytes:
    member = io.BytesIO()
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    np.lib.format.write_array(member, little, version=(1, 0), allow_pickle=False)
    return member.getvalue()


def _decode_array(member: bytes, *, dimensions: int) -> npt.NDArray[np.generic]:
    """One .npy; ValueError unless it is just what `_encode_array` writes. Takes no more memory
    than the bytes that are there, whatever the header claims."""
    header_end = 10 + int.from_bytes(member[8:10], "little")
    header = _NPY_HEADER.fullmatch(member[10:header_end])
    if member[:8] != b"\x93NUMPY\x01\x00" or header is None:
        raise ValueError("not a plain .npy")
    shape = tuple(int(length) for length in header["shape"].split(b",") if length)
    if len(shape) != dimensions:
        raise ValueError("an array of another shape")
    dtype = np.dtype(header["dtype"].decode())
    array = np.frombuffer(member[header_end:], dtype=dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _check_frame(frame: GoldenFrame, manifest: Manifest) -> None:
    rows, columns = frame.words.shape
    if (
        frame.result.shape != (rows * manifest.scale, columns * manifest.scale)
        or frame.result.dtype != frame.words.dtype
    ):
        raise BundleFormatError("a golden result does not fit its frame")
    try:
        admit(manifest, frame.facts, (rows, columns), frame.words.dtype.name)
    except RefusedFrameError as error:
        raise BundleFormatError(f"a golden frame is not the model's: {error.message}") from error
