"""Servers and clients of the benchmark as processes: counted whole, and gone at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra [workstation]")

from scanside.benchmarks.peers.callers import Caller, together
from scanside.benchmarks.peers.family import descendants, processor_seconds
from scanside.benchmarks.peers.footprint import memory
from scanside.benchmarks.peers.installed import closure, installed_bytes
from scanside.benchmarks.peers.server import free_ports, kept
from scanside.benchmarks.peers.services import FLOOR, find_pytriton
from scanside.benchmarks.peers.suite import frames_file
from scanside.benchmarks.serving.identity import write_identity
from scanside.runtime.errors import BenchmarkError

BURN_S = 0.4
BURN = f"""
import time
while time.process_time() < {BURN_S}:
    pass
"""
STUBBORN = """
import mmap, os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
held = open("/dev/shm/" + sys.argv[1], "w+b")
held.truncate(4096)
mapped = mmap.mmap(held.fileno(), 4096)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(60)
    os._exit(0)
os.wait()
print("ready: here, nothing", flush=True)
time.sleep(60)
"""
"""A server that ignores signals, with a grandchild in a session of its own and shared memory."""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(check, seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while not check():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_nothing_of_a_stubborn_server_outlives_the_block(tmp_path):
    name = f"scanside-test-{os.getpid()}"
    with kept([sys.executable, "-c", STUBBORN, name], "", tmp_path, grace=0.2) as server:
        server.wait_ready()
        assert server.address == "here"
        assert wait_until(lambda: len(server.processes()) == 2)  # the one between has ended
        pids = server.processes()
        assert Path("/dev/shm", name).exists()
    assert not any(map(alive, pids))
    assert not Path("/dev/shm", name).exists()
    assert not list(tmp_path.iterdir())


def test_nor_the_benchmark_itself_when_that_is_killed(tmp_path):
    name = f"scanside-killed-{os.getpid()}"
    script = f"""
import sys, time
from pathlib import Path
from scanside.benchmarks.peers.server import kept
with kept([sys.executable, "-c", {STUBBORN!r}, {name!r}], "", Path({str(tmp_path)!r}), 0.2) as one:
    one.wait_ready()
    print(*one.processes(), one.keeper, flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as benchmark:
        pids = [int(one) for one in benchmark.stdout.readline().split()]
        assert len(pids) >= 3
        assert all(map(alive, pids))
        benchmark.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not any(map(alive, pids)))
    assert not Path("/dev/shm", name).exists()


def test_a_server_that_ends_says_why(tmp_path):
    words = "import sys; sys.exit('no model of that name')"
    with (
        kept([sys.executable, "-c", words], "", tmp_path) as server,
        pytest.raises(BenchmarkError, match="no model of that name"),
    ):
        server.wait_ready()


def test_processor_time_is_that_of_children_too_and_stays_when_they_are_gone():
    parent = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}])
print("done", flush=True)
sys.stdin.read()
"""
    command = [
        sys.executable,
        "-c",
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {parent!r}])",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as root:
        assert root.stdout.readline() == b"done\n"
        assert len(descendants(root.pid)) == 1
        assert BURN_S <= processor_seconds(root.pid) + 0.02 < BURN_S + 2


def test_memory_is_the_sum_over_processes():
    command = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE) as one,
        subprocess.Popen(command, stdin=subprocess.PIPE) as two,
    ):
        pids = [one.pid, two.pid]
        assert wait_until(lambda: all(memory([pid]).rss_mb > 5 for pid in pids))
        time.sleep(0.2)  # until both have loaded all
        both, apart = memory(pids), [memory([pid]) for pid in pids]
        assert both.processes == 2
        assert both.rss_mb == pytest.approx(sum(each.rss_mb for each in apart), rel=0.05)
        assert both.pss_mb == pytest.approx(sum(each.pss_mb for each in apart), rel=0.05)
        assert 0 < both.pss_mb < both.rss_mb
    assert memory(pids) == (0, 0, 0)


def test_free_ports_are_free_and_different():
    import socket

    ports = free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        with socket.socket() as one:
            one.bind(("127.0.0.1", port))


def test_an_installation_is_what_its_requirements_name():
    there = closure(["rich"])
    assert {"rich", "markdown-it-py", "mdurl", "pygments"} <= set(there)
    assert installed_bytes(["rich"]) > installed_bytes(["mdurl"]) > 1000
    assert installed_bytes(["rich", "mdurl"]) == installed_bytes(["rich"])


def test_an_extra_brings_its_own():
    pytest.importorskip("uvicorn", reason="needs the extra [peers]")
    assert "uvloop" not in closure(["uvicorn"])
    assert {"uvloop", "httptools"} <= set(closure(["uvicorn[standard]"]))


def test_pytriton_is_left_out_with_a_reason(tmp_path):
    python, reason = find_pytriton(tmp_path / "bin" / "python")
    assert python is None
    assert "make peers" in reason
    python, reason = find_pytriton(Path(sys.executable))
    assert python is None
    assert "nvidia-pytriton" in reason
    other = tmp_path / "python"
    versions = (
        '{"nvidia-pytriton": "1", "tritonclient": "1", "onnxruntime": "0.1", "scanside": "1"}'
    )
    other.write_text(f"#!/bin/sh\necho '{versions}'\n")
    other.chmod(0o755)
    python, reason = find_pytriton(other)
    assert python is None
    assert "onnxruntime 0.1" in reason


# Clients


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The floor's address, and a file of frames and answers."""
    folder = tmp_path_factory.mktemp("frames")
    bundle = folder / "near-identity.scanside"
    write_identity(bundle)
    return f"{bundle}|onnxruntime|1", frames_file(bundle, 64, 1, folder)


def test_clients_count_frames_and_time_every_call(served):
    address, frames = served
    with Caller(sys.executable, FLOOR, frames) as one, Caller(sys.executable, FLOOR, frames) as two:
        before = time.monotonic()
        assert before < one.connect(address) < time.monotonic()
        two.connect(address)
        found = one.call(7)
        assert len(found.times) == len(found.inside) == 7
        assert min(found.times) > 0
        assert found.inside == [None] * 7
        flows = together([one, two], 0.3)
        assert all(flow.frames > 3 and 0.3 <= flow.seconds < 3 for flow in flows)
        assert all(flow.processor_s > 0 for flow in flows)


def test_a_wrong_answer_ends_the_measurement(served, tmp_path):
    address, frames = served
    with np.load(frames) as held:
        words, expected = held["words"], held["expected"].copy()
    expected[2, 5, 5] ^= 1
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, words=words, expected=expected)
    with Caller(sys.executable, FLOOR, wrong) as one:
        one.connect(address)
        one.call(2)
        with pytest.raises(BenchmarkError, match=r"1 answers .* differ"):
            one.call(3)
        with pytest.raises(BenchmarkError, match="differ"):
            together([one], 0.2)


def test_a_first_answer_that_is_wrong_is_none(served, tmp_path, monkeypatch):
    from scanside.benchmarks.peers import callers

    monkeypatch.setattr(callers, "READY_S", 0.1)
    monkeypatch.setattr(callers, "SLICE_S", 0.1)
    address, frames = served
    with np.load(frames) as held:
        wrong = tmp_path / "wrong.npz"
        np.savez(wrong, words=held["words"], expected=held["expected"] ^ 1)
    with (
        Caller(sys.executable, FLOOR, wrong) as one,
        pytest.raises(BenchmarkError, match="differs from the engine"),
    ):
        one.connect(address)


def test_a_client_that_ends_or_says_nothing_ends_the_measurement(served, monkeypatch):
    from scanside.benchmarks.peers import callers

    _, frames = served
    with Caller(sys.executable, FLOOR, frames) as unconnected:
        with pytest.raises(BenchmarkError, match="the first order is to connect"):
            unconnected.call(1)
        with pytest.raises(BenchmarkError, match="before its time"):
            unconnected.call(1)
    monkeypatch.setattr(callers, "HEAR_S", 1.0)
    with (
        Caller(sys.executable, FLOOR, frames) as silent,
        pytest.raises(BenchmarkError, match="it said nothing"),
    ):
        silent._hear(callers.Trips)  # it was told nothing
