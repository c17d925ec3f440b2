"""Which layers INT8 costs most, and the fewest to return to float until the gate is passed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from scanside.compile.gate import CONTROL, Gate, Verdict
from scanside.compile.graph import Array
from scanside.compile.unrounded import return_to_float
from scanside.runtime.bundle import MODEL
from scanside.runtime.engines import Engine
from scanside.runtime.progress import task
from scanside.train.heldout import enhance_case
from scanside.train.metrics.case import Case
from scanside.train.metrics.quality import psnr

HARDEST = 6
"""Cases that each layer is measured on: those that INT8 lost most of."""

Load = Callable[[bytes], Engine]


class LayerGain(msgspec.Struct, frozen=True, kw_only=True):
    """What is won, in dB of mean PSNR, by leaving one layer out: all others in INT8."""

    name: str
    gain: float


def leave_one_out(
    model: bytes, weights: Mapping[str, Array], load: Load, cases: Sequence[Case]
) -> list[LayerGain]:
    """Every layer of `weights` returned to float by itself; whoever gains most comes first."""
    with task("Measuring layer by layer", len(weights) + 1) as progress:
        whole = _psnr(load(model), cases)
        found = []
        progress.advance()
        for name, weight in weights.items():
            without = load(return_to_float(model, {name: weight}))
            found.append(LayerGain(name=name, gain=_psnr(without, cases) - whole))
            progress.advance(note=name)
    return sorted(found, key=lambda one: -one.gain)


def hardest(gate: Gate, verdict: Verdict) -> list[Case]:
    """The cases that the reference lost most of."""
    found, control = (verdict.engines[name].cases for name in (MODEL, CONTROL))
    order = np.argsort(np.subtract(found, control), kind="stable")
    return [gate.cases[index] for index in order[:HARDEST]]


def repair(
    table: Sequence[LayerGain],
    rank: Callable[[Sequence[str]], Sequence[LayerGain]],
    passes: Callable[[Sequence[str]], bool],
) -> tuple[str, ...]:
    """Names of the layers to return to float: none to spare; empty where not even all would do.

    One after the other, whoever gains most with the others already in float; then each that turns
    out to be unnecessary goes back. table: of `leave_one_out` with every layer in INT8. rank: the
    same for the layers that are left when those named are in float. passes: whether the gate lets
    the model through with those named in float.
    """
    chosen: list[str] = []
    while len(chosen) < len(table):
        ranked = rank(chosen) if chosen else table
        chosen.append(ranked[0].name)
        if passes(chosen):
            break
    else:
        return ()
    for name in chosen[:-1]:
        fewer = [one for one in chosen if one != name]
        if passes(fewer):
            chosen = fewer
    return tuple(chosen)


def _psnr(engine: Engine, cases: Sequence[Case]) -> float:
    return float(
        np.mean(
            [
                psnr(enhance_case(engine, case), case.clean, case.inside, case.ruler)
                for case in cases
            ]
        )
    )
