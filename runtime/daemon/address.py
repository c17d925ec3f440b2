"""Where the daemon may listen, and taking that address."""

from __future__ import annotations

import errno
import ipaddress
import socket

import zmq

from scanside.runtime.errors import AddressInUseError, TransportError

_ADVICE = "bind to tcp://127.0.0.1:PORT or ipc://PATH"


def check_private(url: str) -> None:
    """Return when `url` is reachable from this machine only, else raise TransportError.

    Without keys the daemon listens on loopback and ipc alone: frames are patients' images.
    """
    scheme, _, address = url.partition("://")
    if scheme == "ipc" and address:
        return
    host, colon, port = address.rpartition(":")
    if scheme != "tcp" or not colon or not (port == "*" or _is_port(port)):
        raise TransportError(f"{url} is not an address to listen on", next_step=_ADVICE)
    if not _is_loopback(host):
        raise TransportError(
            f"{url} can be reached from other machines, and frames would travel unencrypted",
            next_step=f"{_ADVICE}; encrypted tcp (CURVE keys) comes with a later version",
        )


def bind(router: zmq.Socket[bytes], url: str) -> str:
    """Take a private address and return it, with the port that was chosen for `*`.

    Raises AddressInUseError, or TransportError when the address cannot be had.
    """
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


def _check_nobody_listens(url: str) -> None:
    """ZeroMQ would unlink a living daemon's ipc socket and take its place without a word."""
    scheme, _, path = url.partition("://")
    if scheme != "ipc" or path.startswith("@"):
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
