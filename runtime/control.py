"""What is said on the daemon's control socket, and saying it: swap, drain, reload, status.

The socket is ZeroMQ's ipc with mode 0600: whoever may open the file may command the daemon, and
nobody can from elsewhere. Messages are single msgpack maps with the key `type`; a DEALER says a
command and hears its one answer, before which a SWAP is told how far it is.

::

    SWAP file, force, rollback  ->  PROGRESS state ...  DONE text, model   or  FAILED
    DRAIN                       ->  DONE                                   or  FAILED
    RELOAD                      ->  DONE text                              or  FAILED
    STATUS                      ->  SITUATION
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import zmq

from scanside.runtime import errors
from scanside.runtime.errors import (
    ProtocolError,
    RequestTimeoutError,
    ScansideError,
    ServerUnreachableError,
    SwapError,
    TransportError,
)
from scanside.runtime.wire import ModelCard

CONTROL_VARIABLE = "SCANSIDE_CONTROL"
CONTROL_FILE = Path("/run/scanside/control")
MESSAGE_LIMIT = 16 << 10
ANSWER_S = 10.0
LONGEST_PATH = 107
"""Linux's limit for the name of a socket, in bytes."""

Line = Annotated[str, msgspec.Meta(max_length=4096)]


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    pass


class Swap(_Message, frozen=True, kw_only=True, tag="SWAP"):
    """file: absolute path, read by the daemon. rollback: the store's previous bundle instead.
    force: one with an older serial too."""

    file: Line = ""
    force: bool = False
    rollback: bool = False


class Drain(_Message, frozen=True, kw_only=True, tag="DRAIN"):
    pass


class Reload(_Message, frozen=True, kw_only=True, tag="RELOAD"):
    """Read the trusted keys again, and hold the running model's key against them."""


class Ask(_Message, frozen=True, kw_only=True, tag="STATUS"):
    pass


class Progress(_Message, frozen=True, kw_only=True, tag="PROGRESS"):
    state: str


class Done(_Message, frozen=True, kw_only=True, tag="DONE"):
    """model: that answers from now on, where it was swapped."""

    text: str = ""
    model: ModelCard | None = None


class Failed(_Message, frozen=True, kw_only=True, tag="FAILED"):
    """Nothing was changed. kind: the error's class in `scanside.runtime.errors`."""

    kind: str
    text: str
    next_step: str = ""


class Situation(_Message, frozen=True, kw_only=True, tag="SITUATION"):
    """swap: how far a new model is, or empty. store: its folder, or empty."""

    state: str
    model: ModelCard | None
    swap: str = ""
    store: str = ""


Command = Swap | Drain | Reload | Ask
Answer = Progress | Done | Failed | Situation

_encoder = msgspec.msgpack.Encoder()
_commands: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
_Any = TypeVar("_Any")


def encode(message: Command | Answer) -> bytes:
    return _encoder.encode(message)


def decode_command(raw: bytes) -> Command:
    """Raises ProtocolError for anything that is no command."""
    return _decode(_commands, raw)


def failed(error: Exception) -> Failed:
    """What a client is told of an error; one that nobody thought of says only its type."""
    kind = type(error).__name__
    if isinstance(error, ScansideError):
        return Failed(kind=kind, text=error.message, next_step=error.next_step)
    return Failed(
        kind="SwapError", text=f"internal error, {kind}", next_step="see the daemon's log"
    )


def control_path(named: Path | None) -> Path:
    """`named`, else the file SCANSIDE_CONTROL, else /run/scanside/control."""
    return named or Path(os.environ.get(CONTROL_VARIABLE) or CONTROL_FILE)


def control_url(path: Path) -> str:
    """Raises TransportError for what cannot be the name of a local socket."""
    text = str(path)
    if "://" in text or ":/" in text:
        raise TransportError(
            f"{text} is not a file: commands are never taken over a network",
            next_step="name a file for the control socket",
        )
    absolute = str(path.absolute())
    if len(os.fsencode(absolute)) > LONGEST_PATH:
        raise TransportError(
            f"the control socket's path is over {LONGEST_PATH} bytes", next_step="use a shorter one"
        )
    return f"ipc://{absolute}"


def command(
    path: Path,
    message: Command,
    *,
    progress: Callable[[str], None] = lambda state: None,
    patience_s: float = ANSWER_S,
) -> Done | Situation:
    """Say a command to the daemon whose control socket is `path`, and wait for its answer.

    progress: told the states that a new model comes to. patience_s: for the first word; after that
    a swap may take as long as its plan takes to build, while the daemon is asked whether it lives.

    Raises the error that the daemon tells, ServerUnreachableError where nobody answers,
    RequestTimeoutError where it falls silent, ProtocolError for nonsense.
    """
    url = control_url(path)
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.MAXMSGSIZE, MESSAGE_LIMIT)
    try:
        _check_somebody_listens(path)
        socket.connect(url)
        socket.send(encode(message))
        return _hear(socket, path, progress, patience_s)
    finally:
        socket.close()
        context.term()


def _hear(
    socket: zmq.Socket[bytes], path: Path, progress: Callable[[str], None], patience_s: float
) -> Done | Situation:
    heard_of_us = False
    while True:
        if not socket.poll(int(patience_s * 1000)):
            if not heard_of_us:
                raise RequestTimeoutError(
                    f"the daemon at {path} did not answer within {patience_s:.0f} s",
                    next_step="see its log; systemd restarts one that hangs",
                )
            _check_somebody_listens(path)
            continue
        answer: Answer = _decode(_answers, socket.recv())
        if isinstance(answer, Progress):
            heard_of_us = True
            progress(answer.state)
        elif isinstance(answer, Failed):
            raise _told(answer)
        else:
            return answer


def _check_somebody_listens(path: Path) -> None:
    """ZeroMQ itself would wait for a daemon to come."""
    import socket

    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path.absolute()))
        except OSError as error:
            raise ServerUnreachableError(
                f"no daemon can be commanded at {path}: {error.strerror}",
                next_step="name the file that `scanside serve --control` was given, with --to",
            ) from error


def _told(answer: Failed) -> ScansideError:
    kind = getattr(errors, answer.kind, SwapError)
    if not (isinstance(kind, type) and issubclass(kind, ScansideError)):
        kind = SwapError
    try:
        error: ScansideError = kind(answer.text, next_step=answer.next_step)
    except TypeError:  # one that is made in another way, as MissingExtraError is
        error = SwapError(answer.text, next_step=answer.next_step)
    return error


def _decode(decoder: msgspec.msgpack.Decoder[_Any], raw: bytes) -> _Any:
    if len(raw) > MESSAGE_LIMIT:
        raise ProtocolError(f"a message of {len(raw)} bytes is over {MESSAGE_LIMIT}")
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError("the message is none of the control socket's") from error
