"""The organiser's key and the readers' scores: what the JSON files hold, and reading them."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from scanside.runtime.errors import StudyError
from scanside.runtime.files import replace_file

MAX_BYTES = 2**24
KeyFormat = Literal["scanside-study-key-1"]
ScoresFormat = Literal["scanside-study-scores-1"]

Identifier = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
Code = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9-]{1,12}$")]
Preference = Annotated[int, msgspec.Meta(ge=-2, le=2)]
"""-2 left much better, -1 left better, 0 no difference, 1 right better, 2 right much better."""

Side = Literal["left", "right"]


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """name: relative to both folders. patient: a number that the cases of one patient share."""

    name: str
    patient: int


class ShownPair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """pair: the opaque identifier in the page. case: index into the key's cases."""

    pair: Identifier
    case: Annotated[int, msgspec.Meta(ge=0)]
    b_side: Side
    repeat: bool


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the page must not tell. a, b: what the two folders hold, in the organiser's words.
    seed: of `plan`, secret, for whoever checks the randomisation later."""

    format: KeyFormat = "scanside-study-key-1"
    study: Identifier
    a: str
    b: str
    question: str
    seed: str
    cases: list[Case]
    pairs: list[ShownPair]


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pair: Identifier
    preference: Preference


class Scores(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a reader hands in. checksum: `checksum` of the rest; it finds a slip of an editor, not
    a forger, who can compute it as well."""

    format: ScoresFormat = "scanside-study-scores-1"
    study: Identifier
    reader: Code
    answers: list[Answer]
    checksum: str


def checksum(study: str, reader: str, answers: list[Answer]) -> str:
    """CRC-32 as 8 hex digits over "study,reader,pair:preference,..." in the answers' order."""
    parts = [study, reader, *(f"{one.pair}:{one.preference}" for one in answers)]
    return f"{zlib.crc32(','.join(parts).encode()):08x}"


def write_key(path: Path, key: Key) -> None:
    """Write the key so that only its owner can read it (mode 0600)."""
    with replace_file(path) as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(msgspec.json.format(msgspec.json.encode(key)) + b"\n")


def read_key(path: Path) -> Key:
    """Raises StudyError where the file is no key, or does not hold together."""
    key = _read(path, Key, "no key of a reader study", "name the .key.json that `study new` wrote")
    cases = range(len(key.cases))
    firsts = sorted(one.case for one in key.pairs if not one.repeat)
    whole = len({one.pair for one in key.pairs}) == len(key.pairs) and firsts == list(cases)
    if not whole or any(one.case not in cases for one in key.pairs):
        raise StudyError(
            f"{path.name}: the key does not hold together", next_step="use the original file"
        )
    return key


def read_scores(path: Path, key: Key) -> Scores:
    """Raises StudyError where the file holds no scores, was changed, or is of another study."""
    scores = _read(
        path, Scores, "no scores of a reader study", "name the JSON that the page's button saved"
    )
    if scores.study != key.study:
        raise StudyError(
            f"{path.name}: these scores are of another study",
            next_step="name the key that was made together with the page",
        )
    told = [one.pair for one in scores.answers]
    right = checksum(scores.study, scores.reader, scores.answers) == scores.checksum
    if not right or len(set(told)) < len(told) or not {one.pair for one in key.pairs} >= set(told):
        raise StudyError(
            f"{path.name}: the scores were changed after the page saved them",
            next_step="ask the reader to save them once more",
        )
    return scores


Record = TypeVar("Record", Key, Scores)


def _read(path: Path, kind: type[Record], wrong: str, next_step: str) -> Record:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise StudyError(
            f"{path.name}: cannot be read: {error.strerror or 'input/output error'}",
            next_step="check the path and its permissions",
        ) from None
    try:
        if len(content) > MAX_BYTES:
            raise msgspec.DecodeError
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise StudyError(f"{path.name}: this is {wrong}", next_step=next_step) from None
