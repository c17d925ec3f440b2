"""The control socket: commands of whoever may open its file, answered by the socket thread.

A command that cannot be read gets FAILED and changes nothing; a peer that does not read its answers
loses them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import zmq

from scanside.runtime import control
from scanside.runtime.control import Answer, Done, Situation
from scanside.runtime.daemon import address
from scanside.runtime.daemon.journal import event, failure
from scanside.runtime.errors import ProtocolError, ScansideError, TransportError

MODE = 0o600
COMMANDS_WAITING = 16

Tell = Callable[[Answer], None]
"""Answers one peer; what it does not read is dropped."""


class Orders(Protocol):
    """What can be commanded. `swap` and `reload` raise ScansideError where they cannot be had."""

    def situation(self) -> Situation: ...

    def drain(self) -> None: ...

    def reload(self) -> str: ...

    def swap(self, order: control.Swap, tell: Tell) -> None: ...


class ControlSocket:
    """A bound ROUTER on the file `path`, mode 0600 from its first moment on.

    Raises AddressInUseError where a daemon listens there, TransportError where it cannot be had.
    """

    def __init__(self, path: Path) -> None:
        url = control.control_url(path)
        self._path = path.absolute()
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.ROUTER)
        self.socket.set(zmq.ROUTER_MANDATORY, 1)
        self.socket.set(zmq.MAXMSGSIZE, control.MESSAGE_LIMIT)
        self.socket.set(zmq.RCVHWM, COMMANDS_WAITING)
        self.socket.set(zmq.SNDHWM, COMMANDS_WAITING)
        self.socket.set(zmq.LINGER, 1000)
        try:
            with _files_for_the_owner_alone():
                address.bind(self.socket, url)
            mode = stat.S_IMODE(self._path.stat().st_mode)
            if mode != MODE:
                raise TransportError(
                    f"the control socket {path} got the mode {mode:o}, not {MODE:o}",
                    next_step="put it on another file system",
                )
        except BaseException:
            self.close()
            raise

    def answer_one(self, orders: Orders) -> bool:
        """Obey one command that is here already; whether there was one."""
        try:
            peer, *parts = self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False

        def tell(answer: Answer) -> None:
            with contextlib.suppress(zmq.ZMQError):  # it went, or does not read
                self.socket.send_multipart([peer, control.encode(answer)], zmq.NOBLOCK)

        try:
            if len(parts) != 1:
                raise ProtocolError("a command is one message part")
            _obey(control.decode_command(parts[0]), orders, tell)
        except ScansideError as error:
            tell(control.failed(error))
        except Exception as error:  # noqa: BLE001 - a bug in a command must stop no frame
            failure("command failed", error)
            tell(control.failed(error))
        return True

    def close(self) -> None:
        """Give what was answered a second to leave, then close."""
        self.socket.close()
        self._context.term()


def _obey(command: control.Command, orders: Orders, tell: Tell) -> None:
    if isinstance(command, control.Ask):
        tell(orders.situation())
        return
    event("command", command=type(command).__name__.lower())
    if isinstance(command, control.Drain):
        orders.drain()
        tell(Done(text="draining"))
    elif isinstance(command, control.Reload):
        tell(Done(text=orders.reload()))
    else:
        orders.swap(command, tell)


@contextlib.contextmanager
def _files_for_the_owner_alone() -> Iterator[None]:
    """The umask belongs to the whole process: this is no place for a thread among others."""
    before = os.umask(0o777 & ~MODE)
    try:
        yield
    finally:
        os.umask(before)
