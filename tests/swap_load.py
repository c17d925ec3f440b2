"""Swaps the model of a real daemon under the load of four real clients, and counts every frame.

`make swaps` swaps 50 times and prints the table; a test does so a few times. Every third bundle is
broken, in one way after the other, and must be refused while the model that is there goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bundles import make_manifest, make_members, write_test_bundle
from scanside.compile.pack import sign_bundle, write_bundle
from scanside.runtime import Client, FrameFacts
from scanside.runtime.bundle import CPU_MODEL, Bundle
from scanside.runtime.control import Done, Swap, command
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.errors import (
    BundleError,
    EngineUnavailableError,
    GoldenMismatchError,
    ScansideError,
    SignatureError,
    UnsignedBundleError,
)
from scanside.runtime.frame import Pixels
from scanside.runtime.signing import TRUST_VARIABLE, Trust, load_private_key, new_key
from scanside.runtime.store import Store

CLIENTS = 4
SHAPES = [(64, 48), (37, 91), (128, 128), (5, 300)]
FRAMES = 16
"""Different ones of each client, in turn: enough for an answer to a wrong frame to be noticed."""
MODELS = {"a": 0.01, "b": 0.03}
BETWEEN_S = 0.15
PROGRAM = [sys.executable, "-W", "error", "-c", "from scanside.runtime.cli import main; main()"]
FACTS = FrameFacts(modality="CT", bits_stored=12, signed=False, intercept=-1024.0)
BROKEN: dict[str, type[ScansideError]] = {
    "cut": BundleError,
    "golden": GoldenMismatchError,
    "network": EngineUnavailableError,
    "unsigned": UnsignedBundleError,
    "stranger": SignatureError,
}


class Outcome(NamedTuple):
    """answered: frames by what answered them: a model's letter (its very bits, and its name on the
    RESULT), else "bypassed: late" and the like, "mixed" (bits of no model, or not of the one that
    the RESULT names) and "lost". swapped, refused: swaps that took over and broken ones that did
    not. wrong: swaps that ended otherwise. longest_s: between two results of a client."""

    sent: int
    answered: Counter[str]
    swapped: int
    refused: int
    wrong: list[str]
    longest_s: float

    def table(self) -> str:
        answered = dict(self.answered)
        lost, mixed = answered.pop("lost", 0), answered.pop("mixed", 0)
        rows: list[tuple[str, object]] = [
            ("swaps that took over", self.swapped),
            ("broken bundles refused", self.refused),
            ("swaps that ended otherwise", len(self.wrong)),
            ("frames sent", self.sent),
            *((f"  answered: {who}", number) for who, number in sorted(answered.items())),
            ("  lost", lost),
            ("  mixed", mixed),
            ("longest pause of a client, ms", f"{self.longest_s * 1000:.0f}"),
        ]
        return "\n".join(f"{name:<32}{value:>10}" for name, value in rows)


def swap_under_load(folder: Path, swaps: int) -> Outcome:
    """`swaps` swaps, every third with a broken bundle, of a daemon with a store in `folder`."""
    environment = {**os.environ, TRUST_VARIABLE: str(folder / "trust"), "OMP_NUM_THREADS": "1"}
    make_bundles(folder)
    store = Store(folder / "store", trust=Trust.load(folder / "trust"))
    store.activate(store.install(folder / "a.scanside").sha256)
    with _daemon(folder, environment) as url, _clients(folder, url, environment) as clients:
        swapped, refused, wrong = 0, 0, []
        active = "a"
        for number in range(1, swaps + 1):
            time.sleep(BETWEEN_S)
            name = ("b" if active == "a" else "a") if number % 3 else _broken(number)
            said = _swap(folder, name)
            expected = BROKEN[name].__name__ if name in BROKEN else "swapped"
            active = name if said == "swapped" else active
            kept = store.active()[1].identity == _identity(folder, active)
            if said != expected or not kept:
                wrong.append(f"{number}: {name}: {said}" + ("" if kept else ", another is active"))
            swapped += said == "swapped"
            refused += name in BROKEN and said == expected
        time.sleep(BETWEEN_S)
        (folder / "enough").touch()
        told = [json.loads(client.communicate(timeout=60)[0]) for client in clients]
    return Outcome(
        sum(one["sent"] for one in told),
        sum((Counter(one["answered"]) for one in told), Counter()),
        *(swapped, refused, wrong),
        longest_s=max(one["longest_s"] for one in told),
    )


def make_bundles(folder: Path) -> None:
    """a, b and one of each way to be broken, signed with a key that folder/trust trusts."""
    keys, trust = folder / "keys", folder / "trust"
    keys.mkdir()
    trust.mkdir()
    new_key(keys / "ours")
    new_key(keys / "stranger")
    (trust / "ours.pub").write_bytes((keys / "ours.pub").read_bytes())
    ours = load_private_key(keys / "ours")
    plain = folder / "unsigned.scanside"
    for name, residual in MODELS.items():
        write_test_bundle(plain, residual=residual, version=f"1.{name}", serial=1)
        sign_bundle(plain, ours, folder / f"{name}.scanside")
    sign_bundle(plain, load_private_key(keys / "stranger"), folder / "stranger.scanside")
    whole = (folder / "b.scanside").read_bytes()
    (folder / "cut.scanside").write_bytes(whole[: len(whole) // 2])
    manifest = make_manifest(version="1.c", serial=1)
    other_golden = make_members(manifest, 0.3) | {CPU_MODEL: make_members(manifest)[CPU_MODEL]}
    no_network = make_members(manifest) | {CPU_MODEL: b"no network"}
    for name, members in (("golden", other_golden), ("network", no_network)):
        file = folder / f"{name}.scanside"
        write_bundle(file, manifest, members)
        sign_bundle(file, ours, file)


def _broken(number: int) -> str:
    return list(BROKEN)[number // 3 % len(BROKEN)]


def _identity(folder: Path, name: str) -> str:
    return Bundle.open(folder / f"{name}.scanside", Trust.load(folder / "trust")).identity


def _swap(folder: Path, name: str) -> str:
    try:
        done = command(folder / "control", Swap(file=str(folder / f"{name}.scanside")))
    except ScansideError as error:
        # A file that is cut fails in more ways than one: which of them does not matter here.
        return BundleError.__name__ if name == "cut" else type(error).__name__
    assert isinstance(done, Done)
    assert done.model is not None
    return done.text if done.model.identity == _identity(folder, name) else "another model"


@contextmanager
def _daemon(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    command = [*PROGRAM, "serve", "--store", str(folder / "store")]
    command += ["--control", str(folder / "control"), "--bind", "tcp://127.0.0.1:*"]
    command += ["--engine", "onnxruntime", "--threads", "1"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as process,
    ):
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            assert ready.startswith("ready: "), (folder / "log").read_text()
            yield ready.split(" ")[1].rstrip(",")
            process.terminate()
            assert process.wait(30) == 0, (folder / "log").read_text()
        finally:
            process.kill()


@contextmanager
def _clients(
    folder: Path, url: str, environment: dict[str, str]
) -> Iterator[list[subprocess.Popen[str]]]:
    clients = [
        subprocess.Popen(
            [sys.executable, __file__, "client", str(folder), url, str(number)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for number in range(CLIENTS)
    ]
    try:
        for client in clients:
            assert client.stdout is not None
            assert client.stdout.readline() == "streaming\n"
        yield clients
    finally:
        for client in clients:
            client.kill()
            client.communicate()


def stream_until_enough(folder: Path, url: str, number: int) -> None:
    """A client: streams frames that only it has, and holds each answer against both models."""
    rng = np.random.default_rng(number)
    frames = [rng.integers(0, 4096, SHAPES[number]).astype(np.uint16) for _ in range(FRAMES)]
    expected: dict[str, list[Pixels]] = {}
    names = {}
    for name in MODELS:
        bundle = Bundle.open(folder / f"{name}.scanside")
        engine = open_engine(bundle, "onnxruntime", 1)
        expected[name] = [engine.run(one[np.newaxis], [FACTS])[0] for one in frames]
        names[bundle.identity] = name
    for one in range(FRAMES):
        assert not np.array_equal(expected["a"][one], expected["b"][one])
    sent = 0

    def camera() -> Iterator[tuple[Pixels, FrameFacts]]:
        nonlocal sent
        while not (folder / "enough").exists():
            sent += 1
            yield frames[(sent - 1) % FRAMES], FACTS

    answered: Counter[str] = Counter()
    longest = 0.0
    with Client(url) as client:
        print("streaming", flush=True)  # noqa: T201
        before = time.monotonic()
        for count, result in enumerate(client.stream(camera())):
            now = time.monotonic()
            longest, before = max(longest, now - before), now
            who = "lost"
            if result.outcome == "enhanced":
                who = names.get(result.model, "mixed")
                right = who != "mixed" and np.array_equal(
                    expected[who][count % FRAMES], _pixels(result.pixels)
                )
                who = who if right and result.seq == count else "mixed"
            elif result.outcome in ("bypassed", "refused"):
                who = f"{result.outcome}: {result.reason and result.reason.value}"
            answered[who] += 1
    answered["lost"] += sent - answered.total()
    print(  # noqa: T201
        json.dumps({"sent": sent, "answered": answered, "longest_s": longest})
    )


def _pixels(pixels: Pixels | None) -> Pixels:
    assert pixels is not None
    return pixels


def main(words: list[str]) -> None:
    if words[0] == "client":
        stream_until_enough(Path(words[1]), words[2], int(words[3]))
        return
    with tempfile.TemporaryDirectory(prefix="scanside-swaps-") as folder:
        outcome = swap_under_load(Path(folder), int(words[0]))
    print(outcome.table())  # noqa: T201
    sys.exit("\n".join(outcome.wrong) or None)


if __name__ == "__main__":
    main(sys.argv[1:])
