"""Which records a comparison is of, from the words that the user typed.

A word is `FILE`, `FILE@WHICH` or `WHICH` in the default history. WHICH is `last` (also of a FILE
alone), `previous`, the number of a line (@-1: from the end), or the first digits of a commit. Of
each benchmark `last` and a commit mean the last such record in the file, `previous` the last one
before that was run alike.
"""

from __future__ import annotations

import re
from pathlib import Path

from scanside.benchmarks.evidence.record import Record, read_records
from scanside.runtime.errors import RecordError

LAST, PREVIOUS = "last", "previous"
VERSION = re.compile(r"\d+\.\d+\.\d+\S*")
FEWEST_DIGITS = 4
"""Of a commit."""


def read_choice(word: str, history: Path) -> tuple[list[Record], list[Record]]:
    """The chosen records, one for each benchmark, and all of their file. Raises RecordError where
    nothing fits, or as `read_records`."""
    file, which = _parted(word, history)
    records = read_records(file)
    found = choose(records, which)
    if not found:
        raise RecordError(
            f"no record of {file.name} is '{which}'",
            next_step=f"name one of its {len(records)} lines (FILE@N), 'last', 'previous' or the "
            "first digits of a commit; `scanside bench history` lists them",
        )
    return found, records


def _parted(word: str, history: Path) -> tuple[Path, str]:
    if Path(word).is_file():  # whatever signs its name holds
        return Path(word), LAST
    file, at, which = word.rpartition("@")
    if at:
        return (Path(file) if file else history), which or LAST
    if _is_choice(word):
        return history, word
    return Path(word), LAST  # whose absence its reader tells


def _is_choice(word: str) -> bool:
    return word in (LAST, PREVIOUS) or bool(re.fullmatch(r"-?\d+|[0-9a-f]{4,40}(\+changes)?", word))


def choose(records: list[Record], which: str) -> list[Record]:
    """The last of them of each benchmark that `which` fits, in the order of their first lines."""
    if which == PREVIOUS:
        return [
            found for one in choose(records, LAST) if (found := before(records, one)) is not None
        ]
    if re.fullmatch(r"-?\d+", which) and abs(int(which)) <= len(records):
        number = int(which)
        return [records[number - 1 if number > 0 else number]] if number else []
    if which != LAST:
        if len(which) < FEWEST_DIGITS:
            return []
        records = [one for one in records if one.commit.startswith(which)]
    return list({one.bench: one for one in records}.values())


def before(records: list[Record], one: Record) -> Record | None:
    """The last record before `one` that was run alike, if there is one."""
    return next(reversed(alike(records, one)), None)


def alike(records: list[Record], one: Record) -> list[Record]:
    """The records before `one`, oldest first, of the same benchmark run in the same way: on as many
    cores of the same machine, with the same settings (but for versions of libraries) and data and a
    bundle of the same name."""
    place = next((at for at, other in enumerate(records) if other is one), len(records))
    return [other for other in records[:place] if _way(other) == _way(one)]


def _way(one: Record) -> tuple[object, ...]:
    return (
        one.bench,
        one.machine.name,
        len(one.machine.cores),
        one.bundle.split(" ")[0],
        one.data,
        sorted((key, VERSION.sub("", value)) for key, value in one.setting.items()),
    )


def same_machine(one: Record, other: Record) -> bool:
    """As far as a record can tell: so many cores of the same name and as much memory."""
    return _hardware(one) == _hardware(other)


def _hardware(one: Record) -> tuple[object, ...]:
    found = one.machine
    # What the kernel keeps for itself differs from version to version.
    return found.name, len(found.cores), round(found.memory_mb / 500), found.power.get("mode", "")
