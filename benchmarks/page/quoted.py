"""Which figures README quotes, by their names in the records: the one list to change."""

from __future__ import annotations

from typing import Literal, NamedTuple

Pick = Literal["lowest", "highest"]
NEAR = {"model": "near-identity", "side": "512"}


class Quote(NamedTuple):
    """One figure in a line. bench, metric, of: its name; a star in `of` stands for anything.
    pick: of several that match."""

    bench: str
    metric: str
    of: dict[str, str]
    pick: Pick = "lowest"


class Line(NamedTuple):
    """what: is measured, in words. parts: figures and how each is called in the line."""

    what: str
    parts: dict[str, Quote]


def _peer(metric: str, ours: str, theirs: str = "", pick: Pick = "lowest") -> Quote:
    against = {"against": f"{theirs}*"} if theirs else {}
    return Quote("peers", metric, {"contender": f"Scanside, {ours}", **against, **NEAR}, pick)


def _server(metric: str, peer: str) -> Quote:
    return Quote("peers", metric, {"server": peer})


SERVERS = {"Scanside": "Scanside", "FastAPI": "FastAPI*", "PyTriton": "PyTriton"}
WAYS = ("shm", "ipc", "tcp")
# Of PyTriton's ways the one that is best for it counts: ours over it is then the highest.
LINES = (
    Line(
        "what a round trip of a 512 x 512 frame adds to the engine",
        {way: _peer("overhead", way) for way in WAYS},
    ),
    Line(
        "that overhead over FastAPI's with raw bytes on tcp",
        {way: _peer("overhead ratio", way, "FastAPI, raw bytes, tcp") for way in WAYS},
    ),
    Line(
        "that overhead over PyTriton's, its best way of HTTP, gRPC and shared memory",
        {way: _peer("overhead ratio", way, "PyTriton", "highest") for way in WAYS},
    ),
    Line(
        "frames a second of 4 clients, 512 x 512",
        {way: _peer("throughput", way) for way in WAYS},
    ),
    Line(
        "frames a second over the best of the other servers",
        {way: _peer("throughput ratio", way, "", "lowest") for way in WAYS},
    ),
    Line(
        "most frames a second, any number of clients, 512 x 512",
        {way: Quote("scale", "rate", {"transport": way, **NEAR}, "highest") for way in WAYS},
    ),
    Line(
        "INT8 pruned over float eager PyTorch, network alone, 512 x 512",
        {"fastest engine": Quote("peers", "speed", {"engine": "*, INT8, pruned"}, "highest")},
    ),
    Line(
        "PSNR after pruning and INT8, worst set, level and engine",
        {
            "against unpruned float": Quote("drift", "total", {"stage": "model.cpu.onnx*"}),
            "against the float control": Quote("drift", "drift", {"stage": "model.cpu.onnx*"}),
        },
    ),
    Line(
        "tail after idle gaps at 15 frames a second: p99.9/p50 over the same in process",
        {"ipc": Quote("gaps", "excess tail", {"transport": "ipc"}, "highest")},
    ),
    Line(
        "from start to the first answer",
        {name: _server("cold start", peer) for name, peer in SERVERS.items()},
    ),
    Line("idle memory (RSS)", {name: _server("RSS", peer) for name, peer in SERVERS.items()}),
)
