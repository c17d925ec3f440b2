"""What is measured: every number of clients, at every size, on every transport, on some cores."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from scanside.benchmarks.serving.roundtrip import IPC, SHARED, TCP
from scanside.runtime.errors import BenchmarkError

TRANSPORTS = (SHARED, IPC, TCP)
FEW = 4
"""Up to here every number of cores is measured; above it powers of two and all."""


class Cell(NamedTuple):
    """cores: that the daemon is kept to; its engine has as many threads."""

    transport: str
    side: int
    cores: int
    clients: int


class Curve(NamedTuple):
    """A cell without its number of clients."""

    transport: str
    side: int
    cores: int


class Placing(NamedTuple):
    """Which cores the daemon has, and which its clients."""

    daemon: list[int]
    clients: list[int]

    @property
    def shared(self) -> bool:
        return bool(set(self.daemon) & set(self.clients))


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The axes. main: cores at which all transports are measured; at the others it is the first
    transport alone. rounds, seconds: of each cell."""

    transports: tuple[str, ...]
    sides: tuple[int, ...]
    cores: tuple[int, ...]
    main: int
    clients: tuple[int, ...]
    rounds: int
    seconds: float

    def cells(self) -> Iterator[Cell]:
        for cores in self.cores:
            for transport in self.transports if cores == self.main else self.transports[:1]:
                for side in self.sides:
                    for clients in self.clients:
                        yield Cell(transport, side, cores, clients)


def curve_of(cell: Cell) -> Curve:
    return Curve(cell.transport, cell.side, cell.cores)


def plan_of(
    *,
    short: bool,
    transports: Sequence[str] = (),
    sides: Sequence[int] = (),
    cores: Sequence[int] = (),
    clients: Sequence[int] = (),
    rounds: int | None = None,
    seconds: float | None = None,
) -> Plan:
    """What was asked for, the rest by whether the run is short. Raises BenchmarkError for more
    cores than there are."""
    there = len(usable_cores())
    if cores and max(cores) > there:
        raise BenchmarkError(
            f"{max(cores)} cores were asked for, this process may run on {there}",
            next_step=f"name numbers up to {there} with --cores",
        )
    half = max(1, there // 2)
    ladder = sorted(set(cores)) or (sorted({half, there}) if short else core_counts(there))
    return Plan(
        transports=tuple(dict.fromkeys(transports)) or TRANSPORTS,
        sides=tuple(sorted(set(sides))) or ((512,) if short else (256, 512, 1024, 2048)),
        cores=tuple(ladder),
        main=half if half in ladder else ladder[0],
        clients=tuple(sorted(set(clients))) or ((1, 2, 4, 8) if short else (1, 2, 4, 8, 16)),
        rounds=rounds or (5 if short else 12),
        seconds=seconds or (0.3 if short else 0.4),
    )


def core_counts(there: int) -> list[int]:
    if there <= FEW:
        return list(range(1, there + 1))
    powers = (2**power for power in range(there.bit_length()))
    return sorted({one for one in powers if one <= there} | {there})


def usable_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def placing_of(cores: int, there: Sequence[int]) -> Placing:
    """The daemon on the first of those there are, the clients on the others; on the daemon's own
    where none is left."""
    daemon, others = list(there[:cores]), list(there[cores:])
    return Placing(daemon, others or daemon)
