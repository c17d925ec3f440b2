"""Random changes to the bytes of a bundle, some of which know its structure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from attacks.bundles import archive, members_of
from scanside.runtime.bundle import MANIFEST, SIGNATURE, member_order


def mutate(good: bytes, rng: np.random.Generator) -> bytes:
    """The bytes, changed in one of many ways; now and then the change changes nothing."""
    how = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
    return how(good, rng)


def _place(data: bytes, rng: np.random.Generator) -> int:
    """Anywhere, or in the first or last hundreds of bytes, where the structure is."""
    edge = min(600, len(data))
    choices = (rng.integers(len(data)), rng.integers(edge), len(data) - 1 - rng.integers(edge))
    return int(choices[int(rng.integers(3))])


def _flip(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        changed[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    at, length = _place(data, rng), int(rng.integers(1, 16))
    return data[:at] + rng.bytes(length) + data[at + length :]


def _extreme(data: bytes, rng: np.random.Generator) -> bytes:
    """Lengths and offsets at their ends."""
    at, width = _place(data, rng), int(rng.choice([1, 2, 4, 8]))
    value = [b"\0", b"\xff", b"\x7f"][int(rng.integers(3))] * width
    return data[:at] + value + data[at + width :]


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 200)) :]


def _insert(data: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.bytes(int(rng.integers(1, 40))) + data[at:]


def _repeat(data: bytes, rng: np.random.Generator) -> bytes:
    first, second = sorted((_place(data, rng), _place(data, rng)))
    return data[:second] + data[first:second] + data[second:]


def _swap(data: bytes, rng: np.random.Generator) -> bytes:
    a, b = (_place(data, rng) for _ in range(2))
    changed = bytearray(data)
    changed[a], changed[b] = changed[b], changed[a]
    return bytes(changed)


def _member(data: bytes, rng: np.random.Generator) -> bytes:
    """A member of its own checksum, so that the container itself is whole."""
    members = members_of(data)
    name = str(rng.choice(sorted(members)))
    kind = int(rng.integers(4))
    if kind == 0:
        del members[name]
    elif kind == 1:
        members[name] = _flip(members[name] or b"\0", rng)
    elif kind == 2:
        members[name] = members[str(rng.choice(sorted(members)))]
    else:
        members["plans/" + rng.bytes(32).hex() + ".plan"] = rng.bytes(20)
    return archive({one: members[one] for one in sorted(members, key=member_order)})


def _manifest(data: bytes, rng: np.random.Generator) -> bytes:
    members = members_of(data)
    digit = [i for i, byte in enumerate(members[MANIFEST]) if chr(byte).isdigit()]
    at = digit[int(rng.integers(len(digit)))]
    changed = bytearray(members[MANIFEST])
    changed[at] = ord(str(int(rng.integers(10))))
    return archive({**members, MANIFEST: bytes(changed)})


def _signature(data: bytes, rng: np.random.Generator) -> bytes:
    return archive({**members_of(data), SIGNATURE: rng.bytes(64)})


Mutation = Callable[[bytes, np.random.Generator], bytes]
MUTATIONS: tuple[Mutation, ...] = (
    _flip, _overwrite, _extreme, _cut, _insert, _repeat, _swap, _member, _manifest, _signature,
)  # fmt: skip
