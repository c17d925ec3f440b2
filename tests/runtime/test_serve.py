"""`scanside serve` and `scanside send`, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner, Result
from pydicom.data import get_testdata_file

from bundles import write_test_bundle
from daemons import FACTS, WELCOME, AddOne, Answer, Gate, frame, pretender, result_for, serving
from scanside.runtime import Client
from scanside.runtime.cli import main
from scanside.runtime.cli.enhance import enhance
from scanside.runtime.cli.send import send
from scanside.runtime.cli.serve import serve

PROGRAM = [sys.executable, "-W", "error", "-c", "from scanside.runtime.cli import main; main()"]
CT = Path(str(get_testdata_file("CT_small.dcm")))
MR = Path(str(get_testdata_file("MR_small.dcm")))


@dataclass
class Served:
    url: str
    ready: str
    process: subprocess.Popen[str]

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, list[dict[str, Any]]]:
        """Exit code and the log's events."""
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=20)
        return self.process.returncode, [json.loads(line) for line in log.splitlines()]


@contextmanager
def served(bundle: Path, *options: str) -> Iterator[Served]:
    """The real program in a process of its own, once it has said that it is ready."""
    command = [*PROGRAM, "serve", str(bundle), "--engine", "onnxruntime", "--threads", "1"]
    command += ["--bind", "tcp://127.0.0.1:*", "--allow-unsigned", *options]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=os.environ.copy())
    assert process.stdout is not None
    try:
        ready = process.stdout.readline()
        assert ready.startswith("ready: "), ready + (
            process.stderr.read() if process.stderr else ""
        )
        yield Served(ready.split(" ")[1].rstrip(","), ready, process)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_test_bundle(tmp_path_factory.mktemp("bundle") / "t.scanside", residual=0.01)


@pytest.fixture(scope="module")
def daemon(bundle: Path) -> Iterator[Served]:
    with served(bundle) as daemon:
        yield daemon


def run(verb: Any, *arguments: object) -> Result:
    return CliRunner().invoke(verb, [str(argument) for argument in arguments])


def exit_code(*arguments: object) -> Any:
    with pytest.raises(SystemExit) as raised:
        main([str(argument) for argument in arguments])
    return raised.value.code


def test_the_ready_line_names_address_model_and_engine(daemon: Served) -> None:
    assert daemon.url.startswith("tcp://127.0.0.1:")
    assert "*" not in daemon.url
    with Client(daemon.url) as client:
        model = client.model
    assert model is not None
    assert model.identity[:12] in daemon.ready
    assert f"{model.name} {model.version}" in daemon.ready
    assert "unsigned" in daemon.ready
    assert model.engine.startswith("onnxruntime ")
    assert daemon.ready.count("\n") == 1


def test_send_writes_what_enhance_writes(daemon: Served, bundle: Path, tmp_path: Path) -> None:
    assert run(send, CT, "--to", daemon.url, "--out", tmp_path / "sent.dcm").exit_code == 0
    options = ("--engine", "onnxruntime", "--threads", 1)
    assert run(enhance, bundle, CT, tmp_path / "enhanced.dcm", *options).exit_code == 0
    sent, enhanced = (pydicom.dcmread(tmp_path / f"{n}.dcm") for n in ("sent", "enhanced"))
    assert sent.PixelData == enhanced.PixelData
    assert sent.PixelData != pydicom.dcmread(CT).PixelData
    assert sent.DerivationDescription == enhanced.DerivationDescription


def test_send_without_out_counts_and_times_and_writes_nothing(
    daemon: Served, tmp_path: Path
) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    (scans / "a").write_bytes(CT.read_bytes())
    (scans / "notes.txt").write_text("no image")
    result = run(send, scans, "--to", daemon.url)
    assert result.exit_code == 0, result.output
    assert "1 frames: 1 enhanced" in result.output
    assert "p50" in result.output
    assert "p99" in result.output
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "notes.txt", "scans"]


def test_a_refused_frame_fails_its_file_and_the_others_are_written(
    daemon: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    (scans / "ct").write_bytes(CT.read_bytes())
    (scans / "mr").write_bytes(MR.read_bytes())
    assert exit_code("send", scans, "--to", daemon.url, "--out", out) == 11
    assert [p.name for p in out.iterdir()] == ["ct"]
    said = capsys.readouterr()
    assert "wrong modality" in said.err
    assert "1 enhanced, 1 refused: wrong modality" in said.out
    assert exit_code("send", scans, "--to", daemon.url) == 11
    assert exit_code("send", scans / "mr", "--to", daemon.url, "--out", tmp_path / "mr") == 8
    assert not (tmp_path / "mr").exists()


def test_a_bypassed_frame_is_never_written_as_enhanced(tmp_path: Path) -> None:
    gate = Gate()
    with serving(AddOne(gate)) as url:
        out = tmp_path / "out.dcm"
        assert exit_code("send", CT, "--to", url, "--out", out, "--deadline-ms", 5) == 6
        gate.open.release()
        assert not out.exists()


def test_a_frame_of_another_model_is_not_written_under_this_ones_name(tmp_path: Path) -> None:
    card = {"name": "a", "version": "1", "identity": "a" * 64, "engine": "e 1"}
    card |= {"modality": ["CT"], "scale": 1, "signed": True}

    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        if message["type"] == "HELLO":
            return [[WELCOME | {"model": card}]]
        model = ("a" if (tmp_path / "swapped").exists() else "b") * 64
        return [[result_for(message, model=model), *parts]] if message["type"] == "FRAME" else []

    with pretender(answer) as url:
        out = tmp_path / "out.dcm"
        assert exit_code("send", CT, "--to", url, "--out", out) == 6
        assert not out.exists()
        (tmp_path / "swapped").touch()
        assert not exit_code("send", CT, "--to", url, "--out", out)
        assert out.exists()


def test_an_unanswered_frame_ends_the_sending(tmp_path: Path) -> None:
    gate = Gate()
    with serving(AddOne(gate)) as url:
        out = tmp_path / "out.dcm"
        assert exit_code("send", CT, "--to", url, "--out", out, "--timeout", 0.3) == 7
        gate.open.release()
        assert not out.exists()


def test_send_to_nobody_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("send", CT, "--to", "tcp://127.0.0.1:1", "--timeout", 0.2) == 7
    assert "scanside serve" in capsys.readouterr().err


def test_send_of_nothing_says_so(daemon: Served, tmp_path: Path) -> None:
    assert exit_code("send", tmp_path, "--to", daemon.url) == 4
    assert exit_code("send", tmp_path / "none", "--to", daemon.url) == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_with_0(bundle: Path, number: int) -> None:
    with served(bundle) as daemon, Client(daemon.url) as client:
        assert client.enhance(frame(0), FACTS).outcome == "enhanced"
        code, events = daemon.stop(number)
        assert code == 0
        states = [event["after"] for event in events if event["event"] == "state"]
        assert states == [
            "VERIFYING", "BUILDING", "SELF_TEST", "READY", "DRAINING", "STOPPED",
        ]  # fmt: skip
        result = client.enhance(frame(0), FACTS)
        assert (result.outcome, result.text) == ("unanswered", "the daemon has stopped")


def test_a_killed_daemon_leaves_its_frames_unanswered(bundle: Path) -> None:
    with served(bundle) as daemon, Client(daemon.url) as client:

        def camera() -> Iterator[Any]:
            for number in range(12):
                if number == 6:
                    daemon.process.kill()
                    daemon.process.wait()
                yield frame(number, (512, 512)), FACTS

        began = time.monotonic()
        results = list(client.stream(camera()))
        assert time.monotonic() - began < 5
        assert [r.seq for r in results] == list(range(12))
        assert results[0].outcome == "enhanced"
        assert all(r.outcome == "unanswered" for r in results[6:])
        for result in results[6:]:
            assert result.pixels is not None
            np.testing.assert_array_equal(result.pixels, frame(result.seq, (512, 512)))


def test_what_cannot_be_served_ends_with_its_own_code(
    bundle: Path, daemon: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("serve", bundle, "--bind", daemon.url, "--allow-unsigned") == 7
    assert "in use" in capsys.readouterr().err
    assert exit_code("serve", bundle, "--bind", "tcp://0.0.0.0:5555", "--allow-unsigned") == 7
    assert "CURVE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "options", "code", "words"),
    [
        (None, (), 5, "--allow-unsigned"),
        (b"no bundle at all", ("--allow-unsigned",), 5, "bundle"),
    ],
)
def test_a_bundle_that_must_not_run_stops_the_daemon(
    bundle: Path, tmp_path: Path, content: bytes | None, options: Any, code: int, words: str
) -> None:
    file = bundle
    if content is not None:
        file = tmp_path / "x.scanside"
        file.write_bytes(content)
    command = [*PROGRAM, "serve", str(file), "--bind", f"ipc://{tmp_path}/s", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert words in done.stderr
    assert "ready" not in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", [serve, send])
def test_help_shows_examples(verb: Any) -> None:
    result = run(verb, "--help")
    assert result.exit_code == 0
    assert "Example:" in result.output


@pytest.mark.parametrize("series", ["ct_ge_hispeed_dual"])
def test_a_real_series_goes_through(daemon: Served, data_dir: Path, series: str) -> None:
    folder = data_dir / series
    result = run(send, folder, "--to", daemon.url)
    assert result.exit_code == 0, result.output
    assert "28 enhanced" in result.output
