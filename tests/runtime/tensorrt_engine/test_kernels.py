"""The kernels' arithmetic against NumPy's, bit by bit: the CUDA source compiled for the CPU.

It proves what kernels.cu says: every index, rounding and layout of arguments. Not what a GPU and
its driver make of it: test_kernels_on_gpu.py does, where there is one.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, event, example, given, settings

from cuda_on_cpu import build, load
from one_frame import WINDOW, Case, Memory, by_kernels, cases, compare, halves, ring
from scanside.runtime.engines.tensorrt.kernels import SOURCE, Kernels
from scanside.runtime.frame import FrameFacts
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import StoredRange
from thin_pycuda import ThinCuda

CT = FrameFacts(modality="CT", bits_stored=12, signed=False, intercept=-1024.0)


def started(kernels: ctypes.CDLL) -> tuple[Kernels, Memory]:
    cuda = ThinCuda(kernels)
    cuda.pushed = 1
    kept: list[Any] = []

    def there(array: npt.NDArray[Any]) -> tuple[int, Any]:
        copy = array.copy()
        kept.append(copy)
        return int(copy.ctypes.data), lambda: copy

    return Kernels(cuda, cuda.Stream(1)), Memory(there)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=cases())
@example(case=ring(1))
@example(case=ring(2))
@example(case=halves())
def test_every_frame_comes_out_as_numpy_makes_it(kernels: ctypes.CDLL, case: Case) -> None:
    ranged = FrameMap(case.words, case.facts, case.intensity).range is not None
    event(f"scale {case.scale}, padding {case.facts.padding is not None}, range {ranged}")
    compare(case, *started(kernels))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("place", "flawed"), [((3, 5), 1), ((60, 46), 1), ((61, 0), 0)])
def test_what_is_not_finite_is_told_within_the_frame_alone(
    kernels: ctypes.CDLL, value: float, place: tuple[int, int], flawed: int
) -> None:
    case = ring(1)
    case.residual[place] = value
    done = by_kernels(case, *started(kernels))
    assert done is not None
    assert done[2] == flawed


def test_the_largest_of_all_floats_is_finite(kernels: ctypes.CDLL) -> None:
    case = ring(1)
    case.residual[3, 5], case.residual[30, 23] = np.finfo(np.float32).max, np.finfo(np.float32).min
    compare(case, *started(kernels))


def test_padding_far_beyond_what_words_can_hold_matches_nothing(kernels: ctypes.CDLL) -> None:
    words = np.arange(40 * 33, dtype=np.uint16).reshape(40, 33)
    residual = np.full((40, 33), 0.25, np.float32)
    for ends in ((2**40, 2**50), (-(2**50), -(2**40)), (2**31 - 1, 2**31)):
        facts = msgspec.structs.replace(CT, padding=ends)
        compare(Case(words, facts, WINDOW, 1, 1, 1024, 0, residual), *started(kernels))


def test_halves_are_rounded_to_even_and_ends_are_clipped(kernels: ctypes.CDLL) -> None:
    facts = FrameFacts(modality="US", bits_stored=8, signed=False)
    words = np.repeat(np.array([[0, 1, 2, 3, 254, 255]], np.uint8), 32, axis=0)
    for change in (0.5, -0.5, 1.5, -1.5, 300.0, -300.0):
        residual = np.full((32, 32), np.float32(change / 255), np.float32)
        compare(Case(words, facts, StoredRange(), 1, 1, 1024, 0, residual), *started(kernels))


MUTATIONS = {
    "fma": ("__fadd_rn(base, __fmul_rn(influence, change))", "fmaf(influence, change, base)"),
    "one pixel off": ("2 * (length - 1) - place", "2 * length - 1 - place"),
    "edge": ("padded - length < length ?", "true ?"),
    "rounding": ("rintf(changed)", "roundf(changed)"),
    "reciprocal": (
        "__fdiv_rn(__fsub_rn(value, frame.zero), frame.span)",
        "__fmul_rn(__fsub_rn(value, frame.zero), 1.0f / frame.span)",
    ),
    "sign": ("old == source", "true"),
    "overlay": ("(value & mask) | (old & ~mask)", "value & mask"),
    "taps": ("111.0f / 128", "110.0f / 128"),
    "phase": ("phase ? place + 2 - number", "phase ? place + 1 - number"),
    "filling": ("Filled<Word, 2>::at(", "Filled<Word, 1>::at("),
    "lowest": ("(float)frame.lowest", "0.0f"),
    "padding": ("padding ? 0.0f : weight(", "false ? 0.0f : weight("),
    "weight of overshoot": ("weight(frame, bounded(base, low, high))", "weight(frame, base)"),
    "limit": ("bounded(change, -frame.limit, frame.limit)", "change"),
    "one too many bits": ("frame.bits - frame.value_signed", "frame.bits"),
    "tile": ("row - tile.top * scale", "row"),
    "hard edge": ("if (frame.fade == 0.0f)", "if (false)"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_kernel_that_differs_by_a_word_is_noticed(name: str, tmp_path: Path) -> None:
    right, wrong = MUTATIONS[name]
    source = SOURCE.read_text()
    assert source.count(right) == 1
    kernels = load(build(tmp_path, source.replace(right, wrong)))
    with pytest.raises(AssertionError):
        test_every_frame_comes_out_as_numpy_makes_it(kernels)
