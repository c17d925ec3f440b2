"""Hostile conversations: what one connection says from its beginning to its end.

`conversation(seed, number)` is the same every time, whatever is answered: a failure can be played
again by its two numbers. Half of it is proper, for the rest to find a session to spoil.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from attacks.messages import Message, mutated
from attacks.msgpack_forms import Pairs, Writer, pairs

VECTORS = Path(__file__).parents[2] / "docs" / "wire-v1-vectors.json"
ENDS = ("drained", "drained", "drained", "bye", "abrupt")
"""drained: every answer is waited for. bye: it says BYE, owed or not. abrupt: it just goes."""
SHAPES = ((16, 24), (16, 24), (17, 16), (40, 33), (1, 1), (64, 64))


class Conversation(NamedTuple):
    """batches: of messages that are sent without waiting; their answers come before the next.
    mutated: how many of them are no proper message, wherever it stands."""

    batches: list[list[Message]]
    mutated: int
    end: str


def _vector_seeds() -> list[tuple[Pairs, bytes | None]]:
    """The readable messages of docs/wire-v1-vectors.json, as trees."""
    found = []
    for vector in json.loads(VECTORS.read_text())["answers"]:
        parts = [
            b"".join(
                bytes.fromhex(piece)
                if isinstance(piece, str)
                else bytes.fromhex(piece[0]) * piece[1]
                for piece in part
            )
            for part in vector["parts"]
        ]
        if sum(map(len, parts)) > 10_000:
            continue
        try:
            header = msgspec.msgpack.decode(parts[0])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        if isinstance(header, dict):
            found.append((pairs(header), parts[1] if len(parts) > 1 else None))
    return found


SEEDS = _vector_seeds()
_STILL = [np.random.default_rng(7).integers(0, 256, 64 * 64 * 2).astype(np.uint8).tobytes()]
_HELLO = pairs({"type": "HELLO", "versions": [1]})
_SHARING_HELLO = pairs({"type": "HELLO", "versions": [1], "transports": ["inline", "shm"]})
_BARE = {word: pairs({"type": word}) for word in ("STATUS", "PING", "PONG", "BYE")}


class _Speaker:
    """Numbers its frames as a proper client does, and says them in ever other ways."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.seq = rng.choice((0, 0, 0, 1, 2**32, 2**63, 2**64 - 300))
        self.streams = ["s", "head"]
        self.mutated = 0

    def frame(self, **changes: Any) -> tuple[Pairs, bytes]:
        rng = self.rng
        rows, columns = rng.choice(SHAPES)
        dtype = rng.choice(("uint16", "uint16", "int16", "uint8", "int8"))
        size = 1 if dtype.endswith("t8") else 2
        bits = rng.choice((8 * size, 8 * size, rng.randint(1, 8 * size)))
        facts = {"modality": "CT", "bits_stored": bits, "signed": dtype[0] == "i"}
        if rng.random() < 0.5:
            facts |= {
                "photometric": rng.choice(("MONOCHROME1", "MONOCHROME2")),
                "slope": rng.choice((1.0, 0.5, -1.0, 2)),
                "intercept": rng.choice((0.0, -1024.0, -1024)),
                "padding": rng.choice((None, [0, 0], [-2000, 17])),
            }
        header: dict[str, Any] = {
            "type": "FRAME",
            "stream": rng.choice(self.streams),
            "seq": self.seq,
            "rows": rows,
            "columns": columns,
            "dtype": dtype,
            "facts": facts,
        }
        if rng.random() < 0.4:
            header |= {
                "mode": rng.choice(("lossless", "latest")),
                "deadline_ms": rng.choice((None, 0.01, 1.0, 5, 60_000.0)),
                "capture_time": rng.choice((None, 12.5, 7)),
            }
        self.seq = min(self.seq + 1, 2**64 - 1)
        return pairs(header | changes), _STILL[0][: rows * columns * size]

    def one(self) -> list[Message]:
        """A message, or a few that belong together."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.78:
            tree, pixels = self._seed()
            self.mutated += 1
            return [mutated(tree, pixels, rng)]
        if kind < 0.85:
            return [self._plain(*self.frame())]
        if kind < 0.88:
            return [self._plain(_BARE[rng.choice(("STATUS", "PING", "PONG", "PING"))])]
        if kind < 0.90:
            return [self._plain(rng.choice((_HELLO, _SHARING_HELLO)))] * rng.randint(1, 3)
        if kind < 0.915:  # over credit
            return [self._plain(*self.frame(mode="lossless")) for _ in range(12)]
        if kind < 0.93:  # a flood of one latest stream
            return [self._plain(*self.frame(mode="latest", stream="s")) for _ in range(12)]
        if kind < 0.94:
            return [self._plain(_BARE["PING"])] * 12
        if kind < 0.955:  # a number that was used
            frame = self._plain(*self.frame())
            return [frame] * rng.randint(2, 4)
        if kind < 0.965:  # the end, and who goes on
            after = [self._plain(*self.frame()), self._plain(_HELLO), self._plain(*self.frame())]
            return [self._plain(_BARE["BYE"]), *after[rng.randrange(3) :]]
        if kind < 0.967:  # more streams than a session may have
            many = [self.frame(stream=f"stream {number}") for number in range(66)]
            return [self._plain(*one[: 1 + (at > 60)]) for at, one in enumerate(many)]
        if kind < 0.975:
            return [
                self._plain(*self.frame(stream=f"stream {rng.randrange(200)}")) for _ in "12345"
            ]
        if kind < 0.98:
            return [self._plain(pairs({"type": "MEMORY", "frame_bytes": 4096, "address": "none"}))]
        self.mutated += 1
        if kind < 0.993:
            return [[rng.randbytes(rng.choice((0, 1, 2, 40, 4096, 4097)))]]
        return [[rng.randbytes(3) for _ in range(rng.randint(1, 5))]]

    def _seed(self) -> tuple[Pairs, bytes | None]:
        rng = self.rng
        kind = rng.random()
        if kind < 0.55:
            return self.frame()
        if kind < 0.70:
            return rng.choice(SEEDS)
        if kind < 0.85:
            return rng.choice((_HELLO, _SHARING_HELLO)), None
        if kind < 0.90:
            return pairs({"type": "MEMORY", "frame_bytes": 4096, "address": "none"}), None
        return _BARE[rng.choice(tuple(_BARE))], None

    def _plain(self, tree: Pairs, pixels: bytes | None = None) -> Message:
        header = Writer(self.rng, self.rng.choice((0.0, 0.0, 0.0, 0.5))).write(tree)
        return [header] if pixels is None else [header, pixels]


def conversation(seed: int, number: int, *, window: int, messages: int = 100) -> Conversation:
    """About so many messages, in batches of at most `window`."""
    rng = random.Random(f"{seed}/{number}")
    speaker = _Speaker(rng)
    said: list[Message] = []
    if rng.random() < 0.85:
        said += [speaker._plain(rng.choice((_HELLO, _HELLO, _SHARING_HELLO)))]
    while len(said) < messages:
        said += speaker.one()
    batches = []
    while said:
        size = rng.randint(1, window)
        batches.append(said[:size])
        del said[:size]
    return Conversation(batches, speaker.mutated, rng.choice(ENDS))
