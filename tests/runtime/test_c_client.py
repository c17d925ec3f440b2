"""The C client, compiled with every warning and sanitizer, against daemons real and false."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from conftest import REPOSITORY

from bundles import write_test_bundle
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
from scanside.runtime.frame import Pixels
from scanside.runtime.wire import Outcome, Reason
from wire_keys import make_client_keys, make_daemon_keys

SOURCES = REPOSITORY / "clients" / "c"
STRICT = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
ANSWERED, FILES, USAGE, LOST = 0, 1, 2, 7
CT = FrameFacts(modality="CT", bits_stored=16, signed=True, intercept=-1024.0)


def compiled(source: Path, out: Path, *options: str) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here")
    done = subprocess.run(
        ["gcc", *STRICT, *SANITIZERS, f"-I{SOURCES}", str(source), "-o", str(out), *options],
        capture_output=True,
        text=True,
        timeout=SOON_S * 6,
    )
    if "sanitizers" in done.stderr or "cannot find -lasan" in done.stderr:
        pytest.skip("this gcc has no sanitizers")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("pkg-config") is None:
        pytest.skip("no pkg-config here")
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libzmq"], capture_output=True, text=True
    )
    if flags.returncode != 0:
        pytest.skip("no headers of libzmq here: install libzmq3-dev")
    out = tmp_path_factory.mktemp("c") / "scanside_send"
    return compiled(SOURCES / "scanside_send.c", out, *flags.stdout.split())


class Sent:
    """One run of the program: its exit code, a line for each frame, and the pixels it wrote."""

    def __init__(self, process: subprocess.Popen[str], out: Path) -> None:
        text, self.errors = process.communicate(timeout=SOON_S * 3)
        self.code = process.returncode
        assert "Sanitizer" not in self.errors
        assert "runtime error" not in self.errors
        assert self.code in (ANSWERED, FILES, USAGE, LOST), (self.code, self.errors)
        self.lines = text.splitlines()
        self.words = [line.split(" ")[1] for line in self.lines]
        self.reasons = [" ".join(line.split(" ")[2:-2]) for line in self.lines]
        self.pixels = out.read_bytes() if out.exists() else b""


@pytest.fixture
def start(program: Path, tmp_path: Path) -> Iterator[Any]:
    """Start the program on these frames of one type and shape, or on its own pattern."""
    started: list[subprocess.Popen[str]] = []

    def run(url: str, frames: list[Pixels] | int, *options: str) -> Any:
        out = tmp_path / f"out{len(started)}.raw"
        if isinstance(frames, int):
            source, like, count = "pattern", np.zeros((16, 24), np.uint16), frames
        else:
            source, like, count = str(tmp_path / f"in{len(started)}.raw"), frames[0], len(frames)
            Path(source).write_bytes(
                b"".join(one.astype("<" + one.dtype.str[1:]) for one in frames)
            )
        shape = [str(side) for side in like.shape]
        arguments = [url, like.dtype.name, *shape, str(count), source, str(out)]
        process = subprocess.Popen(
            [str(program), *options, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return lambda: Sent(process, out)

    yield run
    for process in started:
        process.kill()
        process.communicate()


def pattern(seq: int) -> Pixels:
    return ((np.arange(16 * 24) * 7 + seq * 131) & 0xFFF).astype(np.uint16).reshape(16, 24)


def joined(frames: list[Pixels]) -> bytes:
    return b"".join(one.tobytes() for one in frames)


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


def lies(message: dict[str, Any], pixels: bytes) -> dict[str, list[Any]]:
    """Answers to a FRAME that no daemon may give."""
    good = result_for(message)
    return {
        "another frame's": [good | {"seq": 77}, pixels],
        "another stream's": [good | {"stream": "s"}, pixels],
        "rows": [good | {"rows": 15}, pixels],
        "columns": [good | {"columns": 25}, pixels],
        "a scale that no model has": [
            good | {"scale": 3, "rows": 48, "columns": 72},
            pixels * 9,
        ],
        "dtype": [good | {"dtype": "int16"}, pixels],
        "scale": [good | {"scale": 2}, pixels],
        "scale 0": [good | {"scale": 0, "rows": 0, "columns": 0}, b""],
        "a scale that overflows": [good | {"scale": 2**63}, pixels],
        "scale of a bypass": [
            good | {"scale": 2, "rows": 32, "columns": 48, "outcome": "bypassed", "reason": "late"},
            pixels * 4,
        ],
        "unanswered": [good | {"outcome": "unanswered"}, pixels],
        "refused, with pixels": [good | {"outcome": "refused", "reason": "malformed"}, pixels],
        "refused for a reason of bypasses": [good | {"outcome": "refused", "reason": "late"}],
        "an unknown reason": [good | {"outcome": "bypassed", "reason": "tired"}, pixels],
        "no pixels": [good],
        "too few pixels": [good, pixels[1:]],
        "too many parts": [good, pixels, pixels],
        "no seq": [{key: value for key, value in good.items() if key != "seq"}, pixels],
        "a negative seq": [good | {"seq": -1}, pixels],
        "an unknown type": [good | {"type": "RESULTS"}, pixels],
        "a list": [[1, 2, 3]],
        "a header over the limit": [good | {"more": "x" * wire.HEADER_LIMIT}, pixels],
        "an error": [{"type": "ERROR", "code": "no session", "text": "x"}],
        "an unknown error": [{"type": "ERROR", "code": "%s%n", "text": "%s"}],
        "a welcome of another version": [WELCOME | {"version": 2}],
        "a welcome without credit": [WELCOME | {"credit": 0}],
        "a welcome for no time": [WELCOME | {"silence_s": float("nan")}],
    }


NAMES = list(lies(result_for({"stream": "", "seq": 0, "rows": 1, "columns": 1, "dtype": ""}), b""))


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_the_wire_does_not_allow_ends_the_session(start: Any, name: str) -> None:
    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        if message["type"] != "FRAME":
            return []
        return (
            [lies(message, parts[0])[name]]
            if message["seq"] == 2
            else [[result_for(message), *parts]]
        )

    with pretender(answer) as url:
        sent = start(url, 6)()
    assert (sent.code, sent.words) == (LOST, ["enhanced"] * 2 + ["unanswered"] * 4), sent.errors
    assert sent.pixels == joined([pattern(seq) for seq in range(6)])
    assert sent.reasons == ["-"] * 6


def test_two_results_for_one_frame_end_the_session(start: Any) -> None:
    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        result = [result_for(message), *parts] if message["type"] == "FRAME" else []
        return [result, result] if result else []

    with pretender(answer) as url:
        assert start(url, 3)().code == LOST


def test_with_keys_it_is_served_and_bit_equal_to_the_python_client(
    start: Any, tmp_path: Path
) -> None:
    daemon = make_daemon_keys(tmp_path / "daemon")
    known = make_client_keys(tmp_path / "known", daemon, known_as="appliance")
    frames = [frame(seq, (64, 100)) for seq in range(20)]
    with locked(daemon) as url:
        sent = start(url, frames, "-k", str(known))()
        with Client(url, keys=known, shared_memory=False) as client:
            facts = FrameFacts(modality="CT", bits_stored=16, signed=False)
            results = list(client.stream((pixels, facts) for pixels in frames))
    assert (sent.code, sent.words) == (ANSWERED, ["enhanced"] * 20), sent.errors
    assert sent.pixels == joined([one.pixels for one in results if one.pixels is not None])


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("", "the daemon asks for keys"),
        ("stranger", "the daemon does not let this key in"),
        ("elsewhere", "server.pub is not the daemon's key"),
        ("open", "no client.key (mode 0600)"),
        ("nowhere", "no client.key (mode 0600)"),
        ("cut", "no client.key (mode 0600)"),
    ],
)
def test_keys_that_do_not_fit_are_said_at_once(
    start: Any, tmp_path: Path, keys: str, why: str
) -> None:
    daemon = make_daemon_keys(tmp_path / "daemon")
    other = make_daemon_keys(tmp_path / "other")
    make_client_keys(tmp_path / "stranger", daemon)
    for name, its in (("elsewhere", other), ("open", daemon), ("cut", daemon)):
        make_client_keys(tmp_path / name, its, known_as=name)
    (tmp_path / "open" / "client.key").chmod(0o640)
    secret = tmp_path / "cut" / "client.key"
    secret.write_text(secret.read_text()[:-10])
    make_client_keys(tmp_path / "fine", daemon, known_as="fine")
    with locked(daemon) as url:
        options = ["-k", str(tmp_path / keys)] if keys else []
        began = time.monotonic()
        sent = start(url, 3, *options)()
        assert time.monotonic() - began < 5
    assert (sent.code, sent.words) == (LOST, ["unanswered"] * 3)
    assert why in sent.errors
    assert sent.pixels == joined([pattern(seq) for seq in range(3)])


def test_with_keys_it_never_speaks_in_the_clear(start: Any, tmp_path: Path) -> None:
    daemon = make_daemon_keys(tmp_path / "daemon")
    keys = make_client_keys(tmp_path / "known", daemon, known_as="known")
    with serving() as url:
        sent = start(url, 3, "-k", str(keys))()
    assert (sent.code, sent.words) == (LOST, ["unanswered"] * 3)
    assert "it uses no keys" in sent.errors


@contextmanager
def locked(keys: Path) -> Iterator[str]:
    """The URL of a daemon that is READY and asks for keys."""
    ready = threading.Event()
    with running(loader(AddOne()), on_ready=lambda *_: ready.set(), keys=keys) as daemon:
        assert ready.wait(SOON_S)
        yield daemon.url


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


def found(header: dict[str, Any], key: str) -> str:
    """What the driver has to print for a key of a header, as msgspec decodes it."""
    value = header.get(key, KeyError)
    if value is KeyError:
        return "bad"
    if value is None or isinstance(value, bool):
        return {None: "nil", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return f"uint {value}" if value >= 0 else "negative"
    if isinstance(value, float):
        return f"double {value.hex()}"
    if isinstance(value, str):
        return f"str {len(value.encode())}"
    if isinstance(value, list):
        return f"array {len(value)}"
    return "map" if isinstance(value, dict) else "other"


def same_float(line: str) -> str:
    """C's %a and Python's hex() write the same number in different ways."""
    return f"double {float.fromhex(line[7:]).hex()}" if line.startswith("double") else line


def test_its_msgpack_reads_and_writes_what_msgspec_does(tmp_path: Path) -> None:
    driver = compiled(Path(__file__).parent / "msgpack_driver.c", tmp_path / "driver")
    rng = random.Random(20261122)
    values: list[Any] = [0, 127, 128, 255, 256, 65535, 65536, 2**32, 2**64 - 1, -1, -33, -129]
    values += [-(2**31), -(2**63), 0.0, -1.5, 1e300, None, True, False, "", "x" * 31, "x" * 32]
    values += ["ü" * 200, "x" * 300, [], [1] * 15, [None] * 16, [[[]], {"a": [1, {}]}], {}]
    values += [{str(i): i for i in range(n)} for n in (15, 16, 300)] + [["x"] * 70, b"", b"z" * 300]
    values += [msgspec.msgpack.Ext(5, b"x" * n) for n in (1, 2, 3, 4, 8, 16, 300)]
    cases = [{"before": rng.choice(values), "key": v, "after": rng.choice(values)} for v in values]
    valid = [msgspec.msgpack.encode(case) for case in cases]
    wild = [bytes(one) for raw in valid for one in _mutations(rng, raw, 300)]
    # Integers and floats of every width, needed or not.
    wide = ["d0ff", "d07f", "d1ff00", "d17fff", "d280000000", "d27fffffff", "cc01", "cd0001"]
    wide += ["d3ffffffffffffffff", "d37fffffffffffffff", "ce00000001", "ca3fc00000"]
    valid += [b"\x81\xa3key" + bytes.fromhex(one) for one in wide]
    too_long = [raw + b"\xc0" for raw in valid]
    text = "".join(f"{one.hex()} key\n" for one in valid + wild + too_long)
    done = subprocess.run(
        [str(driver)], input=text, capture_output=True, text=True, timeout=60, check=True
    )
    assert not done.stderr
    *lines, written = map(same_float, done.stdout.splitlines())
    assert lines[-len(too_long) :] == ["bad"] * len(too_long)
    for line, raw in zip(lines, valid + wild, strict=False):
        try:
            header = msgspec.msgpack.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError):
            # msgspec also refuses what the client does not look at: UTF-8, the keys of inner maps.
            assert raw in wild
            continue
        if isinstance(header, dict) and all(isinstance(name, str) for name in header):
            if "nan" not in line:
                assert line == found(header, "key"), raw.hex()
        else:
            assert line == "bad", raw.hex()
    assert msgspec.msgpack.decode(bytes.fromhex(written)) == {
        "uint": 70000, "long": 1 << 40, "forty letters, which no fixstr can hold.": 200,
        "real": -1024.5, "nil": None, "yes": True,
    }  # fmt: skip


def _mutations(rng: random.Random, raw: bytes, count: int) -> Iterator[bytearray]:
    for _ in range(count):
        one = bytearray(raw)
        for _ in range(rng.randint(1, 3)):
            if rng.random() < 0.7:
                one[rng.randrange(len(one))] = rng.randrange(256)
            elif rng.random() < 0.5 and len(one) > 1:
                del one[rng.randrange(1, len(one)) :]
            else:
                one += rng.randbytes(rng.randint(1, 9))
        yield one
