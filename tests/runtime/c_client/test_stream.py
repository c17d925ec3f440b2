"""The C client's frames against daemons real and false: every one is answered for."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from conftest import REPOSITORY

from bundles import write_test_bundle
from compiled_client import ANSWERED, CT, FILES, LOST, SOURCES, USAGE, joined, pattern
from daemons import (
    SOON_S,
    WELCOME,
    AddOne,
    Answer,
    Gate,
    frame,
    loader,
    pretender,
    result_for,
    running,
    serving,
)
from scanside.runtime import Client, FrameFacts, wire
from scanside.runtime.wire import Outcome, Reason


@pytest.mark.parametrize("scale", [1, 2])
def test_a_hundred_frames_are_bit_equal_to_the_python_clients(
    start: Any, tmp_path: Path, scale: int
) -> None:
    from scanside.benchmarks.served import serving as serving_bundle

    rng = np.random.default_rng(0)
    frames = [rng.integers(-200, 1500, (31, 45)).astype(np.int16) for _ in range(100)]
    bundle = write_test_bundle(
        tmp_path / "some.scanside", scale=scale, residual=0.02, multiple_of=4, receptive_field=4
    )
    with serving_bundle(bundle, "--allow-unsigned", "--threads", "1") as url:
        sent = start(url, frames, "-i", "-1024", "-d", "10000")()
        with Client(url) as client:
            results = list(client.stream((pixels, CT) for pixels in frames))
    assert sent.code == ANSWERED, sent.errors
    assert sent.words == [result.outcome.value for result in results] == ["enhanced"] * 100
    assert sent.lines[7] == f"7 enhanced - {31 * scale} {45 * scale}"
    expected = [result.pixels for result in results if result.pixels is not None]
    assert scale > 1 or any((new != old).any() for new, old in zip(expected, frames, strict=True))
    assert sent.pixels == joined(expected)


@pytest.mark.parametrize("kind", ["uint16", "int16"])
def test_words_of_every_value_arrive_little_endian_and_in_order(start: Any, kind: str) -> None:
    frames = [(np.arange(1 << 16) + seq).astype(kind).reshape(256, 256).copy() for seq in range(5)]
    with serving() as url:
        sent = start(url, frames)()
    assert sent.code == ANSWERED, sent.errors
    assert sent.pixels == joined([one + one.dtype.type(1) for one in frames])


def test_a_made_up_pattern_needs_no_file(start: Any) -> None:
    with serving() as url:
        sent = start(url, 20)()
    assert sent.pixels == joined([pattern(seq) + np.uint16(1) for seq in range(20)])


def test_what_it_says_means_what_the_python_client_says(start: Any) -> None:
    context = zmq.Context()
    with context.socket(zmq.ROUTER) as router:
        router.bind("tcp://127.0.0.1:*")
        options = ["-m", "MR", "-b", "12", "-s", "1.5", "-i", "-0.1", "-d", "40"]
        pixels = frame(0).astype(np.int16)
        wait = start(router.get_string(zmq.LAST_ENDPOINT), [pixels], *options)
        peer, hello = router.recv_multipart()
        router.send_multipart([peer, msgspec.msgpack.encode(WELCOME)])
        _, header, part = router.recv_multipart()
        router.send_multipart([peer, wire.encode(wire.Ping())])
        pong = router.recv_multipart()[1]
        result = result_for(msgspec.msgpack.decode(header))
        router.send_multipart([peer, msgspec.msgpack.encode(result), part])
        bye = router.recv_multipart()[1]
        assert wait().code == ANSWERED
    context.term()
    facts = FrameFacts(modality="MR", bits_stored=12, signed=True, slope=1.5, intercept=-0.1)
    python = wire.Frame(
        stream="default",
        seq=0,
        rows=16,
        columns=24,
        dtype="int16",
        facts=facts,
        deadline_ms=40.0,
    )
    expected = [wire.Hello(versions=(1,)), python, wire.Pong(), wire.Bye()]
    said = [wire.decode_from_client(zmq.Frame(one)) for one in (hello, header, pong, bye)]
    assert said == expected
    assert part == pixels.tobytes()


@pytest.mark.parametrize("credit", [1, 3, 40])
def test_no_more_frames_are_on_their_way_than_the_credit(start: Any, credit: int) -> None:
    waiting: list[tuple[dict[str, Any], list[bytes]]] = []
    most = 0
    pinged = threading.Event()

    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        nonlocal most
        if message["type"] == "HELLO":
            return [[WELCOME | {"credit": credit, "silence_s": 0.3}]]
        if message["type"] == "FRAME":
            waiting.append((message, parts))
            most = max(most, len(waiting))
            return []
        # It has sent all it may, and nothing for half the silence: answer the newest first.
        pinged.set()
        answers = [[result_for(m), *parts] for m, parts in reversed(waiting)]
        waiting.clear()
        return [[{"type": "PONG"}], *answers]

    with pretender(answer) as url:
        sent = start(url, 20 if credit > 1 else 4)()
    assert sent.code == ANSWERED, sent.errors
    assert pinged.is_set()
    assert most == min(credit, 16)
    assert sent.pixels == joined([pattern(seq) for seq in range(len(sent.lines))])


def test_what_the_daemon_passes_on_or_refuses_is_said_and_the_original_kept(start: Any) -> None:
    gate = Gate()
    frames = [frame(seq) for seq in range(3)]
    with serving(AddOne(gate)) as url:
        late = start(url, frames, "-d", "30")()
        gate.open.release()
        assert start(url, frames, "-m", "MR")().reasons == ["wrong modality"] * 3
        refused = start(url, frames, "-d", "0")()
    assert (late.code, late.words, late.reasons) == (ANSWERED, ["bypassed"] * 3, ["late"] * 3)
    assert (refused.words, refused.reasons) == (["refused"] * 3, ["malformed"] * 3)
    assert late.pixels == refused.pixels == joined(frames)


def test_an_idle_client_keeps_its_session_with_ping_and_pong(start: Any) -> None:
    with serving(silence_s=0.2) as url:
        assert start(url, 3, "-p", "500")().words == ["enhanced"] * 3


def test_a_daemon_that_drains_leaves_the_rest_unanswered(start: Any) -> None:
    seen = threading.Semaphore(0)
    with running(loader(AddOne(lambda pixels: seen.release()))) as daemon:
        wait = start(daemon.url, 1000, "-p", "20")
        for _ in range(3):
            assert seen.acquire(timeout=SOON_S)
        daemon.drain()
        sent = wait()
    assert sent.code == LOST
    assert len(sent.words) == 1000
    enhanced = sent.words.count("enhanced")
    assert enhanced >= 3
    assert sent.words[-1] == "unanswered"
    expected = [pattern(seq) + np.uint16(sent.words[seq] == "enhanced") for seq in range(1000)]
    assert sent.pixels == joined(expected)


def test_a_daemon_that_is_killed_is_noticed_at_once(start: Any, tmp_path: Path) -> None:
    bundle, url = write_test_bundle(tmp_path / "some.scanside"), f"ipc://{tmp_path}/socket"
    command = [sys.executable, "-m", "scanside.runtime", "serve", str(bundle), "--bind", url]
    with subprocess.Popen([*command, "--allow-unsigned", "--threads", "1"]) as daemon:
        with Client(url) as client:
            while client.status().state != "READY":
                time.sleep(0.01)
            before = client.status().counters.enhanced
            wait = start(url, 1000, "-p", "10", "-t", "60000")
            while client.status().counters.enhanced < before + 3:
                time.sleep(0.01)
        daemon.kill()
        sent = wait()
    assert (sent.code, len(sent.words), sent.words[-1]) == (LOST, 1000, "unanswered")
    assert 3 <= sent.words.count("enhanced") < 1000
    assert "the daemon has gone" in sent.errors


def test_a_daemon_that_hangs_is_given_up_after_the_timeout(start: Any) -> None:
    gate = Gate()
    with serving(AddOne(gate), drain_s=0.0) as url:
        sent = start(url, 5, "-t", "300")()
        for _ in range(5):
            gate.open.release()
    assert (sent.code, sent.words) == (LOST, ["unanswered"] * 5)
    assert "no result came in time" in sent.errors
    assert sent.pixels == joined([pattern(seq) for seq in range(5)])


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:9", "ipc:///nowhere/at/all", "nonsense"])
def test_nobody_there_is_said_in_time_and_no_frame_is_lost(start: Any, url: str) -> None:
    sent = start(url, 2, "-t", "200")()
    assert (sent.code, sent.words) == (LOST, ["unanswered"] * 2)
    assert sent.pixels == joined([pattern(0), pattern(1)])


def test_a_file_that_is_short_ends_with_an_error_after_what_it_held(
    start: Any, program: Path, tmp_path: Path
) -> None:
    raw, out = tmp_path / "short.raw", tmp_path / "out.raw"
    raw.write_bytes(joined([frame(0), frame(1)])[:-1])
    with serving() as url:
        arguments = [url, "uint16", "16", "24", "2", str(raw), str(out)]
        done = subprocess.run([str(program), *arguments], capture_output=True, timeout=SOON_S)
        full = [*arguments[:-2], str(raw), "/dev/full"]
        assert subprocess.run([str(program), *full], timeout=SOON_S).returncode == FILES
    assert done.returncode == FILES
    assert out.read_bytes() == (frame(0) + np.uint16(1)).tobytes()


@pytest.mark.parametrize(
    "changes",
    [
        {1: "uint8"},
        {2: "0"},
        {3: "70000"},
        {2: "60000", 3: "60000"},
        {6: "more", 5: ""},
    ],
)
def test_wrong_arguments_are_told_apart(
    program: Path, tmp_path: Path, changes: dict[int, str]
) -> None:
    arguments = ["tcp://127.0.0.1:9", "uint16", "16", "24", "1", "pattern", str(tmp_path / "o")]
    for place, text in changes.items():
        arguments[place] = text
    if 5 in changes:
        del arguments[5]
    assert subprocess.run([str(program), *arguments], timeout=SOON_S).returncode == USAGE


def test_the_documented_line_compiles_it(program: Path, tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "wire-v1.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith("gcc "))
    line = line.replace("-o scanside_send", f"-o {tmp_path}/scanside_send")
    subprocess.run(line, shell=True, check=True, cwd=REPOSITORY, timeout=SOON_S * 6)
    assert subprocess.run([f"{tmp_path}/scanside_send"], timeout=SOON_S).returncode == USAGE


def test_it_knows_every_reason_and_every_error_of_the_wire() -> None:
    source = (SOURCES / "session.h").read_text()
    for word in [*Reason, *wire.ErrorCode]:
        assert f'"{word.value}"' in source
    for outcome in Outcome:
        assert f'"{outcome.value}"' in source
