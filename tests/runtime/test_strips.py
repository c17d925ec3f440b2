"""Frames worked on in strips: the same as in one piece, to the last bit."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from scanside.runtime.frame import FrameFacts, merge_stored, stored_values
from scanside.runtime.guard import change_of
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import Percentiles, StoredRange, Window
from scanside.runtime.strips import PIXELS, stored_floats, strips

WINDOW = Window(lower=-1000.0, upper=1000.0, margin=250.0)
RNG = np.random.default_rng(0)
DTYPES = ("uint8", "int8", "uint16", "int16")


def facts_of(bits: int, signed: bool, **more: object) -> FrameFacts:
    return FrameFacts(modality="CT", bits_stored=bits, signed=signed, **more)  # type: ignore[arg-type]


def any_words(dtype: str, shape: tuple[int, int]) -> np.ndarray:
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max + 1, shape).astype(dtype)


CONTAINERS = [
    (dtype, bits, signed)
    for dtype in DTYPES
    for bits in range(1, 8 * np.dtype(dtype).itemsize + 1)
    for signed in (False, True)
]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, PIXELS), (2000, 700), (5, 2 * PIXELS)])
@pytest.mark.parametrize("least", [1, 8])
def test_strips_hold_every_row_once(rows, columns, least):
    found = list(strips(rows, columns, least=least))
    assert [row for one in found for row in range(rows)[one]] == list(range(rows))
    assert all(one.stop - one.start >= least for one in found[:-1])
    assert all((one.stop - one.start) * columns <= max(PIXELS, least * columns) for one in found)


@pytest.mark.parametrize(("dtype", "bits", "signed"), CONTAINERS)
def test_stored_values_are_the_same_as_floats(dtype, bits, signed):
    words, facts = any_words(dtype, (9, 400)), facts_of(bits, signed)
    found = stored_floats(words, facts)
    assert found.dtype == np.float32
    assert np.array_equal(found, stored_values(words, facts))
    assert not np.shares_memory(found, words)


@pytest.mark.parametrize(("dtype", "bits", "signed"), CONTAINERS)
def test_words_are_put_together_as_the_frame_says(dtype, bits, signed):
    words, facts = any_words(dtype, (9, 400)), facts_of(bits, signed)
    low, high = facts.stored_range
    frame = FrameMap(words, facts, StoredRange())
    residual = RNG.normal(0, 0.3, words.shape).astype(np.float32)
    # The formula of the module's docstring, on the whole frame.
    base = stored_values(words, facts).astype(np.float32)
    assert frame.range is not None
    change = frame.range.weight(base) * (residual * np.float32(frame.range.span))
    values = np.clip(np.rint(base + change), low, high).astype(np.int32)
    assert np.array_equal(frame.apply(residual), merge_stored(values, words, facts))


@pytest.mark.parametrize("facts", [
    facts_of(12, False, intercept=-1024.0),
    facts_of(16, True, padding=(200, 210)),  # where the model works
    facts_of(12, True, padding=(-2000, -1990), photometric="MONOCHROME1"),
])  # fmt: skip
def test_a_large_frame_is_the_same_as_its_pieces(facts):
    shape = 3 * PIXELS // 512 + 7, 512
    values = np.clip(RNG.normal(300, 400, shape), *facts.stored_range)
    values[100:140, 50:90] = facts.padding[0] if facts.padding else 0
    words = values.astype(np.int16 if facts.signed else np.uint16)
    residual = RNG.normal(0, 0.05, shape).astype(np.float32)
    whole = FrameMap(words, facts, WINDOW)
    out = np.empty(shape, words.dtype)
    result = whole.apply(residual, out=out)
    assert result is out
    unit = whole.unit()
    for top in range(0, shape[0], 11):
        part = slice(top, top + 11)
        piece = FrameMap(words[part], facts, WINDOW)
        assert np.array_equal(unit[part], piece.unit())
        assert np.array_equal(result[part], piece.apply(residual[part]))
    assert (result != words).any()
    if facts.padding:
        low, high = facts.padding
        padding = (words >= low) & (words <= high)
        assert padding.sum() >= 1600
        assert np.array_equal(result[padding], words[padding])


def test_a_value_that_is_not_finite_is_found_in_any_strip():
    words = RNG.integers(0, 4096, (3 * PIXELS // 512, 512)).astype(np.uint16)
    residual = np.zeros(words.shape, np.float32)
    residual[-1, -1] = np.nan
    with pytest.raises(Exception, match="not finite"):
        FrameMap(words, facts_of(12, False), WINDOW).apply(residual)


def test_a_frame_is_constant_only_if_its_last_pixel_is_so():
    words = np.full((3 * PIXELS // 512, 512), 100, np.uint16)
    assert FrameMap(words, facts_of(12, False), WINDOW).range is None
    words[-1, -1] += 1
    assert FrameMap(words, facts_of(12, False), WINDOW).range is not None
    alone = facts_of(12, False, padding=(101, 101))
    assert FrameMap(words, alone, WINDOW).range is None


def test_percentiles_are_of_all_strips():
    words = RNG.integers(0, 40000, (3 * PIXELS // 512, 512)).astype(np.uint16)
    words[: len(words) // 2] //= 10
    facts = facts_of(16, False, padding=(0, 100))
    found = FrameMap(words, facts, Percentiles(lower=1.0, upper=99.0, margin=0.0)).range
    low, high = np.percentile(words[words > 100], [1, 99])
    assert found is not None
    assert (found.zero, found.one) == pytest.approx((low, high))


@pytest.mark.parametrize(("dtype", "bits", "signed"), CONTAINERS)
def test_the_guard_sees_the_largest_change_that_bits_can_hold(dtype, bits, signed):
    facts = facts_of(bits, signed)
    low, high = facts.stored_range
    ends = np.where(RNG.random((16, 300)) < 0.5, low, high).astype(np.int64)
    ends[0, :2] = low, high  # no constant frame
    words, result = (one.astype(dtype) for one in (ends, low + high - ends))
    change = change_of(words, result, facts, StoredRange())
    assert change.largest == pytest.approx(1.0)
    assert change.rms == pytest.approx(1.0)
    expected = np.mean(np.where(ends == low, 1.0, -1.0))
    assert change.mean == pytest.approx(expected, abs=1e-5)


FAULTS = """
import resource, threading, numpy as np
from scanside.runtime.allocator import keep_freed_memory
if {keep}:
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():  # on a thread, as an engine does: its heap is another than the main thread's
    for round_ in range(25):
        if round_ == 5:
            before = faults()
        arrays = [np.ones((512, 512), np.float32) for _ in range(8)]
        del arrays
    print((faults() - before) / 20)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")
def test_a_process_keeps_the_memory_of_one_frame_for_the_next():
    faults = {
        keep: float(
            subprocess.run(
                [sys.executable, "-c", FAULTS.format(keep=keep)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for keep in (False, True)
    }
    assert faults[True] < 10
    assert faults[False] > 100


def test_what_was_freed_can_be_given_back() -> None:
    """A child keeps freed memory as the daemon does, then gives it back."""
    code = """
from scanside.runtime.allocator import give_freed_memory_back, keep_freed_memory
from scanside.runtime.daemon.memory import resident
assert keep_freed_memory()
blocks = [bytearray(1 << 20) for _ in range(100)]
last = bytearray(1 << 20)  # at the end of the heap: what is below it is not given back by itself
del blocks
kept = resident()
assert give_freed_memory_back()
print((kept - resident()) >> 20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 80
