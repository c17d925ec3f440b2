"""Where the daemon may listen, and taking that address."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from pathlib import Path

import zmq

from scanside.runtime.errors import AddressInUseError, TransportError

_ADVICE = "bind to tcp://127.0.0.1:PORT or ipc://PATH"
_KEYS = "give it keys: --keys FOLDER, see docs/keys.md"


def is_private(url: str) -> bool:
    """Whether `url` can be reached from this machine only.

    Raises TransportError for what is no address to listen on.
    """
    scheme, _, address = url.partition("://")
    if scheme == "ipc" and address:
        return True
    host, colon, port = address.rpartition(":")
    if scheme != "tcp" or not host or not colon or not (port == "*" or _is_port(port)):
        raise TransportError(f"{url} is not an address to listen on", next_step=_ADVICE)
    return _is_loopback(host)


def check_private(url: str) -> None:
    """Return when `url` is reachable from this machine only, else raise TransportError.

    Without keys the daemon listens on loopback and ipc alone: frames are patients' images.
    """
    if not is_private(url):
        raise TransportError(
            f"{url} can be reached from other machines, and frames would travel unencrypted",
            next_step=f"{_KEYS} (CURVE); or {_ADVICE}",
        )


def bind(router: zmq.Socket[bytes], url: str) -> str:
    """Take an address and return it, with the port that was chosen for `*`. It must be private,
    unless the socket asks for keys.

    Raises AddressInUseError, or TransportError when the address cannot be had.
    """
    # The socket is asked, not whoever calls: what is not locked never leaves this machine.
    if not is_private(url) and not (zmq.has("curve") and router.get(zmq.CURVE_SERVER)):
        check_private(url)
    _check_nobody_listens(url)
    try:
        router.bind(url)
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            raise _in_use(url) from error
        raise TransportError(
            f"cannot listen on {url}: {zmq.strerror(error.errno or 0)}", next_step=_ADVICE
        ) from error
    return router.get_string(zmq.LAST_ENDPOINT)


def give_up(url: str) -> None:
    """Remove the file of an ipc address, which ZeroMQ leaves. To be called while the socket is
    still open: nobody else can have taken its place until then."""
    path = _ipc_file(url)
    if path is not None:
        with contextlib.suppress(OSError):
            Path(path).unlink()


def _ipc_file(url: str) -> str | None:
    scheme, _, path = url.partition("://")
    return path if scheme == "ipc" and not path.startswith("@") else None


def _check_nobody_listens(url: str) -> None:
    """ZeroMQ would unlink a living daemon's ipc socket and take its place without a word."""
    path = _ipc_file(url)
    if path is None:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return
    raise _in_use(url)


def _in_use(url: str) -> AddressInUseError:
    return AddressInUseError(
        f"{url} is in use",
        next_step="stop the daemon that listens there, or choose another address with --bind",
    )


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 65536


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
