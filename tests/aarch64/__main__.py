"""`make test-aarch64`: the device's Python on the device's processor, emulated, held against x86.

The offline package is made for the emulated system's Python, its wheels are unpacked there, and the
real daemon serves a bundle on ONNX Runtime. Frames go through it from clients on both processors
and over every transport; each result is compared with the one of a daemon on this processor, to the
last bit. So is the intensity map alone, over every form of words. Ends with 1 where a frame is
lost, differs by more than the bundle allows, or differs between two ways to the same daemon, and
where the map differs at all. Needs debootstrap, qemu-user-static and proot.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent)]

from arm64_root import PYTHON, command_in, make_root, missing_tools  # noqa: E402
from scanside.jetson.package import Package, open_package  # noqa: E402
from scanside.runtime.bundle import Bundle  # noqa: E402
from stream import NOISE_SIDES, frames_of  # noqa: E402

READY_S, CLIENT_S, STOP_S = 300.0, 300.0, 30.0
DOCTOR_RED = 20


class Streamed(NamedTuple):
    """What one client got: a result's pixels per frame, and how."""

    pixels: list[Any]
    told: dict[str, Any]


def main(bundle: Path | None = None) -> int:
    began = time.monotonic()
    if lacking := missing_tools():
        click.echo(f"missing: apt-get install {' '.join(lacking)}", err=True)
        return 2
    build = REPOSITORY / "build" / "aarch64"
    root = make_root(build / "root")
    say(began, f"an arm64 system with Python {PYTHON}")
    with tempfile.TemporaryDirectory(prefix="a64-") as scratch:
        work = Path(scratch)
        served = work / "served.scanside"
        if bundle is None:
            from small_bundle import write_small_bundle

            write_small_bundle(served)
        else:
            served.write_bytes(bundle.read_bytes())
        package = make_package(build, served)
        site = unpack(package, work / "site")
        say(began, f"the offline package, {len(package.wheels)} wheels")
        emulated = Side("aarch64", root, {"PYTHONPATH": "/site"}, [f"{site}:/site", work, HERE])
        return compare(began, work, served, emulated, Side("x86_64"))


class Side:
    """A processor: this one, or the emulated system in `root`."""

    def __init__(
        self,
        name: str,
        root: Path | None = None,
        environment: Mapping[str, str] | None = None,
        binds: Sequence[Path | str] = (),
    ) -> None:
        self.name, self._root = name, root
        self._environment, self._binds = environment, binds

    def python(self, *words: str) -> list[str]:
        if self._root is None:
            return [sys.executable, *words]
        return command_in(
            self._root,
            "/usr/bin/python3",
            *words,
            binds=self._binds,
            environment=self._environment,
        )

    @contextmanager
    def serving(self, bundle: Path, bind: str, work: Path) -> Iterator[str]:
        """The URL of `scanside serve` with this bundle, once its self-test has passed."""
        words = ["-m", "scanside.runtime", "serve", str(bundle), "--bind", bind]
        words += ["--engine", "onnxruntime", "--threads", "1", "--allow-unsigned"]
        log = (work / f"{self.name}.log").open("w+")
        quiet = {**os.environ, "SCANSIDE_CACHE": str(work / f"cache-{self.name}")}
        with subprocess.Popen(
            self.python(*words), stdout=subprocess.PIPE, stderr=log, text=True, env=quiet
        ) as daemon:
            assert daemon.stdout is not None
            patience = threading.Timer(READY_S, daemon.kill)
            patience.start()
            line = daemon.stdout.readline()
            patience.cancel()
            found = re.match(r"ready: (\S+),", line)
            if found is None:
                daemon.kill()
                log.seek(0)
                raise SystemExit(f"{self.name}: the daemon did not become ready\n{log.read()}")
            try:
                yield found[1]
            finally:
                self._stop(daemon)
                log.close()

    def _stop(self, daemon: subprocess.Popen[str]) -> None:
        """By SIGTERM, as systemd would: to the daemon itself, for PRoot takes none."""
        pid = daemon.pid
        if self._root is not None:
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        os.kill(pid, signal.SIGTERM)
        try:
            ended = daemon.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.kill(pid, signal.SIGKILL)
            daemon.kill()
            ended = None
        if ended != 0:
            raise SystemExit(f"{self.name}: the daemon did not drain and stop: {ended}")

    def stream(self, url: str, bundle: Path, work: Path, *, shared: bool) -> Streamed:
        out = work / "out.npz"
        how = "shm" if shared else "inline"
        words = [str(HERE / "stream.py"), url, str(bundle), str(out), how]
        subprocess.run(self.python(*words), check=True, timeout=CLIENT_S)
        with np.load(out) as file:
            told = json.loads(str(file["told"]))
            pixels = [file[f"frame_{number}"] for number in range(len(told["outcomes"]))]
        out.unlink()
        return Streamed(pixels, told)


def make_package(build: Path, bundle: Path) -> Package:
    command = [sys.executable, "-m", "scanside.jetson.package", "--jetpack", "6.2"]
    command += ["--python", PYTHON, "--unsigned", "--bundle", str(bundle), "--out", str(build)]
    subprocess.run(command, check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL, timeout=900)
    [tar] = build.glob("scanside-*-jp6.2.tar")
    return open_package(tar, allow_unsigned=True)


def unpack(package: Package, site: Path) -> Path:
    for wheel in package.wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    return site


def compare(began: float, work: Path, bundle: Path, emulated: Side, native: Side) -> int:
    """Stream over every way, print a line per frame, and 1 where something is wrong."""
    tcp, ipc = "tcp://127.0.0.1:*", f"ipc://{work}/s"
    with native.serving(bundle, tcp, work) as url:
        wanted = native.stream(url, bundle, work, shared=False)
        ways = {
            "x86_64 daemon, aarch64 client, tcp": emulated.stream(url, bundle, work, shared=False)
        }
    say(began, "x86_64 daemon: both clients served")
    with emulated.serving(bundle, tcp, work) as url:
        say(began, "aarch64 daemon: READY, golden frames passed")
        ways["aarch64 daemon, x86_64 client, tcp"] = native.stream(url, bundle, work, shared=False)
    with emulated.serving(bundle, ipc, work) as url:
        for side in (native, emulated):
            for shared in (False, True):
                got = side.stream(url, bundle, work, shared=shared)
                way = f"aarch64 daemon, {side.name} client, ipc, {got.told['transport']}"
                ways[way if way not in ways else f"{way} (shm was not to be had)"] = got
    failed = False
    for way, got in ways.items():
        equal = sum(map(np.array_equal, got.pixels, wanted.pixels))
        lost = sum(outcome != "enhanced" for outcome in got.told["outcomes"])
        failed |= lost > 0 or len(got.pixels) != len(wanted.pixels)
        click.echo(
            f"  {way}: {equal} of {len(wanted.pixels)} frames equal to the last bit, {lost} lost"
        )
    failed |= not report(bundle, wanted, [ways[way] for way in ways if way.startswith("aarch64")])
    failed |= not same_maps(emulated, native)
    failed |= not doctor(emulated)
    say(began, "FAILED" if failed else "passed")
    return int(failed)


def report(bundle: Path, wanted: Streamed, got: list[Streamed]) -> bool:
    """A line per frame: how far aarch64 is from x86. Whether all are as near as they must be."""
    opened = Bundle.open(bundle)
    frames = frames_of(opened)
    allowed = opened.manifest.tolerance.largest
    # A model that changed nothing would be bit-identical anywhere.
    fine = not np.array_equal(wanted.pixels[0], frames[0][0])
    for number, (words, facts) in enumerate(frames):
        results = [one.pixels[number].astype(np.int64) for one in got]
        same = all(np.array_equal(results[0], other) for other in results)
        distance = np.abs(results[0] - wanted.pixels[number].astype(np.int64))
        far = float(distance.max()) * abs(facts.slope)
        kind = "golden" if number < len(frames) - len(NOISE_SIDES) else "noise"
        bits = (
            "bit-identical" if far == 0 else f"{np.count_nonzero(distance)} pixels, at most {far:g}"
        )
        note = "" if same else ", and NOT the same over every way"
        milliseconds = got[0].told["ms"][number]
        size = f"{words.shape[0]}x{words.shape[1]}"
        click.echo(
            f"  frame {number} ({kind}, {size}, {milliseconds:.0f} ms emulated): {bits}{note}"
        )
        fine = fine and same and far <= allowed
    return fine


def same_maps(emulated: Side, native: Side) -> bool:
    """Whether the intensity map gives the same words on both, whatever form they have."""
    told = [
        subprocess.run(
            side.python(str(HERE / "maps.py")),
            capture_output=True, text=True, timeout=CLIENT_S, check=True,
        ).stdout.splitlines()
        for side in (emulated, native)
    ]  # fmt: skip
    differing = [line.partition(" ")[2] for line in set(told[0]) - set(told[1])]
    click.echo(f"  intensity map: {len(differing)} of {len(told[1])} forms of words differ")
    for form in sorted(differing):
        click.echo(f"    {form}")
    return not differing and len(told[0]) == len(told[1]) > 0


def doctor(emulated: Side) -> bool:
    """This is no Jetson: the doctor must say so in red, as JSON, and not fall over."""
    words = ["-m", "scanside.runtime", "device", "doctor", "--json"]
    done = subprocess.run(
        emulated.python(*words), capture_output=True, text=True, timeout=CLIENT_S, check=False
    )
    try:
        verdict = json.loads(done.stdout)["verdict"]
    except (ValueError, KeyError):
        click.echo(f"  doctor: no page, exit {done.returncode}: {done.stderr.strip()[-300:]}")
        return False
    click.echo(f"  doctor: {verdict}, exit {done.returncode} (no Jetson)")
    return verdict == "red" and done.returncode == DOCTOR_RED


def say(began: float, text: str) -> None:
    click.echo(f"{time.monotonic() - began:6.1f} s  {text}")


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
