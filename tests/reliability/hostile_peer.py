"""One hostile connection: says a conversation, and holds what comes back against the oracle."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq
from reliability.oracle import ENHANCED, Due, Oracle, Rules

from attacks.conversations import Conversation
from attacks.messages import Message
from scanside.runtime.bundle import Bundle
from scanside.runtime.frame import FrameFacts
from scanside.runtime.intensity import apply_residual

PING = msgspec.msgpack.encode({"type": "PING"})
PATIENCE_S = 20.0
"""Longer than this for the answers to a handful of messages is a hang."""
CACHED = 4096
_decode = msgspec.msgpack.Decoder().decode


class WrongAnswerError(Exception):
    """An answer that the page does not allow, or none."""


class Models:
    """What the models that a daemon may serve make of any frame, by the NumPy reference. They are
    alike but for the residual that each adds."""

    def __init__(self, residuals: Mapping[Path, float]) -> None:
        bundles = {file: Bundle.open(file) for file in residuals}
        self._residuals = {bundles[file].identity: one for file, one in residuals.items()}
        manifest = next(iter(bundles.values())).manifest
        self.sizes = manifest.sizes.minimum, manifest.sizes.maximum
        self.modalities = manifest.modality
        self._intensity = manifest.intensity
        self._known: dict[bytes, bytes] = {}

    @property
    def identities(self) -> list[str]:
        return list(self._residuals)

    def __contains__(self, identity: str) -> bool:
        return identity in self._residuals

    def enhanced(self, identity: str, header: dict[str, Any], pixels: bytes) -> bytes:
        facts = header["facts"]
        shape = header["rows"], header["columns"]
        key = msgspec.msgpack.encode((identity, shape, header["dtype"], facts)) + pixels
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= CACHED:
                self._known.clear()
            words = np.frombuffer(pixels, np.dtype(header["dtype"]).newbyteorder("<"))
            padding = facts["padding"] and tuple(facts["padding"])
            result = apply_residual(
                words.astype(header["dtype"]).reshape(shape),
                np.full(shape, self._residuals[identity], np.float32),
                FrameFacts(**{**facts, "padding": padding}),
                self._intensity,
                1,
            )
            found = self._known[key] = result.astype(result.dtype.newbyteorder("<")).tobytes()
        return found


class HostilePeer:
    """`go_on` sends the next batch, `collect` waits for its answers. `over` when all was said.

    tally: what came back, and of the messages that nothing comes back for, why: "none is due"
    (PONG, BYE), "its session ended by BYE", "the peer went away".
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        url: str,
        said: Conversation,
        rules: Rules,
        models: Models,
        tally: Counter[str],
    ) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.SNDHWM, 0)
        self.socket.set(zmq.RCVHWM, 0)
        self.socket.connect(url)
        self._batches = deque(said.batches)
        self._end = said.end
        self._oracle = Oracle(rules)
        self._models = models
        self._tally = tally
        self._in_turn: deque[tuple[str, Message]] = deque()
        self._dues: dict[tuple[str, int], list[Due]] = {}
        self._owed = 0
        self.mutated = said.mutated
        self.said = 0
        self.barriers = 0

    @property
    def over(self) -> bool:
        return not self._batches

    def go_on(self) -> None:
        batch = self._batches.popleft()
        for parts in batch:
            self._say(parts)
        self.said += len(batch)
        if self.over and self._end == "abrupt":
            return
        # All that is answered at once has been answered when the answer to this has come.
        self._say([PING])
        self.barriers += 1

    def _say(self, parts: Message) -> None:
        self.socket.send_multipart(parts)
        due = self._oracle.send(parts)
        if due is None:
            self._tally["none is due (BYE, PONG)"] += 1
        elif isinstance(due, str):
            self._in_turn.append((due, parts))
        else:
            key = due.header["stream"], due.header["seq"]
            self._dues.setdefault(key, []).append(due)

    def collect(self) -> None:
        """Raises WrongAnswerError for an answer that is not allowed, or does not come."""
        if self.over and self._end == "abrupt":
            return
        until = time.monotonic() + PATIENCE_S
        while self._in_turn or any(one.owed for some in self._dues.values() for one in some):
            left = until - time.monotonic()
            if left <= 0 or not self.socket.poll(math.ceil(left * 1000)):
                raise WrongAnswerError(f"no answer within {PATIENCE_S:g} s: {self._waiting()}")
            while True:
                try:
                    parts = self.socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                self._hear(_decode(parts[0]), parts[1] if len(parts) > 1 else None)

    def _waiting(self) -> str:
        dues = [one for some in self._dues.values() for one in some if one.owed]
        return f"in turn {list(self._in_turn)[:3]}, results {[one.header for one in dues[:3]]}"

    def _hear(self, answer: dict[str, Any], pixels: bytes | None) -> None:
        word = answer["type"]
        if word == "RESULT":
            self._result(answer, pixels)
            return
        if word == "PING":  # the daemon looks for the dead
            self._tally["PING, unasked"] += 1
            return
        if word == "ERROR":
            word = f"ERROR: {answer['code']}"
        due, parts = self._in_turn.popleft() if self._in_turn else ("nothing", [])
        if word != due:
            raise WrongAnswerError(f"{answer} for {[one[:200].hex() for one in parts]}, not {due}")
        self._tally[word] += 1

    def _result(self, answer: dict[str, Any], pixels: bytes | None) -> None:
        word = answer["outcome"] + (f": {answer['reason']}" if answer["reason"] else "")
        dues = self._dues.get((answer["stream"], answer["seq"]), [])
        allowed = [one for one in dues if word in one.allowed]
        if not allowed:
            said = [(one.allowed, one.header) for one in dues]
            raise WrongAnswerError(f"{answer} where only these are allowed: {said}")
        # The number may stand for a frame of a session that has ended, too.
        faults = [self._fault(answer, one, word, pixels) for one in allowed]
        if all(faults):
            raise WrongAnswerError(f"{faults[0]}: {answer} for {allowed[0].header}")
        due = allowed[faults.index("")]
        dues.remove(due)
        if not dues:
            del self._dues[answer["stream"], answer["seq"]]
        self._oracle.answered(due)
        self._tally[word] += 1

    def _fault(self, answer: dict[str, Any], due: Due, word: str, pixels: bytes | None) -> str:
        """What is wrong with an answer to a frame; empty when nothing is."""
        header = due.header
        time_back, time_sent = answer["capture_time"], header["capture_time"]
        if not (time_back == time_sent or (time_sent != time_sent and time_back != time_back)):
            return "another capture_time"
        same = all(answer[name] == header[name] for name in ("rows", "columns", "dtype"))
        if not same or answer["scale"] != 1:
            return "another size"
        if answer["model"] not in self._models or answer["signed"]:
            return "another model"
        expected = None
        if word == ENHANCED:
            expected = self._models.enhanced(answer["model"], header, due.pixels or b"")
        elif word.startswith("bypassed"):
            expected = due.pixels
        return "" if pixels == expected else "wrong pixels"

    def close(self) -> None:
        self.socket.close()
        left = [one for some in self._dues.values() for one in some]
        ended = sum(not one.owed for one in left)
        self._tally["its session ended by BYE first"] += ended
        self._tally["the peer went away first"] += len(left) - ended + len(self._in_turn)
