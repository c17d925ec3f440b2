"""CURVE keys: who may talk to a daemon over the wire, and that nobody else reads along.

A folder of keys holds, for a daemon, its pair `server.key` and in `clients/` the public keys
`NAME.pub` of all who may come in; for a client its pair `client.key` and the daemon's `server.pub`.
A device on which both run has them in one folder. The files are certificates as czmq and pyzmq
write and read them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from scanside.runtime.errors import KeyFileError, OutputExistsError
from scanside.runtime.files import remove_files

KEYS_VARIABLE = "SCANSIDE_KEYS"
SECRET, PUBLIC = ".key", ".pub"
SERVER, CLIENT, CLIENTS = "server", "client", "clients"
MOST_CLIENTS = 1024
MOST_BYTES = 4096
_Z85 = rb"[0-9a-zA-Z.:+=^!/*?&<>()\[\]{}@%$#-]"
_LINE = re.compile(rb'\s*(public|secret)-key\s*=\s*"(' + _Z85 + rb'{40})"\s*\Z')
_BANNER = {
    "public": "# A Scanside wire key (ZeroMQ CURVE): public, give it away.\n",
    "secret": "# A Scanside wire key (ZeroMQ CURVE): SECRET, it stays on this machine.\n",
}


@dataclass(frozen=True)
class Pair:
    """Both in Z85, 40 characters."""

    public: bytes
    secret: bytes = field(repr=False)


def key_id(public: bytes) -> str:
    """sha256 (hex) of a public key's 32 bytes, given in Z85: what people compare by telephone."""
    return hashlib.sha256(z85.decode(public)).hexdigest()


@dataclass(frozen=True)
class ClientKeys:
    """A client's pair, and the public key of the daemon that it means to talk to, in Z85."""

    pair: Pair
    server: bytes

    @classmethod
    def load(cls, folder: Path) -> ClientKeys:
        """Raises KeyFileError where either is missing, broken, or the secret open to others."""
        return cls(load_pair(folder / (CLIENT + SECRET)), load_public(folder / (SERVER + PUBLIC)))

    @classmethod
    def of(cls, folder: str | os.PathLike[str] | None) -> ClientKeys | None:
        """Of `folder`; where it is None, of the folder SCANSIDE_KEYS; None without either."""
        named = os.environ.get(KEYS_VARIABLE) if folder is None else folder
        return cls.load(Path(named)) if named else None

    def lock(self, socket: zmq.Socket[bytes]) -> None:
        """Make a client's socket speak to the daemon that holds the server key, and no other."""
        socket.set(zmq.CURVE_SERVERKEY, self.server)
        socket.set(zmq.CURVE_PUBLICKEY, self.pair.public)
        socket.set(zmq.CURVE_SECRETKEY, self.pair.secret)


def new_pair(path: Path) -> str:
    """Make NAME.key (secret, mode 0600) and NAME.pub for the path NAME or NAME.key; returns its id.

    Raises OutputExistsError where either is there, KeyFileError where they cannot be written. On
    any error neither was made.
    """
    stem = path.with_suffix("") if path.suffix == SECRET else path
    secret, public = (stem.with_name(stem.name + suffix) for suffix in (SECRET, PUBLIC))
    for one in (secret, public):
        if one.exists():
            raise _exists(one)
    public_key, secret_key = zmq.curve_keypair()
    lines = f'curve\n    public-key = "{public_key.decode()}"\n'
    more = f'    secret-key = "{secret_key.decode()}"\n'
    _write(secret, _BANNER["secret"] + lines + more, 0o600)
    try:
        _write(public, _BANNER["public"] + lines, 0o644)
    except BaseException:
        remove_files([secret])
        raise
    return key_id(public_key)


def load_pair(path: Path) -> Pair:
    """Raises KeyFileError for a secret that is missing, open to others, or not its public key's."""
    raw, mode = _read(path)
    if mode & 0o077:
        raise KeyFileError(
            f"the secret key {path} may be read by others (mode {mode:04o})",
            next_step=f"chmod 600 {path}, or make a new one if others may have read it",
        )
    found = _keys(raw)
    if set(found) != {"public", "secret"} or zmq.curve_public(found["secret"]) != found["public"]:
        raise KeyFileError(
            f"{path} is not a secret wire key", next_step="make one: scanside keys new NAME --wire"
        )
    return Pair(found["public"], found["secret"])


def load_public(path: Path) -> bytes:
    """A public key in Z85. Raises KeyFileError for one that is missing, broken, or a secret."""
    found = _keys(_read(path)[0])
    if "secret" in found:
        raise KeyFileError(
            f"{path} holds a secret key, which must never leave its machine",
            next_step="make a new pair, and copy its file .pub only",
        )
    if "public" not in found:
        raise KeyFileError(
            f"{path} is not a public wire key", next_step="make one: scanside keys new NAME --wire"
        )
    return found["public"]


def is_wire_key(path: Path) -> bool:
    """Whether the file is one of these, public or secret. Raises KeyFileError as `load_public`."""
    return bool(_keys(_read(path)[0]))


def read_clients(folder: Path) -> tuple[dict[str, Path], list[KeyFileError]]:
    """The clients that may come in, by the ids of their keys, and what is wrong with the others.

    Whoever may write to the folder decides who comes in: one that others may write to allows
    nobody, nor does a file.
    """
    try:
        _check_guarded(folder)
        files = sorted(one for one in folder.iterdir() if one.suffix == PUBLIC)
    except KeyFileError as error:
        return {}, [error]
    except OSError as error:
        return {}, [_unreadable(folder, error)]
    if len(files) > MOST_CLIENTS:
        return {}, [
            KeyFileError(f"{folder} holds over {MOST_CLIENTS} keys", next_step="remove old ones")
        ]
    clients: dict[str, Path] = {}
    wrong: list[KeyFileError] = []
    for file in files:
        try:
            _check_guarded(file)
            clients[key_id(load_public(file))] = file
        except KeyFileError as error:
            wrong.append(error)
    if not clients and not wrong:
        wrong.append(
            KeyFileError(
                f"{folder} holds no client's public key, so nobody could come in",
                next_step=f"copy the client's client.pub there as {CLIENTS}/NAME.pub",
            )
        )
    return clients, wrong


def _check_guarded(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise _unreadable(path, error) from error
    if mode & 0o022:
        raise KeyFileError(
            f"{path} may be written to by others (mode {mode:04o}), who could let anybody in",
            next_step=f"chmod go-w {path}, and look at what is there",
        )


def _keys(raw: bytes) -> dict[str, bytes]:
    """By "public" and "secret"; none at all where a key stands twice."""
    matches = [match for match in map(_LINE.match, raw.splitlines()) if match]
    found = {match[1].decode(): match[2] for match in matches}
    try:
        sizes = {len(z85.decode(key)) for key in found.values()}
    except Exception:  # noqa: BLE001 - pyzmq does not say how it refuses five digits over 2^32
        return {}
    return found if len(found) == len(matches) and sizes <= {32} else {}


def _read(path: Path) -> tuple[bytes, int]:
    """Contents and mode of one and the same file, whoever renames what meanwhile."""
    try:
        # A pipe must not make the daemon wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
                raise KeyFileError(f"{path} is not a key file", next_step="check the path")
            return stream.read(MOST_BYTES), stat.S_IMODE(status.st_mode)
    except OSError as error:
        raise _unreadable(path, error) from error


def _write(path: Path, text: str, mode: int) -> None:
    """A new file that is whole or not there, and never had a wider mode, whatever the umask."""
    beside = path.with_name(f".{uuid.uuid4().hex}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        try:
            with os.fdopen(os.open(beside, flags, mode), "w", encoding="ascii") as stream:
                if stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & ~mode:
                    raise OSError(errno.EPERM, "this file system keeps no permissions")
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(beside, path)  # a rename would replace a key that came meanwhile
        finally:
            if beside.exists():
                remove_files([beside])
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise KeyFileError(
            f"{path} cannot be written: {error.strerror}",
            next_step="make the folder first, or name another one",
        ) from error


def _exists(path: Path) -> OutputExistsError:
    return OutputExistsError(f"{path} exists already", next_step="choose another name")


def _unreadable(path: Path, error: OSError) -> KeyFileError:
    return KeyFileError(
        f"{path} cannot be read: {error.strerror}",
        next_step="docs/keys.md says which key lies where, and whose file it is",
    )
