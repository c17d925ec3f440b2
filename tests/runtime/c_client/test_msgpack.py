"""The C client's own MessagePack against msgspec's."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from compiled_client import compiled


def found(header: dict[str, Any], key: str) -> str:
    """What the driver has to print for a key of a header, as msgspec decodes it."""
    value = header.get(key, KeyError)
    if value is KeyError:
        return "bad"
    if value is None or isinstance(value, bool):
        return {None: "nil", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return f"uint {value}" if value >= 0 else "negative"
    if isinstance(value, float):
        return f"double {value.hex()}"
    if isinstance(value, str):
        return f"str {len(value.encode())}"
    if isinstance(value, list):
        return f"array {len(value)}"
    return "map" if isinstance(value, dict) else "other"


def same_float(line: str) -> str:
    """C's %a and Python's hex() write the same number in different ways."""
    return f"double {float.fromhex(line[7:]).hex()}" if line.startswith("double") else line


def test_its_msgpack_reads_and_writes_what_msgspec_does(tmp_path: Path) -> None:
    driver = compiled(Path(__file__).parent / "msgpack_driver.c", tmp_path / "driver")
    rng = random.Random(20261122)
    values: list[Any] = [0, 127, 128, 255, 256, 65535, 65536, 2**32, 2**64 - 1, -1, -33, -129]
    values += [-(2**31), -(2**63), 0.0, -1.5, 1e300, None, True, False, "", "x" * 31, "x" * 32]
    values += ["ü" * 200, "x" * 300, [], [1] * 15, [None] * 16, [[[]], {"a": [1, {}]}], {}]
    values += [{str(i): i for i in range(n)} for n in (15, 16, 300)] + [["x"] * 70, b"", b"z" * 300]
    values += [msgspec.msgpack.Ext(5, b"x" * n) for n in (1, 2, 3, 4, 8, 16, 300)]
    cases = [{"before": rng.choice(values), "key": v, "after": rng.choice(values)} for v in values]
    valid = [msgspec.msgpack.encode(case) for case in cases]
    wild = [bytes(one) for raw in valid for one in _mutations(rng, raw, 300)]
    # Integers and floats of every width, needed or not.
    wide = ["d0ff", "d07f", "d1ff00", "d17fff", "d280000000", "d27fffffff", "cc01", "cd0001"]
    wide += ["d3ffffffffffffffff", "d37fffffffffffffff", "ce00000001", "ca3fc00000"]
    valid += [b"\x81\xa3key" + bytes.fromhex(one) for one in wide]
    too_long = [raw + b"\xc0" for raw in valid]
    text = "".join(f"{one.hex()} key\n" for one in valid + wild + too_long)
    done = subprocess.run(
        [str(driver)], input=text, capture_output=True, text=True, timeout=60, check=True
    )
    assert not done.stderr
    *lines, written = map(same_float, done.stdout.splitlines())
    assert lines[-len(too_long) :] == ["bad"] * len(too_long)
    for line, raw in zip(lines, valid + wild, strict=False):
        try:
            header = msgspec.msgpack.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError):
            # msgspec also refuses what the client does not look at: UTF-8, the keys of inner maps.
            assert raw in wild
            continue
        if isinstance(header, dict) and all(isinstance(name, str) for name in header):
            if "nan" not in line:
                assert line == found(header, "key"), raw.hex()
        else:
            assert line == "bad", raw.hex()
    assert msgspec.msgpack.decode(bytes.fromhex(written)) == {
        "uint": 70000, "long": 1 << 40, "forty letters, which no fixstr can hold.": 200,
        "real": -1024.5, "nil": None, "yes": True,
    }  # fmt: skip


def _mutations(rng: random.Random, raw: bytes, count: int) -> Iterator[bytearray]:
    for _ in range(count):
        one = bytearray(raw)
        for _ in range(rng.randint(1, 3)):
            if rng.random() < 0.7:
                one[rng.randrange(len(one))] = rng.randrange(256)
            elif rng.random() < 0.5 and len(one) > 1:
                del one[rng.randrange(1, len(one)) :]
            else:
                one += rng.randbytes(rng.randint(1, 9))
        yield one
