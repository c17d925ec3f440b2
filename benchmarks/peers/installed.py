"""How much of an environment a server needs.

``python -m scanside.benchmarks.peers.installed PACKAGE[EXTRA]...`` prints the bytes of these
distributions and all that they require, in the environment that it runs in.
"""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def installed_bytes(requirements: list[str]) -> int:
    """Of the files of these distributions and of what they require here, each counted once.
    Scanside itself, installed in place, counts with what its own record names."""
    return sum(_size(one) for one in closure(requirements).values())


def closure(requirements: list[str]) -> dict[str, Distribution]:
    """Name -> the installed distributions that `requirements` need, themselves included."""
    todo, seen = [Requirement(one) for one in requirements], set()
    found: dict[str, Distribution] = {}
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        key = (name, frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            there = distribution(name)
        except PackageNotFoundError:
            continue  # for another platform
        found[name] = there
        for line in there.requires or ():
            inner = Requirement(line)
            extras = wanted.extras or {""}
            if inner.marker is None or any(inner.marker.evaluate({"extra": e}) for e in extras):
                todo.append(inner)
    return found


def _size(one: Distribution) -> int:
    sizes = 0
    for file in one.files or ():
        path = file.locate()
        try:
            sizes += path.stat().st_size  # type: ignore[attr-defined]
        except OSError:
            continue  # bytecode that was never written
    return sizes


if __name__ == "__main__":
    sys.stdout.write(f"{installed_bytes(sys.argv[1:])}\n")
