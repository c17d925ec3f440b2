"""Whatever asks a verb to end does it as Ctrl-C does, so that it tidies up."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ended_by_signals() -> Iterator[Callable[[], None]]:
    """While open, SIGTERM and a lost terminal raise KeyboardInterrupt, as Ctrl-C does.

    Gives what raises once a signal has come, to be called now and then: what a handler raises is
    lost where it runs within somebody's __del__, such as that of each child process.
    """
    came = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    def heed() -> None:
        if came:
            raise KeyboardInterrupt

    # Under nohup a lost terminal is to end nothing.
    names = [
        name
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(name) is not signal.SIG_IGN
    ]
    before = [signal.signal(name, stop) for name in names]
    try:
        yield heed
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)
