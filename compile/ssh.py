"""A program on another machine over OpenSSH, whose stdin and stdout are ours; and how it ended.

The user's own client with the user's own configuration: keys, jump hosts and the checking of host
keys are as they are for `ssh`. Nothing of what the user names reaches a shell unquoted, and nothing
can be taken for an option.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from scanside.runtime.errors import BuilderError
from scanside.runtime.plan_lines import printable

CONNECT_S, ALIVE_S, ALIVE_TIMES = 15, 15, 4
"""Give up when no connection comes, and when the other end is silent for ALIVE_S * ALIVE_TIMES."""
SSH_FAILED, NOT_FOUND = 255, 127
_URL = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9._-]{0,63})@)?"
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?/?\Z"
)


class Address(NamedTuple):
    """user: empty for ssh's own choice. port: 0 for ssh's own choice."""

    user: str
    host: str
    port: int

    def __str__(self) -> str:
        return (f"{self.user}@" if self.user else "") + self.host


def parse_address(url: str) -> Address:
    """From ssh://[user@]host[:port]. Raises BuilderError for anything else."""
    found = _URL.match(url)
    port = int(found["port"] or 0) if found else 0
    if found is None or port > 65535 or found["port"] == "0":
        raise BuilderError(
            "the builder's address is not of the form ssh://user@host:port",
            next_step="as ssh://nvidia@192.168.55.1; anything else goes into ~/.ssh/config",
        )
    return Address(found["user"] or "", found["host"].strip("[]"), port)


def ssh_command(address: Address, remote: Sequence[str], identity: Path | None) -> list[str]:
    """The command line of the ssh client."""
    options = {
        "BatchMode": "yes",  # a question would wait for ever
        "ConnectTimeout": CONNECT_S,
        "ServerAliveInterval": ALIVE_S,
        "ServerAliveCountMax": ALIVE_TIMES,
        "ClearAllForwardings": "yes",
        "EscapeChar": "none",
    }
    command = ["ssh", "-T"]
    for name, value in options.items():
        command += ["-o", f"{name}={value}"]
    if identity is not None:
        command += ["-o", "IdentitiesOnly=yes", "-i", str(identity.absolute())]
    if address.port:
        command += ["-p", str(address.port)]
    if address.user:
        command += ["-l", address.user]
    return [*command, "--", address.host, shlex.join(remote)]


class Connection:
    """A running ssh. Ended at the latest when the block of `connect` ends.

    heard: whether the program at the other end has said anything yet.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], complaints: IO[bytes], address: Address
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.to: IO[bytes] = process.stdin
        self.out: IO[bytes] = process.stdout
        self._complaints = complaints
        self._address = address
        self._late = ""
        self.heard = False

    @contextlib.contextmanager
    def within(self, seconds: float, what: str) -> Iterator[None]:
        """Ends the connection when the block takes longer: reading then finds the end."""
        timer = threading.Timer(seconds, self._end, (f"{what} within {seconds:.0f} s",))
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end(self, why: str) -> None:
        self._late = why
        self.process.kill()

    def lost(self, doing: str) -> BuilderError:
        """What to tell when the connection ended while `doing`: waits for ssh's own verdict."""
        with contextlib.suppress(OSError):  # what is still to be flushed has no reader
            self.to.close()
        try:
            code = self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._complaints.seek(max(0, self._complaints.seek(0, os.SEEK_END) - 2000))
        said = printable(self._complaints.read().decode(errors="replace"))
        trailing = f": {said}" if said else ""
        if self._late:
            return BuilderError(f"the builder {self._address} did not {self._late}{trailing}")
        if code == NOT_FOUND:
            return BuilderError(
                f"there is no scanside on the builder {self._address}{trailing}",
                next_step="name it with --scanside, as /opt/scanside/bin/scanside",
            )
        next_step = "try again; nothing was changed here"
        if code == SSH_FAILED and not self.heard:
            next_step = f"`ssh {self._address}` must work without a question"
        return BuilderError(
            f"the connection to the builder {self._address} ended while {doing}{trailing}",
            next_step=next_step,
        )


@contextlib.contextmanager
def connect(address: Address, remote: Sequence[str], identity: Path | None) -> Iterator[Connection]:
    """Run `remote` at `address`. Raises BuilderError where there is no ssh client or no such
    identity file; an unreachable host shows when it is read from (see `Connection.lost`)."""
    if shutil.which("ssh") is None:
        raise BuilderError("there is no ssh here", next_step="apt install openssh-client")
    if identity is not None and not identity.is_file():
        raise BuilderError(f"the identity {identity} is not a file", next_step="check --identity")
    command = ssh_command(address, remote, identity)
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,  # Ctrl-C is ours: we end ssh
        ) as process,
    ):
        connection = Connection(process, complaints, address)
        try:
            yield connection
        finally:
            with contextlib.suppress(OSError):
                connection.to.close()
            if process.poll() is None:
                process.kill()
