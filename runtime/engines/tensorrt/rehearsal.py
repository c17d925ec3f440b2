"""The child process that opens a plan first (`python -m
scanside.runtime.engines.tensorrt.rehearsal`): if the driver or TensorRT crashes, it crashes here.

It asks the driver, tells the device's fingerprint as a line on stdout, takes a plan on stdin, opens
the engine with it and runs its smallest size, and tells that it could. Lines as in
`scanside.runtime.plan_lines`.
"""

from __future__ import annotations

import os
import sys
from typing import IO

import msgspec

from scanside.runtime.bundle import MAX_BUNDLE_BYTES
from scanside.runtime.errors import ScansideError
from scanside.runtime.manifest import decode_manifest
from scanside.runtime.plan_lines import LONGEST_LINE, Line, say, say_error

PHASE = "opened"


class Sent(msgspec.Struct, frozen=True):
    """What stands before the bytes of a manifest and a plan: their sizes."""

    manifest: int
    plan: int


def main(stream: IO[bytes]) -> int:
    """Ends with the error's exit code; ends as well when stdin does."""
    from scanside.runtime.engines.tensorrt.engine import TensorRtEngine
    from scanside.runtime.engines.tensorrt.libraries import version
    from scanside.runtime.fingerprint import fingerprint

    try:
        # The driver before TensorRT: without one, its Runtime may crash.
        device = fingerprint(version())
        say(Line(fingerprint=device))
        first = stream.readline(LONGEST_LINE)
        if not first:
            return 0
        sent = msgspec.json.decode(first, type=Sent)
        manifest = decode_manifest(_exactly(stream, sent.manifest))
        engine = TensorRtEngine(manifest, _exactly(stream, sent.plan), device)
        engine.warm_up(manifest.sizes.minimum, manifest.sizes.minimum)
        engine.close()
        say(Line(phase=PHASE))
    except ScansideError as error:
        say_error(error)
        return error.exit_code
    return 0


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size) if 0 <= size <= MAX_BUNDLE_BYTES else b""
    if len(data) != size:
        raise EOFError("the plan did not arrive whole")
    return data


if __name__ == "__main__":
    # What the libraries print must not come between the lines: it goes to stderr.
    sys.stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.exit(main(sys.stdin.buffer))
