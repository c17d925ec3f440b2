from __future__ import annotations

import os
import select
import signal
import threading

import pytest

from scanside.runtime.daemon.wakeup import Wakeup


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_another_thread_gets_still_wakes_the_poll(number: int) -> None:
    wakeup = Wakeup()
    stopped: list[int] = []
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    before = signal.getsignal(number)
    try:
        with wakeup.on_signals(lambda: stopped.append(1)):
            assert other.ident is not None
            sender = threading.Timer(0.05, signal.pthread_kill, (other.ident, number))
            sender.start()
            ready, _, _ = select.select([wakeup], [], [], 5)
            sender.join()
            assert ready
            assert stopped == [1]
        assert signal.getsignal(number) == before
    finally:
        done.set()
        other.join()
        wakeup.close()


def test_ringing_often_or_after_the_end_hurts_nobody() -> None:
    wakeup = Wakeup()
    for _ in range(100_000):
        wakeup.ring()
    wakeup.answer()
    assert not select.select([wakeup], [], [], 0)[0]
    descriptors = len(os.listdir("/proc/self/fd"))
    wakeup.close()
    wakeup.ring()
    assert len(os.listdir("/proc/self/fd")) == descriptors - 2
