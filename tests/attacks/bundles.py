"""Hostile and broken bundles, generated from a good one, each with the error it must get."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from scanside.runtime.bundle import GOLDEN, MANIFEST, MODEL, REPORT, SIGNATURE, member_order
from scanside.runtime.errors import (
    BundleError,
    BundleFormatError,
    BundleIntegrityError,
    BundleTooLargeError,
    BundleVersionError,
)
from scanside.runtime.stored_zip import write_members

Members = dict[str, bytes]

LOCAL_HEADER_BYTES = 30
END_BYTES = 22


class Attack(NamedTuple):
    name: str
    data: bytes
    error: type[BundleError]


def all_attacks(good: bytes) -> list[Attack]:
    """Every attack on the bytes of a good bundle."""
    kinds = (_damaged, _zip_tricks, _wrong_members, _wrong_manifests)
    return [attack for kind in kinds for attack in kind(good)]


def archive(members: Members) -> bytes:
    """Members in the reader's own layout, whatever their names and order."""
    stream = io.BytesIO()
    write_members(stream, members.items())
    return stream.getvalue()


def members_of(data: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(data)) as good:
        return {name: good.read(name) for name in good.namelist()}


def with_manifest(good: bytes, edit: Callable[[dict[str, Any]], object]) -> bytes:
    """The bundle with an edited manifest, everything else as it was, in canonical form."""
    members = members_of(good)
    content = json.loads(members[MANIFEST])
    edit(content)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return archive({**members, MANIFEST: text.encode("utf-8", "surrogatepass")})


def setting(*path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """An edit for `with_manifest`: the value at the end of a path of keys."""

    def edit(manifest: dict[str, Any]) -> None:
        inner = manifest
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return edit


def patched(data: bytes, offset: int, form: str, *values: object) -> bytes:
    changed = bytearray(data)
    struct.pack_into(form, changed, offset, *values)
    return bytes(changed)


def _damaged(good: bytes) -> Iterator[Attack]:
    for length in sorted(
        {*range(0, len(good), len(good) // 60), *range(len(good) - 60, len(good))}
    ):
        yield Attack(f"truncated to {length}", good[:length], BundleFormatError)
    for name, data in members_of(good).items():
        at = good.index(data) + len(data) // 2
        flipped = patched(good, at, "B", good[at] ^ 0x10)
        yield Attack(f"flipped byte in {name}", flipped, BundleIntegrityError)
    central = _central(good)
    flipped = patched(good, central + 20, "B", good[central + 20] ^ 1)
    yield Attack("flipped byte in the directory", flipped, BundleFormatError)
    yield Attack("trailing byte", good + b"\0", BundleFormatError)
    yield Attack("trailing megabytes", good + bytes(1 << 22), BundleFormatError)
    yield Attack("two bundles", good + good, BundleFormatError)
    yield Attack("prefix", b"#!/bin/sh\n" + good, BundleFormatError)
    yield Attack("empty zip", good[-END_BYTES:-18] + bytes(18), BundleFormatError)
    yield Attack("text", b"this is not a bundle, it only has its name\n" * 9, BundleFormatError)
    comment = patched(good, len(good) - 2, "<H", 5) + b"hello"
    yield Attack("archive comment", comment, BundleFormatError)


def _zip_tricks(good: bytes) -> Iterator[Attack]:
    central = _central(good)
    end = len(good) - END_BYTES
    second = _second_header(good)
    for bit, name in ((0x1, "encrypted"), (0x8, "data descriptor"), (0x800, "UTF-8 names")):
        both = patched(patched(good, second + 6, "<H", bit), central + 8, "<H", bit)
        yield Attack(f"flag: {name}", both, BundleFormatError)
    for mode, name in ((0o120777, "symlink"), (0o040755, "folder"), (0o020666, "device")):
        link = patched(good, central + 38, "<I", mode << 16)
        yield Attack(f"attributes: {name}", link, BundleFormatError)
    huge = (0xFFFFFFFF, 0xFFFFFFFF)
    yield Attack("giant member", patched(good, second + 18, "<2I", *huge), BundleTooLargeError)
    # Within the member's cap, but beyond the file: memory must not be taken on its word.
    giant = (60 << 20, 60 << 20)
    past_the_end = patched(good, second + 18, "<2I", *giant)
    yield Attack("member past the end", past_the_end, BundleFormatError)
    yield Attack("two sizes", patched(good, second + 22, "<I", 7), BundleFormatError)
    yield Attack("giant name", patched(good, second + 26, "<H", 0xFFFF), BundleTooLargeError)
    yield Attack("giant extra", patched(good, second + 28, "<H", 0xFFFF), BundleFormatError)
    yield Attack("giant count", patched(good, end + 8, "<2H", 0xFFFF, 0xFFFF), BundleFormatError)
    yield Attack("giant directory", patched(good, end + 12, "<2I", *huge), BundleFormatError)
    yield Attack("second disk", patched(good, end + 4, "<2H", 1, 1), BundleFormatError)
    overlap = patched(good, central + 42, "<I", second)
    yield Attack("overlapping members", overlap, BundleFormatError)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    size = end - central
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 5, 5, size, central)
    zip64 = good[:end] + record + locator + patched(good[end:], 16, "<I", 0xFFFFFFFF)
    yield Attack("zip64 end record", zip64, BundleFormatError)

    members = members_of(good)
    bomb = {**members, GOLDEN: bytes(64 << 20)}
    yield Attack("zip bomb", _zipped(bomb, zipfile.ZIP_DEFLATED), BundleFormatError)
    yield Attack("compressed", _zipped(members, zipfile.ZIP_DEFLATED), BundleFormatError)
    yield Attack("stored by another zip", _zipped(members, zipfile.ZIP_STORED), BundleFormatError)


def _central(good: bytes) -> int:
    """Offset of the central directory, from the end record."""
    return int(struct.unpack_from("<I", good, len(good) - 6)[0])


def _second_header(good: bytes) -> int:
    """Offset of the second member's header: the first one's answers for the version."""
    (length,) = struct.unpack_from("<I", good, 18)
    return LOCAL_HEADER_BYTES + len(MANIFEST) + int(length)


def _zipped(members: Members, method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as out:
        for name, data in members.items():
            out.writestr(zipfile.ZipInfo(name), data, method)
    return stream.getvalue()


def _wrong_members(good: bytes) -> Iterator[Attack]:
    members = members_of(good)
    other = bytes([members[MODEL][0] ^ 1]) + members[MODEL][1:]
    for name, model in (("one bit", other), ("one byte more", members[MODEL] + b"\0")):
        tampered = archive({**members, MODEL: model})
        yield Attack(f"tampered, right checksum: {name}", tampered, BundleIntegrityError)
    swapped = {**members, MODEL: members[REPORT], REPORT: members[MODEL]}
    yield Attack("members swapped", archive(swapped), BundleIntegrityError)
    for name in members:
        rest = {key: data for key, data in members.items() if key != name}
        yield Attack(f"without {name}", archive(rest), BundleFormatError)
    yield Attack("manifest last", archive(dict(reversed(members.items()))), BundleFormatError)
    backwards = {MANIFEST: members[MANIFEST], **dict(reversed(members.items()))}
    yield Attack("members out of order", archive(backwards), BundleFormatError)
    stream = io.BytesIO()
    write_members(stream, [*members.items(), (REPORT, members[REPORT])])
    yield Attack("a member twice", stream.getvalue(), BundleFormatError)
    stream = io.BytesIO()
    write_members(stream, [(MANIFEST, members[MANIFEST]), *members.items()])
    yield Attack("the manifest twice", stream.getvalue(), BundleFormatError)
    plan = f"plans/{'a' * 64}.plan"
    yield Attack("unlisted plan", _also(members, {plan: b"engine"}), BundleIntegrityError)
    for name in (
        *("/etc/passwd", "../model.onnx", "plans/../../x", "C:\\x", "plans\\x", "model.onnx\0.txt"),
        *("MODEL.ONNX", "model.onnx ", "plans/", "plans/xyz.plan", f"{plan}\n", "", "model.pkl"),
    ):
        yield Attack(f"member called {name!r}", archive({**members, name: b""}), BundleFormatError)
    many = {f"plans/{index:064x}.plan": b"" for index in range(70)}
    entries = {name: _listed(data) for name, data in many.items()}
    listed = with_manifest(good, lambda m: m["members"].update(entries))
    yield Attack("70 members", _also(members_of(listed), many), BundleTooLargeError)
    yield Attack("short signature", _also(members, {SIGNATURE: bytes(63)}), BundleFormatError)
    yield Attack("long signature", _also(members, {SIGNATURE: bytes(65)}), BundleTooLargeError)


def _also(members: Members, more: Members) -> bytes:
    everything = {**members, **more}
    return archive({name: everything[name] for name in sorted(everything, key=member_order)})


def _listed(data: bytes) -> dict[str, object]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def _wrong_manifests(good: bytes) -> Iterator[Attack]:
    def valued(*path: str, value: object) -> Attack:
        name = f"manifest: {'.'.join(path)} = {str(value)[:30]}"
        return Attack(name, with_manifest(good, setting(*path, value=value)), BundleFormatError)

    for version in ("2.0", "9999.9", "0.9"):
        alone = {**members_of(good), MANIFEST: json.dumps({"format": version}).encode()}
        yield Attack(f"format {version} alone", archive(alone), BundleVersionError)
    future = with_manifest(good, setting("format", value="2.0"))
    yield Attack("format 2.0", future, BundleVersionError)
    yield Attack("format 2.0 that ends early", future[: _central(future)], BundleVersionError)
    for wrong in ("", "1", "one", "1.0.0", "-1.0", "٢.0", 2, None, "1" * 5000 + ".0"):
        yield valued("format", value=wrong)
    for size in (-1, 1.5, 2**63, 10**30, "8", None):
        yield valued("members", MODEL, "size", value=size)
    for scale in (0, 3, 4, 2.5, "2", True):
        yield valued("scale", value=scale)
    yield valued("receptive_field", value=10**9)
    yield valued("multiple_of", value=0)
    yield valued("modality", value=[])
    yield valued("modality", value="CT")
    yield valued("name", value="../../etc/cron.d/x")
    yield valued("version", value="1.0\n")
    yield valued("description", value="\x1b]0;owned\x07")
    yield valued("description", value="x" * 5000)
    yield valued("description", value="\ud800")
    nothing = with_manifest(good, setting("members", value={}))
    yield Attack("manifest: no members", nothing, BundleIntegrityError)
    yield valued("intensity", value={"type": "exec", "lower": 0, "upper": 1, "margin": 0})
    for lower, upper, margin in ((1, 1, 0), (2, 1, 0), (0, 1e300, 0), (0, 1, -1)):
        window = {"type": "window", "lower": lower, "upper": upper, "margin": margin}
        yield valued("intensity", value=window)
    percentiles = {"type": "percentiles", "lower": -1, "upper": 101, "margin": 0}
    yield valued("intensity", value=percentiles)
    for number in (float("nan"), float("inf"), -1.0, 1e300, 10**400, "1"):
        for field in ("largest", "data_range"):
            yield valued("tolerance", field, value=number)
    yield valued("sizes", value={"minimum": 9, "maximum": 8, "tile": 512})
    yield valued("members", MANIFEST, value=_listed(b""))
    yield valued("members", MODEL, "sha256", value="A" * 64)
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    yield valued("network_data_format", value={"inputs": deep})
    yield valued("unknown_key", value=deep)
    over = with_manifest(good, setting("unknown_key", value="x" * (1 << 20)))
    yield Attack("manifest: over its cap", over, BundleTooLargeError)

    members = members_of(good)
    text = members[MANIFEST]
    raw = {
        "empty": b"",
        "null": b"null",
        "list": b"[]",
        "nested": b'{"a":' * 100_000,
        "brackets": b"[" * 1_000_000,
        "not UTF-8": text.replace(b'"test"', b'"\xff\xfe"'),
        "trailing space": text + b" ",
        "spaces": json.dumps(json.loads(text), sort_keys=True).encode(),
        "unsorted": text.replace(b"{", b'{"zz":0,', 1),
        "key twice": text.replace(b"{", b'{"acceptance":null,', 1),
        "a number's other spelling": text.replace(b"4095.0", b"40.950e2"),
        "infinite number": text.replace(b"4095.0", b"1e999"),
        "endless integer": text[:-1] + b',"zz":' + b"9" * 100_000 + b"}",
    }
    for name, manifest in raw.items():
        data = archive({**members, MANIFEST: manifest})
        yield Attack(f"manifest: {name}", data, BundleFormatError)
