"""No patient's text reaches a log, a metric, STATUS, or an error message.

Every text value of every file in data/, and canaries in files made for this, go through the real
programs: `serve`, `send`, `enhance`, on good, refused and broken files.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from bundles import write_test_bundle
from daemons import AddOne, Peer, frame, frame_header, serving
from scanside.runtime.inquiry import ask_status
from scanside.runtime.manifest import GoldenNoise, Guard

PROGRAM = [sys.executable, "-c", "from scanside.runtime.cli import main; main()"]
TEXT_VRS = (
    "AE",
    "AS",
    "CS",
    "DA",
    "DT",
    "LO",
    "LT",
    "PN",
    "SH",
    "ST",
    "TM",
    "UC",
    "UI",
    "UR",
    "UT",
)
SHORTEST = 4
OUR_WORDS = {"TEST", "Modality"}
"""Values of some file that the programs say of their own: in SELF_TEST, in `Modality LUT`."""
STANDARD_UIDS = "1.2.840.10008."
"""SOP classes, transfer syntaxes: of the standard, not of a patient."""


@dataclass
class Said:
    """Everything that the programs let out."""

    by: dict[str, str] = field(default_factory=dict)

    def hear(self, who: str, text: str) -> None:
        self.by[who] = self.by.get(who, "") + text + "\n"

    def leaks(self, values: set[str]) -> set[tuple[str, str]]:
        return {(who, value) for who, text in self.by.items() for value in values if value in text}


def texts(dataset: Dataset) -> Iterator[str]:
    """Every text value, sequences and private elements included; names also in their parts."""
    for element in [*dataset.file_meta, *dataset] if "file_meta" in dir(dataset) else [*dataset]:
        if element.VR == "SQ":
            for item in element.value:
                yield from texts(item)
        elif element.VR in TEXT_VRS and element.value:
            values = element.value if element.VM > 1 else [element.value]
            for value in map(str, values):
                yield value
                if element.VR == "PN":
                    yield from re.split(r"[\^= ]", value)


def telling(values: Iterator[str]) -> set[str]:
    """Those that cannot turn up by chance: a number of five digits may be a port's or a time's."""
    stripped = {value.strip() for value in values} - OUR_WORDS
    return {
        value
        for value in stripped
        if len(value) >= SHORTEST
        and not value.startswith(STANDARD_UIDS)
        and not re.fullmatch(r"[\d.]{1,6}", value)
    }


def values_of(path: Path) -> set[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return telling(texts(pydicom.dcmread(path, force=True, stop_before_pixels=True)))
        except Exception:  # noqa: BLE001 - broken in data/bad: what cannot be read names nobody
            return set()


@dataclass
class Served:
    url: str
    metrics: str
    process: subprocess.Popen[str]


@contextmanager
def served(bundle: Path, said: Said) -> Iterator[Served]:
    """The real daemon; at its end everything it let out is in `said`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [*PROGRAM, "serve", str(bundle), "--bind", "tcp://127.0.0.1:*", "--allow-unsigned"]
    command += ["--engine", "onnxruntime", "--threads", "1", "--metrics-port", port]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        url = ready.split(" ")[1].rstrip(",")
        try:
            yield Served(url, f"http://127.0.0.1:{port}/metrics", process)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                said.hear("metrics", without_figures(answer.read().decode()))
            status = ask_status(url, 10)
            said.hear("STATUS", f"{status.counters} {status.model} {status.state} {status.drift}")
        finally:
            process.terminate()
            _, log = process.communicate(timeout=30)
        said.hear("serve", ready)
        for line in log.splitlines():
            said.hear("log", without_figures(json.dumps(without_chance(json.loads(line)))))


def without_chance(line: dict[str, Any]) -> dict[str, Any]:
    """Random tokens and clocks may hold any digits."""
    assert re.fullmatch(r"[0-9a-f]{16}", line.pop("session", "0" * 16))
    assert line.pop("time").startswith("20")
    return line


def without_figures(text: str) -> str:
    return re.sub(r"(?<![\w.])\d+\.\d+(e[+-]\d+)?(?![\w.])", "#", text)


def run(said: Said, *arguments: object) -> int:
    """A verb in a process of its own, with the libraries' own writing to stderr."""
    command = [*PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    said.hear(str(arguments[0]), done.stdout + done.stderr)
    assert "internal error" not in done.stderr, done.stderr
    return done.returncode


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_test_bundle(
        tmp_path_factory.mktemp("bundle") / "t.scanside",
        residual=0.01,
        guard=Guard(largest_change=0.2, largest_rms=0.006),
        golden_noise=GoldenNoise(mean=0.0, standard_deviation=0.01),
    )


def test_no_text_of_any_real_file_gets_out(data_dir: Path, bundle: Path, tmp_path: Path) -> None:
    scans, said, values = tmp_path / "in", Said(), set()
    scans.mkdir()
    sources = [p for p in sorted(data_dir.rglob("*")) if p.is_file() and p.parent != data_dir]
    for number, source in enumerate(sources):
        # A file's own name may be shown, and some in data/ hold a UID.
        shutil.copy(source, scans / f"{number:03}")
        values |= values_of(source)
    assert len(values) > 900
    with served(bundle, said) as daemon:
        assert run(said, "send", scans, "--to", daemon.url) == 11
        assert run(said, "send", scans, "--to", daemon.url, "--out", tmp_path / "sent") == 11
    run(said, "enhance", bundle, scans, tmp_path / "out", "--engine", "onnxruntime")
    assert "wrong modality" in said.by["send"]
    assert "result out of bounds" in said.by["log"]
    assert {"send", "enhance", "serve", "log", "metrics", "STATUS"} == set(said.by)
    assert not said.leaks(values)


CANARY = "KANARIENVOGEL"


def with_canaries(dataset: Dataset) -> Dataset:
    """Every text attribute that may hold free text says who it is, dates and UIDs too."""
    for number, element in enumerate(dataset.iterall()):
        if element.VR in ("LO", "SH", "ST", "LT", "UT", "PN", "AE", "UC"):
            element.value = f"{CANARY}{number}"[:16]
        elif element.VR == "DA":
            element.value = "19370411"
        elif element.VR == "TM":
            element.value = "031947.731905"
    dataset.PatientName = f"{CANARY}^Doe"
    dataset.PatientID = f"{CANARY}-7731905"
    dataset.PatientComments = f"lives with {CANARY}"
    dataset.StudyInstanceUID = "2.25.773190577319057731905"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "2.25.99773190511"
    dataset.add_new((0x0011, 0x0010), "LO", f"{CANARY} PRIVATE")
    dataset.add_new((0x0011, 0x1001), "LT", f"{CANARY} was here")
    return dataset


CANARIES = {CANARY, "19370411", "031947", "7731905"}


def broken(raw: bytes) -> Iterator[bytes]:
    """The file in every state that a disc, a network or a person may leave it in."""
    for cut in (0, 100, 131, 132, 140, 300, 600, 1000, 1500, len(raw) // 2, len(raw) - 1):
        yield raw[:cut]
    yield raw[132:]
    yield raw + raw
    rng = np.random.default_rng(11)
    header = raw.index(b"\xe0\x7f\x10\x00")
    for _ in range(60):
        spoilt = bytearray(raw)
        for place in rng.integers(132, header, rng.integers(1, 4)):
            spoilt[place] = rng.integers(0, 256)
        yield bytes(spoilt)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm"])
def test_no_canary_of_a_broken_file_gets_out(bundle: Path, tmp_path: Path, name: str) -> None:
    scans, said = tmp_path / "in", Said()
    scans.mkdir()
    dataset = with_canaries(pydicom.dcmread(str(get_testdata_file(name))))
    dataset.save_as(scans / "good")
    for number, content in enumerate(broken((scans / "good").read_bytes())):
        (scans / f"{number:03}").write_bytes(content)
    colour = with_canaries(pydicom.dcmread(str(get_testdata_file(name))))
    colour.PhotometricInterpretation = CANARY
    colour.save_as(scans / "words")
    colour.PhotometricInterpretation = "MONOCHROME2"
    colour.Modality = CANARY
    colour.save_as(scans / "modality")
    with served(bundle, said) as daemon:
        run(said, "send", scans, "--to", daemon.url)
        run(said, "send", scans, "--to", daemon.url, "--out", tmp_path / "sent")
        for file in ("modality", "words", "003", "011"):
            run(said, "send", scans / file, "--to", daemon.url)
            run(said, "enhance", bundle, scans / file, tmp_path / f"{file}.dcm")
    run(said, "enhance", bundle, scans, tmp_path / "out", "--engine", "onnxruntime")
    assert not said.leaks(CANARIES)
    assert said.by["send"].count("next:") > 3, "nothing was said of the broken files"


def test_the_test_would_see_a_leak(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    with_canaries(pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))).save_as(path)
    values = values_of(path)
    assert f"{CANARY}^Doe" in values
    assert CANARY in values
    assert "2.25.773190577319057731905" in values
    said = Said()
    said.hear("log", f'{{"event": "{CANARY}"}}')
    assert said.leaks(values) == {("log", CANARY)}
    assert without_figures("a 0.25 b 1.5e+06 c 2.25.7731905") == "a # b # c 2.25.7731905"


def test_what_a_client_says_is_not_repeated_to_anybody_else(daemon_log: Any) -> None:
    def explode(pixels: Any) -> None:
        if pixels[0, 0, 0] == 7:
            raise RuntimeError(f"{CANARY} made me fail")

    with serving(AddOne(explode)) as url, Peer(url) as peer, Peer(url) as other:
        heard = []
        facts = {"modality": CANARY[:8], "photometric": CANARY}
        for seq, changes in enumerate(
            [{}, {"dtype": CANARY[:8]}, {"rows": 1}, {"modality": facts["modality"]}, facts]
        ):
            pixels = frame(seq)
            pixels[0, 0] = 7
            peer.send(seq, pixels, stream=f"{CANARY}^{seq}", **{CANARY: CANARY}, **changes)
            heard.append(peer.hear())
        for header in (CANARY.encode(), {"type": CANARY}, {"type": "HELLO", "versions": CANARY}):
            heard.append(peer.ask(header))
        peer.say(frame_header(frame(0), facts=CANARY), b"")
        heard.append(peer.hear())
        status = other.status()
    # Its own stream and words come back to the client; nothing else of what it said does.
    for message in heard:
        message.pop("stream", None)
        message.pop("dtype", None)
    everything = f"{heard} {status} {daemon_log.getvalue()}"
    assert CANARY[:8] not in everything
    assert "engine error" in daemon_log.getvalue()
