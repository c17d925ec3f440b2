"""A machine that remembers what it could not read though it is there: who asks may not be root."""

from __future__ import annotations

from pathlib import Path

from scanside.jetson.machine import Machine

_ABSENT = (FileNotFoundError, NotADirectoryError)


class Watching(Machine):
    """refused: files and folders that are there and could not be read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.refused: set[str] = set()

    def read(self, name: str) -> str | None:
        text = super().read(name)
        if text is None:
            try:
                with self.seen(name).open("rb") as stream:
                    stream.read(1)
            except _ABSENT:
                pass
            except OSError:
                # A sensor that is switched off refuses its reading to root too.
                if not name.startswith("/sys/"):
                    self.refused.add(name)
        return text

    def list(self, name: str) -> list[str]:
        names = super().list(name)
        if not names:
            try:
                next(self.seen(name).iterdir(), None)
            except _ABSENT:
                pass
            except OSError:
                self.refused.add(name)
        return names
