"""What a lying daemon says: proper answers, mutated, of the wrong frame, twice, or not at all."""

from __future__ import annotations

import random
from typing import Any

from attacks.messages import Message, hostile, mutated
from attacks.msgpack_forms import Writer, pairs

LIE = 0.3
"""How often an answer is not the proper one."""


class Liar:
    """The answers to a client's messages: see `daemons.pretender`, which says them raw."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.lies = 0
        self._before: Message = []

    def answers(self, proper: list[tuple[dict[str, Any], bytes | None]]) -> list[Message]:
        """proper: header and pixels of each answer that would be right."""
        said = []
        for header, pixels in proper:
            tree = pairs(header)
            right = [Writer(self._rng).write(tree)] + ([] if pixels is None else [pixels])
            if self._rng.random() >= LIE:
                said.append(right)
            else:
                self.lies += 1
                said += self._lie(header, pixels, right)
            self._before = right
        return said

    def _lie(self, header: dict[str, Any], pixels: bytes | None, right: Message) -> list[Message]:
        rng = self._rng
        kind = rng.randrange(8)
        if kind == 0:
            return [right, right]
        if kind == 1 and self._before:
            return [self._before, right]
        if kind == 2 and pixels is not None:
            other = rng.choice((b"", pixels[:-1], pixels + b"\0", bytes(4 * len(pixels))))
            return [[right[0], other]]
        if kind == 3:
            return [[Writer(rng).write(pairs({"type": rng.choice(_WORDS)}))], right]
        if kind == 4 and header["type"] == "RESULT":
            changed = header | {rng.choice(tuple(header)): rng.choice(_RESULT_VALUES)}
            return [[Writer(rng).write(pairs(changed)), *right[1:]]]
        if kind == 5:
            return [[Writer(rng).write(hostile(rng)), *right[1:]]]
        return [mutated(pairs(header), pixels, rng)]


_WORDS = ("PING", "PONG", "BYE", "WELCOME", "RESULT", "ERROR", "FRAME", "MEMORY", "STATUS")
_RESULT_VALUES = (
    0, 1, 2, 3, -1, 1 << 20, "enhanced", "bypassed", "refused", "unanswered", "late", "duplicate",
    None, "uint8", "int16", "float64", True,
)  # fmt: skip
