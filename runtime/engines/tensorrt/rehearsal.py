"""The child process that opens a plan first (`python -m
scanside.runtime.engines.tensorrt.rehearsal`): if the driver or TensorRT crashes, it crashes here.

It asks the driver, tells the device's fingerprint as a line on stdout, takes a plan on stdin, opens
the engine with it and runs its smallest size, and tells that it could. Lines as in
`scanside.runtime.plan_lines`.
"""

from __future__ import annotations

import os
import sys
import threading
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
        plan = _exactly(stream, sent.plan)
        threading.Thread(target=_end_with, args=(stream,), daemon=True).start()
        engine = TensorRtEngine(manifest, plan, device)
        engine.warm_up(manifest.sizes.minimum, manifest.sizes.minimum)
        engine.close()
        say(Line(phase=PHASE))
    except ScansideError as error:
        say_error(error)
        return error.exit_code
    return 0


def _end_with(stream: IO[bytes]) -> None:
    """Whoever started us keeps the stream open as long as it lives, and may be killed: a plan that
    hangs must not keep the GPU from the next one."""
    while os.read(stream.fileno(), 1):  # not by the stream, whose lock would be in the way at exit
        pass
    os._exit(1)


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
