"""One engine and one filter as they were measured. Knows neither: torch is not loaded for a row."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from scanside.benchmarks.evidence.paired import Estimate

EAGER = "PyTorch eager, float, unpruned"


class EngineRow(msgspec.Struct, frozen=True, kw_only=True):
    """ms of one network call. faster: how many times faster than `EAGER`, in the same rounds.
    first_s: of torch.compile's first call, which compiles; None of others. rounds: of `faster`."""

    name: str
    int8: bool
    ms: Estimate
    p99: float
    faster: Estimate
    rounds: list[float]
    first_s: float | None = None


class FilterRow(msgspec.Struct, frozen=True, kw_only=True):
    """ms of one slice, median over slices. psnr in dB over the set's data range; gain over the
    noisy image. slower: how many times the fastest INT8 engine's time, slice by slice."""

    name: str
    int8: bool
    ms: Estimate
    psnr: float
    gain: float
    ssim: float
    slower: Estimate
    rounds: list[float]


class Filters(NamedTuple):
    """level: in the set's unit. best: the classical method of the highest PSNR. fastest: the INT8
    engine that takes least time."""

    words: str
    data_range: str
    unit: str
    level: float
    images: int
    rows: list[FilterRow]
    best: FilterRow
    fastest: FilterRow
