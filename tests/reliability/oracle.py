"""What docs/wire-v1.md lets a daemon answer to any message, right or wrong: written from the page.

`Oracle` follows one connection to a daemon that is READY with one model. It shares no code with
the daemon: it reads bytes itself, and keeps what a session remembers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from reliability.strict_msgpack import BadText, Map, UnreadableError, read

HEADER_LIMIT = 4096
PIXELS_LIMIT = 64 << 20
LARGEST = (1 << 64) - 1
MAX_STREAMS = 64
MAX_SESSIONS = 64
DTYPES = {"uint8": 1, "int8": 1, "uint16": 2, "int16": 2}
SUPERSEDED, LATE, OVER_CREDIT = "bypassed: superseded", "bypassed: late", "refused: over credit"
ENHANCED, GUARD = "enhanced", "bypassed: guard"
EXTREME = 1e30
"""Slopes and intercepts beyond it may make an output that is not finite."""


@dataclass(frozen=True)
class Rules:
    """What the daemon was told and what its model takes; sides in pixels."""

    credit: int
    modalities: tuple[str, ...] = ("CT",)
    smallest: int = 1
    largest: int = 8192


@dataclass(eq=False)
class Due:
    """The RESULT that one FRAME must have. allowed: outcomes with their reasons. owed: False once
    its session has ended: the answer may have been on its way, or never comes. number: of the
    FRAME on its connection. header: as it was read; pixels: as they were sent."""

    number: int
    allowed: set[str]
    header: dict[str, Any]
    pixels: bytes | None
    owed: bool = True

    @property
    def at_once(self) -> bool:
        """Whether it can only be refused: then it comes before the answer to whatever follows."""
        return all(one.startswith("refused") and one != OVER_CREDIT for one in self.allowed)


@dataclass(eq=False)
class _Session:
    seqs: dict[str, int]
    unanswered: set[Due]
    latest: dict[str, list[Due]]
    shares: bool = False


class Oracle:
    """`send` says what must come back for a message: the word of one answer that comes in turn
    ("WELCOME", "ERROR: unreadable" ...), a `Due`, or None for what is not answered."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._session: _Session | None = None
        self._sent = 0

    def send(self, parts: list[bytes]) -> str | Due | None:
        self._sent += 1
        message = understand(parts[0])
        if message is None:
            return "ERROR: unreadable"
        word = message["type"]
        if word == "HELLO":
            if self._session is None and 1 not in message["versions"]:
                return "ERROR: no common version"
            self._session = self._session or _Session(
                {}, set(), {}, "shm" in message.get("transports", ())
            )
            return "WELCOME"
        if word == "STATUS":
            return "STATUS"
        if self._session is None:
            return "ERROR: no session"
        if word == "PING":
            return "PONG"
        if word == "MEMORY":
            return "MEMORY"
        if word == "PONG":
            return None
        if word == "BYE":
            for due in self._session.unanswered:
                due.owed = False
            self._session = None
            return None
        return self._frame(self._session, message, parts[1] if len(parts) > 1 else None)

    def answered(self, due: Due) -> None:
        if self._session is not None:
            self._session.unanswered.discard(due)

    def _frame(self, session: _Session, header: dict[str, Any], pixels: bytes | None) -> Due:
        due = Due(self._sent, set(), header, pixels)
        stream, seq = header["stream"], header["seq"]
        known = stream in session.seqs
        if not known and len(session.seqs) >= MAX_STREAMS:
            due.allowed = {"refused: malformed"}
        elif known and seq <= session.seqs[stream]:
            due.allowed = {"refused: duplicate"}
        else:
            session.seqs[stream] = seq
            due.allowed = self._refusals(header, pixels) or self._admitted(session, due)
        session.unanswered.add(due)
        return due

    def _refusals(self, header: dict[str, Any], pixels: bytes | None) -> set[str]:
        size, facts = DTYPES.get(header["dtype"]), header["facts"]
        rows, columns, slot = header["rows"], header["columns"], header["slot"]
        # Nobody shares memory here: a slot names none.
        fits = size and rows > 0 and columns > 0 and slot is None and pixels is not None
        if not fits or len(pixels or b"") != rows * columns * (size or 0):
            return {"refused: malformed"}
        deadline = header["deadline_ms"]
        if deadline is not None and not 0 < deadline <= 60_000:
            return {"refused: malformed"}
        if any(abs(one) >= 1 << 31 for one in facts["padding"] or ()):
            return {"refused: malformed"}
        found = set()
        usable = (
            1 <= facts["bits_stored"] <= 8 * (size or 0)
            and facts["photometric"] in ("MONOCHROME1", "MONOCHROME2")
            and math.isfinite(facts["slope"])
            and facts["slope"] != 0
            and math.isfinite(facts["intercept"])
        )
        if not usable or min(rows, columns) < self._rules.smallest:
            found.add("refused: malformed")
        if facts["modality"] not in self._rules.modalities:
            found.add("refused: wrong modality")
        if max(rows, columns) > self._rules.largest:
            found.add("refused: too large")
        return found

    def _admitted(self, session: _Session, due: Due) -> set[str]:
        header, facts = due.header, due.header["facts"]
        allowed = {ENHANCED}
        if max(abs(facts["slope"]), abs(facts["intercept"])) > EXTREME:
            allowed.add(GUARD)
        if header["deadline_ms"] is not None:
            allowed.add(LATE)
        # At most so many can be unanswered in the daemon: it may have answered more than arrived.
        if len([one for one in session.unanswered if not one.at_once]) >= self._rules.credit:
            allowed.add(OVER_CREDIT)
        if header["mode"] == "latest":
            before = session.latest.setdefault(header["stream"], [])
            for older in before:
                older.allowed.add(SUPERSEDED)
            before[:] = [due]
        return allowed


class _Missing:
    pass


_MISSING = _Missing()


def understand(header: bytes) -> dict[str, Any] | None:
    """A client's message with its defaults filled in; None for a header that is none."""
    if len(header) > HEADER_LIMIT:
        return None
    try:
        tree = read(header)
    except (UnreadableError, RecursionError):
        return None
    if not isinstance(tree, Map):
        return None
    words = [value for key, value in tree.pairs if key == "type"]
    # A sender must say it once; twice the same harms nobody.
    if not words or any(one != words[0] for one in words):
        return None
    word = words[0]
    fields = _MESSAGES.get(word) if isinstance(word, str) else None
    if fields is None:
        return None
    message = _fields(tree, fields)
    return None if message is None else {**message, "type": word}


def _fields(tree: Any, fields: dict[str, tuple[Any, Any]]) -> dict[str, Any] | None:
    """Of a key that stands twice the last counts; every one must be of the right type. A key of
    text that is no UTF-8 is one that nobody knows."""
    if not isinstance(tree, Map):
        return None
    if not all(isinstance(key, str | BadText) for key, _ in tree.pairs):
        return None
    found = {name: default for name, (_, default) in fields.items()}
    for key, value in tree.pairs:
        if key in fields:
            read_as = fields[key][0](value)
            if read_as is _MISSING:
                return None
            found[key] = read_as
    return None if _MISSING in found.values() else found


def _integer(low: int = -(1 << 63), high: int = LARGEST) -> Any:
    def check(value: Any) -> Any:
        return value if type(value) is int and low <= value <= high else _MISSING

    return check


def _text(longest: int = HEADER_LIMIT) -> Any:
    def check(value: Any) -> Any:
        return value if type(value) is str and len(value) <= longest else _MISSING

    return check


def _number(value: Any) -> Any:
    return float(value) if type(value) in (int, float) else _MISSING


def _boolean(value: Any) -> Any:
    return value if type(value) is bool else _MISSING


def _word(value: Any) -> Any:
    return value if value in ("lossless", "latest") else _MISSING


def _or_nil(inner: Any) -> Any:
    return lambda value: None if value is None else inner(value)


def _array(inner: Any, length: int | None = None) -> Any:
    def check(value: Any) -> Any:
        if type(value) is not list or (length is not None and len(value) != length):
            return _MISSING
        read_as = [inner(one) for one in value]
        return _MISSING if _MISSING in read_as else read_as

    return check


def _facts(value: Any) -> Any:
    found = _fields(value, _FACTS)
    return _MISSING if found is None else found


_FACTS = {
    "modality": (_text(), _MISSING),
    "bits_stored": (_integer(), _MISSING),
    "signed": (_boolean, _MISSING),
    "photometric": (_text(), "MONOCHROME2"),
    "slope": (_number, 1.0),
    "intercept": (_number, 0.0),
    "padding": (_or_nil(_array(_integer(), 2)), None),
}
_MESSAGES: dict[str, dict[str, tuple[Any, Any]]] = {
    "HELLO": {
        "versions": (_array(_integer()), _MISSING),
        "transports": (_array(_text()), ["inline"]),
    },
    "FRAME": {
        "stream": (_text(64), _MISSING),
        "seq": (_integer(0), _MISSING),
        "rows": (_integer(), _MISSING),
        "columns": (_integer(), _MISSING),
        "dtype": (_text(16), _MISSING),
        "facts": (_facts, _MISSING),
        "mode": (_word, "lossless"),
        "deadline_ms": (_or_nil(_number), None),
        "capture_time": (_or_nil(_number), None),
        "slot": (_or_nil(_integer()), None),
    },
    "MEMORY": {
        "frame_bytes": (_integer(1, PIXELS_LIMIT), _MISSING),
        "address": (_text(64), _MISSING),
    },
    "STATUS": {},
    "PING": {},
    "PONG": {},
    "BYE": {},
}
