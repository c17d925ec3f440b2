"""Who is measured: each server, how it is started, and the ways in which clients reach it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from scanside.benchmarks.peers.server import free_ports

OURS = "Scanside"
FASTAPI, LITSERVE, PYTRITON = "FastAPI, raw bytes", "LitServe", "PyTriton"
SHARED, IPC, TCP = f"{OURS}, shm", f"{OURS}, ipc", f"{OURS}, tcp"
FASTAPI_TCP, FASTAPI_UNIX = f"{FASTAPI}, tcp", f"{FASTAPI}, unix socket"
HTTP, GRPC = f"{PYTRITON}, HTTP", f"{PYTRITON}, gRPC"
TRITON_SHARED = f"{PYTRITON}, gRPC and shared memory"
ENGINE = "onnxruntime"
HERE = "scanside.benchmarks.peers"
FLOOR = f"{HERE}.clients.in_process"
PYTRITON_PYTHON = "SCANSIDE_PYTRITON"
"""Variable that names the Python of PyTriton's environment; `make peers` makes it here:"""
PYTRITON_HERE = Path(".venv-pytriton/bin/python")
VERSIONS_S = 60.0
PROBE = """
import importlib.metadata as m, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = m.version(name)
    except m.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class Way(NamedTuple):
    """name: of a contender. client: module. prefix: of the address, for that client."""

    name: str
    client: str
    prefix: str = ""


class Service(NamedTuple):
    """One server. peer: whose. python: of its environment. command: from bundle and address.
    address: where it is to listen; chosen anew at each start. packages: distributions that it
    needs beside the engine's. files: of user code, modules of this package."""

    peer: str
    python: str
    command: Callable[[Path, str], list[str]]
    address: Callable[[Path], str]
    ways: tuple[Way, ...]
    says_ready: bool = False
    packages: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def services(threads: int, pytriton: Path | None = None) -> tuple[list[Service], list[str]]:
    """Those that can run here, ours first, and why others cannot. pytriton: the Python of its
    environment [SCANSIDE_PYTRITON, else .venv-pytriton in the working folder]."""
    found, notes = list(_ours(threads)), []
    for package, made in (("fastapi", _fastapi), ("litserve", _litserve)):
        if importlib.util.find_spec(package) is None or importlib.util.find_spec("uvloop") is None:
            notes.append(f"{package} is left out: not installed (pip install 'scanside[peers]')")
        else:
            found += made(threads)
    python, reason = find_pytriton(pytriton)
    if python is None:
        notes.append(f"{PYTRITON} is left out: {reason}")
    else:
        found += _pytriton(threads, str(python))
    return found, notes


def find_pytriton(named: Path | None) -> tuple[Path | None, str]:
    """The Python of an environment that has PyTriton and our engine, or None and the reason."""
    python = named or Path(os.environ.get(PYTRITON_PYTHON, PYTRITON_HERE))
    if not python.exists():
        return None, f"it needs an environment of its own, and {python} is not there (make peers)"
    there = versions(python, ["nvidia-pytriton", "tritonclient", ENGINE, "scanside"])
    if missing := [one for one in ("nvidia-pytriton", ENGINE, "scanside") if one not in there]:
        return None, f"its environment has no {', '.join(missing)} (make peers)"
    here = versions(Path(sys.executable), [ENGINE])
    if there[ENGINE] != here.get(ENGINE):
        return None, f"its environment has {ENGINE} {there[ENGINE]}, here is {here.get(ENGINE)}"
    return python.absolute(), ""


def versions(python: Path, names: Sequence[str]) -> dict[str, str]:
    """Those of the distributions that are installed in the environment of `python`."""
    try:
        done = subprocess.run(
            [python, "-c", PROBE, *names],
            capture_output=True,
            text=True,
            timeout=VERSIONS_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _ours(threads: int) -> list[Service]:
    def command(bundle: Path, address: str) -> list[str]:
        options = ["--engine", ENGINE, "--threads", str(threads), "--allow-unsigned"]
        serve = [sys.executable, "-m", "scanside.runtime", "serve", str(bundle)]
        return [*serve, "--bind", address, *options]

    client = f"{HERE}.clients.ours"
    tcp = (Way(TCP, client),)
    local = (Way(IPC, client), Way(SHARED, client, "shm+"))

    def served(address: Callable[[Path], str], ways: tuple[Way, ...]) -> Service:
        return Service(
            OURS, sys.executable, command, address, ways, True, ("scanside",), ("clients.ours",)
        )

    return [
        served(lambda folder: "tcp://127.0.0.1:*", tcp),
        served(lambda folder: f"ipc://{folder}/ours.sock", local),
    ]


def _peer(
    peer: str,
    threads: int,
    module: str,
    address: Callable[[Path], str],
    ways: tuple[Way, ...],
    packages: tuple[str, ...],
    python: str = sys.executable,
) -> Service:
    def command(bundle: Path, address: str) -> list[str]:
        return [python, "-m", f"{HERE}.{module}", str(bundle), ENGINE, str(threads), address]

    files = (module, ways[0].client.removeprefix(f"{HERE}."))
    return Service(peer, python, command, address, ways, False, packages, files)


def _fastapi(threads: int) -> list[Service]:
    client, packages = f"{HERE}.clients.http_raw", ("fastapi", "uvicorn[standard]")
    module = "servers.fastapi_raw"
    return [
        _peer(FASTAPI, threads, module, _loopback, (Way(FASTAPI_TCP, client),), packages),
        _peer(FASTAPI, threads, module, _unix, (Way(FASTAPI_UNIX, client),), packages),
    ]


def _litserve(threads: int) -> list[Service]:
    ways = (Way(f"{LITSERVE}, raw bytes, HTTP", f"{HERE}.clients.http_raw"),)
    return [_peer(LITSERVE, threads, "servers.litserve_raw", _loopback, ways, ("litserve",))]


def _pytriton(threads: int, python: str) -> list[Service]:
    ways = (
        Way(HTTP, f"{HERE}.clients.triton_http"),
        Way(GRPC, f"{HERE}.clients.triton_grpc"),
        Way(TRITON_SHARED, f"{HERE}.clients.triton_shm"),
    )
    packages = ("nvidia-pytriton",)
    module = "servers.pytriton_raw"
    return [_peer(PYTRITON, threads, module, _three_ports, ways, packages, python)]


def _loopback(folder: Path) -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


def _three_ports(folder: Path) -> str:
    return ":".join(["127.0.0.1", *map(str, free_ports(3))])


def _unix(folder: Path) -> str:
    return f"{folder}/fastapi.sock"
