"""A plan from a builder Jetson over SSH, put into the bundle here.

One connection: the far end (scanside.runtime.plan_server) greets with its fingerprint, gets the
bundle, builds, and sends the evidence and the plan. The bundle here is replaced at the very end, by
one rename; whatever breaks off before leaves it as it was. What arrives is checked against what can
be computed here (`add_plan`); that the plan does what the network says, nobody can check without
that GPU: the device's own golden frames do, before it serves.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanside.compile.pack import add_plan, insist_on_key
from scanside.compile.ssh import Address, Connection, connect
from scanside.runtime.bundle import Bundle
from scanside.runtime.errors import BuilderError, PlanError
from scanside.runtime.fingerprint import Fingerprint, insist_on_device
from scanside.runtime.plan_lines import PROTOCOL, Line, read_line, told_error
from scanside.runtime.plan_server import Request
from scanside.runtime.planner import Show
from scanside.runtime.plans import Evidence

REMOTE = "scanside"
SERVE = ("plan", "--serve")
GREETING_S = 150.0  # its probe has 120
SLOWEST_BYTES_S = 64 * 1024
SPARE_S = 120.0


class Builder(NamedTuple):
    """identity: an SSH key, or None for ssh's own choice. scanside: the program's path there."""

    address: Address
    identity: Path | None = None
    scanside: str = REMOTE


def plan_elsewhere(
    file: Path, builder: Builder, key: Ed25519PrivateKey | None, time_limit_s: float, show: Show
) -> Evidence:
    """Build the plan of the bundle `file` on the builder and put it into the bundle.

    key: signs it anew; a signed bundle needs one. Raises KeyFileError without it, TargetError where
    the builder is not what the bundle was compiled for, BuilderError when the connection or the far
    end fails, and what the far end tells, as PlanError for a failed build.
    """
    bundle = Bundle.open(file)
    insist_on_key(bundle, file, key)
    raw = file.read_bytes()
    with connect(builder.address, (builder.scanside, *SERVE), builder.identity) as connection:
        device = _greeting(connection)
        insist_on_device(device, bundle.manifest.target)
        sending = SPARE_S + len(raw) / SLOWEST_BYTES_S
        with connection.within(sending, "take the bundle"):
            _send(connection, raw, time_limit_s)
        with connection.within(time_limit_s + SPARE_S, "build the plan"):
            evidence = _evidence(connection, show)
        with connection.within(SPARE_S + evidence.size / SLOWEST_BYTES_S, "send the plan"):
            data = _plan(connection, evidence.size)
    if evidence.fingerprint != device:
        raise PlanError("the plan is of another device than the builder said it was")
    add_plan(file, data, evidence, key)
    return evidence


def _next(connection: Connection, doing: str) -> Line:
    try:
        line = read_line(connection.out)
    except EOFError as error:
        raise connection.lost(doing) from error
    except ValueError as error:
        raise BuilderError(
            f"what the builder answers is nothing of Scanside's ({error})",
            next_step="`ssh BUILDER scanside plan --probe` must print one line of JSON alone: look "
            "for what its shell prints, and for another version of Scanside",
        ) from error
    if line is None:
        raise connection.lost(doing)
    if line.error:
        raise told_error(line)
    connection.heard = True
    return line


def _greeting(connection: Connection) -> Fingerprint:
    with connection.within(GREETING_S, "answer"):
        line = _next(connection, "greeting")
    if line.fingerprint is None or line.protocol != PROTOCOL:
        raise BuilderError(
            "the builder speaks another protocol",
            next_step="install the same version of Scanside on both ends",
        )
    return line.fingerprint


def _send(connection: Connection, raw: bytes, time_limit_s: float) -> None:
    request = Request(
        size=len(raw), sha256=hashlib.sha256(raw).hexdigest(), time_limit_s=time_limit_s
    )
    try:
        connection.to.write(msgspec.json.encode(request) + b"\n")
        connection.to.write(raw)
        connection.to.flush()
    except OSError as error:
        raise connection.lost("sending the bundle") from error


def _evidence(connection: Connection, show: Show) -> Evidence:
    while True:
        line = _next(connection, "building")
        if line.plan is not None:
            return line.plan
        if line.phase:
            show(line)


def _plan(connection: Connection, size: int) -> bytes:
    """The plan's bytes, and after them the end: the far end has then tidied up."""
    data = connection.out.read(size)
    if len(data) < size or connection.out.read(1):
        raise connection.lost("fetching the plan")
    if connection.process.wait() != 0:
        raise connection.lost("ending")
    return data
