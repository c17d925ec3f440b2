"""All contenders in turn, in a new random order each round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from scanside.benchmarks.evidence.paired import Times
from scanside.benchmarks.peers.callers import Caller, together
from scanside.benchmarks.peers.server import Server
from scanside.runtime.progress import task

CALLS = 5
"""Of one contender, one after the other, in a round: as `bench serving` has it."""
WARM_UP = 2
"""Rounds that do not count."""


class Trips(NamedTuple):
    """Both (rounds, CALLS) in ms. inside: what the server says that engine and guard took; NaN of
    servers that say nothing."""

    times: Times
    inside: Times


class Flow(NamedTuple):
    """All (rounds, 1). server_ms, client_ms: processor time for one frame, of all the server's
    processes and of the clients; server_ms is NaN of the floor, which has no server."""

    per_second: Times
    server_ms: Times
    client_ms: Times


def round_trips(callers: Mapping[str, Caller], rounds: int, title: str) -> dict[str, Trips]:
    """`CALLS` calls of every contender a round. Raises BenchmarkError for a wrong answer."""
    names = list(callers)
    shape = (len(names), WARM_UP + rounds, CALLS)
    times, inside = np.empty(shape), np.empty(shape)
    rng = np.random.default_rng(0)
    with task(f"Round trips, {title}", WARM_UP + rounds) as progress:
        for round_ in range(WARM_UP + rounds):
            for one in rng.permutation(len(names)):
                found = callers[names[one]].call(CALLS)
                times[one, round_] = found.times
                inside[one, round_] = [np.nan if ms is None else ms for ms in found.inside]
            progress.advance()
    return {
        name: Trips(mine[WARM_UP:], apart[WARM_UP:])
        for name, mine, apart in zip(names, times, inside, strict=True)
    }


def flows(
    groups: Mapping[str, tuple[Sequence[Caller], Server | None]],
    rounds: int,
    seconds: float,
    title: str,
) -> dict[str, Flow]:
    """Every contender's clients at once, each one frame after the other, for so many seconds a
    round. Raises BenchmarkError for a wrong answer."""
    names = list(groups)
    found = np.full((len(names), 3, rounds, 1), np.nan)
    rng = np.random.default_rng(1)
    with task(f"Throughput, {title}", rounds) as progress:
        for round_ in range(rounds):
            for one in rng.permutation(len(names)):
                callers, server = groups[names[one]]
                before = server.processor_seconds() if server is not None else np.nan
                done = together(callers, seconds)
                used = server.processor_seconds() - before if server is not None else np.nan
                frames = sum(flow.frames for flow in done)
                clients = sum(flow.processor_s for flow in done)
                found[one, :, round_, 0] = (
                    frames / max(flow.seconds for flow in done),
                    used * 1000 / frames,
                    clients * 1000 / frames,
                )
            progress.advance()
    return {name: Flow(*figures) for name, figures in zip(names, found, strict=True)}
