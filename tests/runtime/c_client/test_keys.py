"""The C client with CURVE keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from compiled_client import ANSWERED, LOST, joined, pattern
from daemons import SOON_S, AddOne, frame, loader, running, serving
from scanside.runtime import Client, FrameFacts
from wire_keys import make_client_keys, make_daemon_keys


def test_with_keys_it_is_served_and_bit_equal_to_the_python_client(
    start: Any, tmp_path: Path
) -> None:
    daemon = make_daemon_keys(tmp_path / "daemon")
    known = make_client_keys(tmp_path / "known", daemon, known_as="appliance")
    frames = [frame(seq, (64, 100)) for seq in range(20)]
    with locked(daemon) as url:
        sent = start(url, frames, "-k", str(known))()
        with Client(url, keys=known, shared_memory=False) as client:
            facts = FrameFacts(modality="CT", bits_stored=16, signed=False)
            results = list(client.stream((pixels, facts) for pixels in frames))
    assert (sent.code, sent.words) == (ANSWERED, ["enhanced"] * 20), sent.errors
    assert sent.pixels == joined([one.pixels for one in results if one.pixels is not None])


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("", "the daemon asks for keys"),
        ("stranger", "the daemon does not let this key in"),
        ("elsewhere", "server.pub is not the daemon's key"),
        ("open", "no client.key (mode 0600)"),
        ("nowhere", "no client.key (mode 0600)"),
        ("cut", "no client.key (mode 0600)"),
    ],
)
def test_keys_that_do_not_fit_are_said_at_once(
    start: Any, tmp_path: Path, keys: str, why: str
) -> None:
    daemon = make_daemon_keys(tmp_path / "daemon")
    other = make_daemon_keys(tmp_path / "other")
    make_client_keys(tmp_path / "stranger", daemon)
    for name, its in (("elsewhere", other), ("open", daemon), ("cut", daemon)):
        make_client_keys(tmp_path / name, its, known_as=name)
    (tmp_path / "open" / "client.key").chmod(0o640)
    secret = tmp_path / "cut" / "client.key"
    secret.write_text(secret.read_text()[:-10])
    make_client_keys(tmp_path / "fine", daemon, known_as="fine")
    with locked(daemon) as url:
        options = ["-k", str(tmp_path / keys)] if keys else []
        began = time.monotonic()
        sent = start(url, 3, *options)()
        assert time.monotonic() - began < 5
    assert (sent.code, sent.words) == (LOST, ["unanswered"] * 3)
    assert why in sent.errors
    assert sent.pixels == joined([pattern(seq) for seq in range(3)])


def test_with_keys_it_never_speaks_in_the_clear(start: Any, tmp_path: Path) -> None:
    daemon = make_daemon_keys(tmp_path / "daemon")
    keys = make_client_keys(tmp_path / "known", daemon, known_as="known")
    with serving() as url:
        sent = start(url, 3, "-k", str(keys))()
    assert (sent.code, sent.words) == (LOST, ["unanswered"] * 3)
    assert "it uses no keys" in sent.errors


@contextmanager
def locked(keys: Path) -> Iterator[str]:
    """The URL of a daemon that is READY and asks for keys."""
    ready = threading.Event()
    with running(loader(AddOne()), on_ready=lambda *_: ready.set(), keys=keys) as daemon:
        assert ready.wait(SOON_S)
        yield daemon.url
