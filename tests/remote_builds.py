"""Building on a fake device behind a real sshd, and what must hold whatever happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from bundles import make_manifest, make_members
from devices import FakeDevice
from scanside.compile.builder import Builder, plan_elsewhere
from scanside.compile.pack import write_bundle
from scanside.compile.ssh import parse_address
from scanside.runtime.bundle import REPORT
from scanside.runtime.plan_lines import Line
from ssh_servers import SshServer

PLAN_BYTES = 2_000_000


def make_bundle(folder: Path, **changes: Any) -> Path:
    """Of a size that a connection can be cut in."""
    folder.mkdir()
    manifest = make_manifest(**changes)
    padding = Random(0).randbytes(500_000).hex().encode()
    write_bundle(folder / "ct.scanside", manifest, {**make_members(manifest), REPORT: padding})
    return folder / "ct.scanside"


def build(
    server: SshServer,
    bundle: Path,
    port: int = 0,
    *,
    program: Path | str = "scanside",
    identity: Path | None = None,
    time_limit_s: float = 60.0,
) -> list[Line]:
    shown: list[Line] = []
    address = parse_address(server.url(port))
    builder = Builder(address, identity or server.identity, str(program))
    plan_elsewhere(bundle, builder, None, time_limit_s, shown.append)
    return shown


@contextmanager
def nothing_changes(bundle: Path) -> Iterator[None]:
    before = bundle.read_bytes()
    yield
    assert bundle.read_bytes() == before
    assert list(bundle.parent.iterdir()) == [bundle]


def settled(device: FakeDevice) -> bool:
    """Whether nothing of a build is left on the device, given the time that an end takes."""
    for _ in range(100):
        if not list(device.tmp.iterdir()) and not device.builds():
            return True
        time.sleep(0.1)
    return False


def wait_until_it_builds(device: FakeDevice) -> None:
    for _ in range(200):
        if device.builds():
            return
        time.sleep(0.05)
    raise AssertionError("it did not begin to build")
