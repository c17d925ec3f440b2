"""A real sshd on loopback, and a proxy before it that cuts the connection where it is told to."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
HOST = "127.0.0.1"


class SshServer(NamedTuple):
    """client: a folder with an `ssh` that knows this server's host key, to be first on PATH.
    identity: the key that it lets in. log: what sshd says."""

    port: int
    client: Path
    identity: Path
    log: Path

    def url(self, port: int = 0) -> str:
        return f"ssh://{getpass.getuser()}@{HOST}:{port or self.port}"


@contextmanager
def ssh_server(folder: Path, path: str) -> Iterator[SshServer]:
    """sshd as this user, with keys and a configuration of its own. path: PATH of what it runs."""
    for program in (SSHD, "ssh", "ssh-keygen"):
        if shutil.which(program) is None:
            pytest.skip(f"no {Path(program).name} here: apt install openssh-server openssh-client")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as its start script does
    for name in ("host", "user"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(make, check=True)
    port = free_port()
    (folder / "sshd_config").write_text(
        f"ListenAddress {HOST}\nPort {port}\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\nPermitRootLogin yes\nSetEnv PATH={path}\n"
        "MaxStartups 100\nLogLevel VERBOSE\n"
    )
    host_key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"jetson {host_key}\n")
    (folder / "ssh_config").write_text(
        f"HostKeyAlias jetson\nUserKnownHostsFile {folder}/known_hosts\n"
        "GlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\n"
    )
    client = folder / "client"
    client.mkdir()
    (client / "ssh").write_text(
        f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh_config "$@"\n'
    )
    (client / "ssh").chmod(0o755)
    log = folder / "sshd.log"
    command = [SSHD, "-D", "-E", str(log), "-f", str(folder / "sshd_config")]
    with subprocess.Popen(command) as server:
        try:
            _wait_for(port)
            yield SshServer(port, client, folder / "user", log)
        finally:
            server.terminate()


def free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        port: int = one.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    for _ in range(100):
        with suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("sshd does not listen")


class CuttingProxy:
    """Passes one connection on to `port`, and cuts it when so many bytes went up (to the server) or
    down. `up` and `down` count what passed."""

    def __init__(self, port: int, *, up: float = float("inf"), down: float = float("inf")) -> None:
        self.limits = {"up": up, "down": down}
        self.passed = {"up": 0, "down": 0}
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._pair: list[socket.socket] = []
        self._server = port
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        server = socket.create_connection((HOST, self._server))
        self._pair = [client, server]
        ways = (("up", client, server), ("down", server, client))
        self._threads += [threading.Thread(target=self._pass, args=way) for way in ways]
        for thread in self._threads[1:]:
            thread.start()

    def _pass(self, way: str, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while self.passed[way] < self.limits[way]:
                left = min(1 << 16, self.limits[way] - self.passed[way])
                data = source.recv(int(left))
                if not data:
                    break
                sink.sendall(data)
                self.passed[way] += len(data)
        self.cut()

    def cut(self) -> None:
        for one in self._pair:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in list(self._threads):
            thread.join(5)
        for one in self._pair:
            one.close()
