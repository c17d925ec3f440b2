"""Which cells a grid has."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import msgspec

NETWORK, FLOOR, SHARED, IPC, TCP = "network", "in process", "shm", "ipc", "tcp"
TRANSPORTS = (NETWORK, FLOOR, SHARED, IPC, TCP)
"""The bare network call; the engine on stored pixels in this process; through a daemon."""
SERVED = (SHARED, IPC, TCP)


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """batches: frames in one network call. streams: clients at once, each with a stream and a
    process of its own, one frame after the other."""

    engines: tuple[str, ...]
    sides: tuple[int, ...] = (512,)
    threads: tuple[int, ...] = (2,)
    transports: tuple[str, ...] = TRANSPORTS
    batches: tuple[int, ...] = (1, 4)
    streams: tuple[int, ...] = (1, 2)


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One cell's place in the grid."""

    engine: str
    side: int
    threads: int
    transport: str
    batch: int = 1
    streams: int = 1

    @property
    def of(self) -> dict[str, str]:
        """For a record; what is one is not said."""
        said = {
            "engine": self.engine,
            "transport": self.transport,
            "side": str(self.side),
            "threads": str(self.threads),
        }
        for name in ("batch", "streams"):
            if (count := getattr(self, name)) > 1:
                said[name] = str(count)
        return said

    @property
    def floor(self) -> Point:
        """What its time is compared with: the same frame in this process."""
        return Point(
            engine=self.engine, side=self.side, threads=self.threads, transport=FLOOR
        )  # fmt: skip


def points(grid: Grid) -> Iterator[Point]:
    """All that make sense: network calls take batches, a daemon takes streams. Every engine, side
    and number of threads has the frame in this process, asked for or not: it is the floor."""
    for engine, side, threads in product(grid.engines, grid.sides, grid.threads):
        floor = Point(engine=engine, side=side, threads=threads, transport=FLOOR)
        yield floor
        if NETWORK in grid.transports:
            for batch in grid.batches:
                yield msgspec.structs.replace(floor, transport=NETWORK, batch=batch)
        for transport in SERVED:
            if transport in grid.transports:
                for streams in grid.streams:
                    yield msgspec.structs.replace(floor, transport=transport, streams=streams)
