"""The daemon's ZeroMQ socket, and peers that hang up."""

from __future__ import annotations

import subprocess
import sys

import pytest
import zmq

from daemons import SOON_S
from scanside.runtime.daemon.mailroom import KEEPALIVE_S, KEEPALIVES, Mailroom

# A peer in ZMTP's own bytes: it says more than is read, and resets the connection.
HANGS_UP = """
import socket, struct, sys, time
from scanside.runtime.daemon.mailroom import Mailroom
room = Mailroom("tcp://127.0.0.1:*", 8)
host, port = room.url.removeprefix("tcp://").split(":")
with socket.create_connection((host, int(port))) as peer:
    peer.sendall(bytes.fromhex("ff00000000000000017f0301") + b"NULL" + bytes(48))
    time.sleep(0.3)
    ready = b"\\5READY" + b"\\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
    peer.sendall(bytes([4, len(ready)]) + ready)
    time.sleep(0.3)
    peer.sendall(400 * (b"\\0\\x0a" + bytes(10)))
    time.sleep(0.3)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
time.sleep(float(sys.argv[1]))
received = 0
while room.receive():
    received += 1
room.close()
print(received)
"""


def test_a_peer_that_hangs_up_unread_ends_nothing_but_itself() -> None:
    # The beats of ZMTP, which are off for it, came every 5 s; an abort shows as -6.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HANGS_UP, "5.5"],
        capture_output=True,
        text=True,
        timeout=6 * SOON_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 8


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:*", "ipc://*"])
def test_the_kernel_looks_whether_a_peer_is_there_and_zmtp_does_not(url: str) -> None:
    room = Mailroom(url, 8)
    try:
        assert room.socket.get(zmq.HEARTBEAT_IVL) == 0
        assert room.socket.get(zmq.TCP_KEEPALIVE) == 1
        assert room.socket.get(zmq.TCP_KEEPALIVE_IDLE) == KEEPALIVE_S
        assert room.socket.get(zmq.TCP_KEEPALIVE_INTVL) == KEEPALIVE_S
        assert room.socket.get(zmq.TCP_KEEPALIVE_CNT) == KEEPALIVES
        assert room.socket.get(zmq.TCP_MAXRT) == KEEPALIVE_S * KEEPALIVES * 1000
    finally:
        room.close()
