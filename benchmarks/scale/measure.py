"""All cells in turn, in a new random order each round."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace

from scanside.benchmarks.scale.busy import busy_parts, thread_seconds
from scanside.benchmarks.scale.cells import (
    Cell,
    Curve,
    Placing,
    Plan,
    curve_of,
    placing_of,
    usable_cores,
)
from scanside.benchmarks.scale.client import Found, Order
from scanside.benchmarks.served import Served, daemon_of
from scanside.benchmarks.serving.child import Child
from scanside.benchmarks.serving.frames import FACTS, ct_frames
from scanside.benchmarks.serving.identity import write_identity
from scanside.benchmarks.serving.roundtrip import SHARED, TCP
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.errors import BenchmarkError
from scanside.runtime.progress import task

CLIENT = "scanside.benchmarks.scale.client"
WARM_UP = 1
"""Rounds that do not count."""
PATIENCE_S = 5.0
"""A cell whose clients would wait longer than this for one frame each is left out."""


class Block(NamedTuple):
    """One cell in one round. per_second: frames. round_trips: ms. busy: `busy_parts`. by_messages:
    clients that were to share memory and got none."""

    per_second: float
    round_trips: list[float]
    busy: dict[str, float]
    by_messages: int


class Measured(NamedTuple):
    """blocks: by cell, in order of time; a cell without any was left out, and notes say why."""

    model: str
    plan: Plan
    placings: dict[int, Placing]
    blocks: dict[Cell, list[Block]]
    notes: list[str]

    def curves(self) -> list[Curve]:
        """Those with a rate, in the order of the plan."""
        return list(dict.fromkeys(curve_of(one) for one in self.blocks))

    def along(self, curve: Curve) -> dict[int, list[Block]]:
        """Its blocks by the number of clients."""
        return {
            cell.clients: found for cell, found in self.blocks.items() if curve_of(cell) == curve
        }


class Frames(NamedTuple):
    """Two files for the clients, and how long the engine in process took for one frame."""

    words: Path
    answers: Path
    seconds: float


def measure_scale(bundle: Path | None, plan: Plan, *, engine: str, window: int) -> Measured:
    """bundle: of the model; None for the near-identity one. window: frames that each client has on
    its way at once, 0 for as many as the daemon's credit allows.

    A cell in which any frame was not enhanced has no rate. Raises BenchmarkError for an answer
    that differs from the engine in process: then nothing counts.
    """
    there = usable_cores()
    placings = {cores: placing_of(cores, there) for cores in plan.cores}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        if bundle is None:
            bundle = folder / "near-identity.scanside"
            write_identity(bundle)
        opened = Bundle.open(bundle)
        modality = opened.manifest.modality[0]
        frames = {side: _frames(opened, side, engine, modality, folder) for side in plan.sides}
        cells, notes = patient(plan.cells(), frames)
        daemons = _daemons(bundle, cells, placings, engine, folder, stack)
        most = max((one.clients for one in cells), default=0)
        crew = [stack.enter_context(Child(module=CLIENT)) for _ in range(most)]
        with task("Starting the clients", most) as progress:
            for one in crew:
                one.hear()
                progress.advance()

        def block(cell: Cell) -> Block | str:
            served = daemons[cell.cores, cell.transport == TCP]
            placing = placings[cell.cores]
            order = Order(
                url=served.url,
                shared=cell.transport == SHARED,
                cores=placing.clients,
                words=str(frames[cell.side].words),
                answers=str(frames[cell.side].answers),
                modality=modality,
                window=window,
            )
            return run_block(crew[: cell.clients], order, served, placing, plan.seconds)

        blocks = _rounds(cells, block, plan.rounds, notes)
    return Measured(opened.manifest.name, plan, placings, blocks, notes)


def patient(cells: Iterator[Cell], frames: dict[int, Frames]) -> tuple[list[Cell], list[str]]:
    """The cells that end in good time, and a note for each size of which some do not."""
    kept: list[Cell] = []
    left: dict[int, set[int]] = {}
    for cell in cells:
        if cell.clients * frames[cell.side].seconds <= PATIENCE_S:
            kept.append(cell)
        else:
            left.setdefault(cell.side, set()).add(cell.clients)
    notes = [
        f"{side} x {side} with {', '.join(map(str, sorted(counts)))} clients is left out: a frame "
        f"takes {frames[side].seconds:.1f} s in process"
        for side, counts in left.items()
    ]
    return kept, notes


def _frames(bundle: Bundle, side: int, engine: str, modality: str, folder: Path) -> Frames:
    """Made on one thread; that other threads give the same bits is an engine's own affair, and is
    checked in every block."""
    opened = open_engine(bundle, engine, 1)
    facts = replace(FACTS, modality=modality)
    words, taken, answers = np.stack(ct_frames(side)), [], []
    for one in words:
        start = time.perf_counter()
        answers.append(opened.run(one[np.newaxis], [facts])[0])
        taken.append(time.perf_counter() - start)
    opened.close()
    np.save(folder / f"words-{side}.npy", words)
    np.save(folder / f"answers-{side}.npy", np.stack(answers))
    return Frames(folder / f"words-{side}.npy", folder / f"answers-{side}.npy", min(taken))


def _daemons(
    bundle: Path,
    cells: Sequence[Cell],
    placings: dict[int, Placing],
    engine: str,
    folder: Path,
    stack: ExitStack,
) -> dict[tuple[int, bool], Served]:
    """By cores and by whether on tcp; shm and ipc share theirs."""
    wanted = list(dict.fromkeys((one.cores, one.transport == TCP) for one in cells))
    found = {}
    with task("Starting the daemons", len(wanted)) as progress:
        for cores, tcp in wanted:
            bind = "tcp://127.0.0.1:*" if tcp else f"ipc://{folder}/{cores}.sock"
            options = ("--engine", engine, "--threads", str(cores), "--allow-unsigned")
            with kept_to(placings[cores].daemon):
                served = daemon_of(bundle, "--bind", bind, *options)
                found[cores, tcp] = stack.enter_context(served)
            progress.advance()
    return found


@contextmanager
def kept_to(cores: Sequence[int]) -> Iterator[None]:
    """This thread, and what it starts meanwhile, on these cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _rounds(
    cells: Sequence[Cell],
    block: Callable[[Cell], Block | str],
    rounds: int,
    notes: list[str],
) -> dict[Cell, list[Block]]:
    """Every cell once a round. One that has no rate once is not tried again."""
    found: dict[Cell, list[Block]] = {cell: [] for cell in cells}
    messages: dict[Cell, int] = {}
    rng = np.random.default_rng(0)
    with task("Clients, sizes, cores", (WARM_UP + rounds) * len(cells)) as progress:
        for round_ in range(WARM_UP + rounds):
            for number in rng.permutation(len(cells)):
                cell = cells[number]
                if cell in found:
                    made = block(cell)
                    if isinstance(made, str):
                        notes.append(f"{in_words(cell)} has no rate: {made}")
                        del found[cell]
                    elif round_ >= WARM_UP:
                        found[cell].append(made)
                        messages[cell] = max(messages.get(cell, 0), made.by_messages)
                progress.advance(note=in_words(cell))
    notes += [
        f"{in_words(cell)}: the daemon had no memory to share with {count} of them, whose frames "
        "went as messages"
        for cell, count in messages.items()
        if count and cell in found
    ]
    return found


def run_block(
    crew: Sequence[Child], order: Order, served: Served, placing: Placing, seconds: float
) -> Block | str:
    """One cell once, or why there is no rate."""
    words = msgspec.json.encode(order).decode()
    for one in crew:
        one.say(words)
    shown = [_heard(one) for one in crew]
    ready = [one for one, found in zip(crew, shown, strict=True) if found.transport]
    before = thread_seconds(served.pid)
    for one in ready:
        one.say(f"{seconds}")
    done = [_heard(one) for one in ready]
    after = thread_seconds(served.pid)
    return judged(shown, done, placing, before, after, shared=order.shared)


def _heard(worker: Child) -> Found:
    return msgspec.json.decode(worker.hear(), type=Found)


def judged(
    shown: Sequence[Found],
    done: Sequence[Found],
    placing: Placing,
    before: dict[int, float],
    after: dict[int, float],
    *,
    shared: bool,
) -> Block | str:
    """What a block is worth, or why it has no rate. shown: what each client found on connecting.
    Raises BenchmarkError for pixels that differ."""
    every = [*shown, *done]
    if any(one.wrong for one in every):
        raise BenchmarkError(
            "an answer differs from the engine in process: no rate counts",
            next_step="see which stage differs with: scanside bench drift FILE --run RUN",
        )
    for one in every:
        if one.error:
            return one.error
    works = [one.work for one in done if one.work is not None]
    frames, others = sum(one.frames for one in works), sum(one.others for one in works)
    if others or not frames:
        return f"{others} of {others + frames} frames were not enhanced"
    seconds = max(one.seconds for one in works)
    return Block(
        frames / seconds,
        [trip for one in works for trip in one.round_trips],
        busy_parts(before, after, works, placing, seconds),
        sum(shared and one.transport != SHARED for one in shown),
    )


def in_words(cell: Cell) -> str:
    clients = f"{cell.clients} client{'s' * (cell.clients > 1)}"
    cores = f"{cell.cores} core{'s' * (cell.cores > 1)}"
    return f"{cell.transport}, {cell.side} x {cell.side}, daemon on {cores}, {clients}"
