"""Raw bytes over one HTTP connection that stays open, on tcp or a unix socket.

The standard library's client: it sends an array's own memory and reads into one, so that neither
way copies; TCP_NODELAY is its default.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

import numpy as np

from scanside.runtime.frame import Pixels

HEADERS = {"Content-Type": "application/octet-stream"}


class UnixConnection(HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.host)


class HttpClient:
    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection

    def ask(self, words: Pixels) -> Pixels:
        rows, columns = words.shape
        path = f"/enhance?rows={rows}&columns={columns}"
        self._connection.request("POST", path, body=words.data, headers=HEADERS)
        answer = self._connection.getresponse()
        if answer.status != 200:
            raise ConnectionError(f"HTTP {answer.status}")
        pixels = np.empty_like(words)
        answer.readinto(pixels.data.cast("B"))
        answer.read()
        return pixels


@contextmanager
def connect(address: str) -> Iterator[HttpClient]:
    kind = UnixConnection if address.startswith("/") else HTTPConnection
    connection = kind(address, timeout=30)
    connection.connect()
    yield HttpClient(connection)
    connection.close()
