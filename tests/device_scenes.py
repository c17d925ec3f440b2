"""Fake devices in a folder, and the work on them: install, rollback, prune, update.

The real verbs' steps run, on real bundles of one layer with the real ONNX Runtime. Of the update
the system's Python, pip and systemctl are small scripts in the fake device, and a process of its
own answers at the control socket as a daemon would.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bundles import write_test_bundle
from scanside.jetson.application import install_version, trial, update_steps
from scanside.jetson.install import Order, install_steps
from scanside.jetson.install.keeping import prune_steps, rollback_steps
from scanside.jetson.layout import CONTROL, STORE
from scanside.jetson.machine import Machine
from scanside.jetson.package.contents import Contents, File
from scanside.jetson.package.reading import Package, open_package
from scanside.jetson.steps import Report, Step, Taken, carry_out
from scanside.runtime import control
from scanside.runtime.control import Situation
from scanside.runtime.daemon.control import ControlSocket
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.golden import check_engine
from scanside.runtime.signing import Trust
from scanside.runtime.store import Chosen, Store

PYTHON = """#!/bin/sh
here=$(dirname "$(dirname "$0")")
for last; do :; done
case "$*" in
  *version_info*) echo 3.10 ;;
  *"-m venv"*)
    mkdir -p "$last/bin" "$last/lib/inner"
    cp "$0" "$last/bin/python"
    echo "include-system-site-packages = true" > "$last/pyvenv.cfg"
    ln -s lib "$last/lib64" ;;
  *"install --no-index"*)
    cp "$last" "$here/lib/inner/"
    number=$(basename "$last" | cut -d- -f2)
    printf '#!/bin/sh\\necho scanside, version %s\\n' "$number" > "$here/bin/scanside"
    chmod 755 "$here/bin/scanside" ;;
esac
"""
SYSTEMCTL = """#!/bin/sh
here=$(dirname "$(dirname "$(dirname "$0")")")
case "$1" in
  is-active) echo active ;;
  is-enabled) echo enabled ;;
  restart)
    name=$(basename "$(readlink "$here/opt/scanside/current")")
    echo "$name" >> "$here/run/starts"
    case "$name" in *-bad*|9.*) exit 1 ;; esac ;;
esac
exit 0
"""


class Device:
    """A fake device under `root`; `files` holds bundles and packages.

    states: of the new version, as an update saw them. done: told of each step of a verb."""

    def __init__(self, root: Path, files: Path) -> None:
        self.root, self.files = root, files
        self.states: list[str] = []
        self.done: Callable[[Taken], object] = lambda taken: None
        self.machine = Machine(root)
        self.store = self.machine.path(STORE)
        self.application = self.machine.path(str(trial.APPLICATION))

    def install(self, name: str = "new") -> Report:
        order = Order(
            self.machine,
            self.files / f"{name}.scanside",
            engine="onnxruntime",
            threads=1,
            allow_unsigned=True,
        )
        return self._carry_out("install", install_steps(order))

    def rollback(self) -> Report:
        return self._carry_out("rollback", rollback_steps(self.machine, STORE, allow_unsigned=True))

    def prune(self) -> Report:
        return self._carry_out("prune", prune_steps(self.machine, STORE, allow_unsigned=True))

    def update(self, name: str = "new", *, force: bool = False) -> Report:
        steps = update_steps(
            self.machine,
            package(self.files / name),
            force=force,
            limit_s=600,
            told=self.states.append,
        )
        return self._carry_out("update", steps)

    def update_to_bad(self) -> Report:
        return self.update("bad")

    def check(self) -> Report:
        """What systemd runs before each start."""
        trial.main(self.application, self.root / "log")
        return Report(verb="check", dry_run=False, steps=())

    def open(self) -> Report:
        """What `list` does to a device that has no store yet."""
        Store(self.store, allow_unsigned=True)
        return Report(verb="open", dry_run=False, steps=())

    def begin(self) -> Report:
        """What provision does of it, and the first bundle."""
        steps = install_version(self.machine, package(self.files / "new"))
        report = self._carry_out("provision", steps)
        return self.install() if not report.failed else report

    def _carry_out(self, verb: str, steps: Sequence[Step]) -> Report:
        return carry_out(verb, steps, told=self.done)

    def chosen(self) -> Chosen:
        return Store(self.store, allow_unsigned=True).chosen()


def make_device(folder: Path) -> Device:
    """With an active, a previous and a surplus bundle, and versions 0.1.0 (current) and 0.0.9."""
    device = Device(folder / "root", folder / "files")
    (device.root / "usr/bin").mkdir(parents=True)
    (device.root / "run/scanside").mkdir(parents=True)
    device.store.mkdir(parents=True)
    device.files.mkdir()
    for name, text in (("python3", PYTHON), ("systemctl", SYSTEMCTL)):
        tool = device.root / "usr/bin" / name
        tool.write_text(text)
        tool.chmod(0o755)
    store = Store(device.store, allow_unsigned=True)
    for serial, name in enumerate(("surplus", "previous", "active", "new")):
        file = write_test_bundle(
            device.files / f"{name}.scanside", residual=serial / 100, serial=serial
        )
        if name != "new":
            sha256 = store.install(file).sha256
            store.activate(sha256)
            (device.store / "evidence").mkdir(exist_ok=True)
            (device.store / "evidence" / f"{sha256}.json").write_text("{}")
    for ending in ("plan", "json"):
        (device.store / "plans" / f"{'0' * 64}.{ending}").write_text("of no bundle here")
    for version in ("0.0.9", "0.1.0"):
        make_package(device.files / version, version)
        steps = update_steps(device.machine, package(device.files / version))
        for step in steps[:-2]:  # as provision does; then the switch, which nobody watches here
            if step.pending():
                step.do()
        name = next(
            one.name
            for one in (device.application / "versions").iterdir()
            if one.name.startswith(version)
        )
        trial.begin(device.application, name)
        trial.confirm(device.application)
    make_package(device.files / "new", "0.2.0")
    make_package(device.files / "bad", "9.0.0")
    return device


def make_package(folder: Path, version: str) -> Path:
    """An unsigned offline package of one wheel that is none."""
    wheel = folder / "wheels" / f"scanside-{version}-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    wheel.write_bytes(version.encode() * 300)
    raw = wheel.read_bytes()
    one = File(name=f"wheels/{wheel.name}", sha256=hashlib.sha256(raw).hexdigest(), size=len(raw))
    contents = Contents(
        version=version,
        jetpack="6.2",
        python="3.10",
        created="2026-11-01T00:00:00+00:00",
        files=(one,),
    )
    (folder / "package.json").write_bytes(contents.encode())
    return folder


def package(folder: Path) -> Package:
    return open_package(folder, Trust(), allow_unsigned=True)


@contextmanager
def answering(device: Device) -> Iterator[None]:
    """A process that says READY at the device's control socket."""
    path = device.machine.path(CONTROL)
    command = [sys.executable, __file__, str(path)]
    path.unlink(missing_ok=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()
            path.unlink(missing_ok=True)


class _Ready:
    """The state of a daemon that serves; it takes no commands."""

    def situation(self) -> Situation:
        return Situation(state="READY", model=None, store="/elsewhere")

    def drain(self) -> None:
        raise NotImplementedError

    def reload(self) -> str:
        raise NotImplementedError

    def swap(self, order: control.Swap, tell: object) -> None:
        raise NotImplementedError


def _answer(path: Path) -> None:
    socket = ControlSocket(path)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while socket.socket.poll():
        socket.answer_one(_Ready())


_started: set[str] = set()


def starts(store: Store) -> None:
    """The active bundle is whole, and its engine passes its golden frames."""
    sha256, bundle = store.active()
    if sha256 in _started:  # the same bytes start alike
        return
    engine = open_engine(bundle, "onnxruntime", 1)
    check_engine(engine, bundle)
    engine.close()
    _started.add(sha256)


def version_starts(folder: Path) -> str:
    """The current version of the application, which is whole: every file, and its number."""
    name = trial.linked(folder, trial.CURRENT)
    assert trial.is_whole(folder, name), f"current leads to {name}, which is not whole"
    check_version(folder / "versions" / str(name))
    return str(name)


def check_version(place: Path) -> None:
    number = place.name.split("-")[0]
    wheel = place / "lib/inner" / f"scanside-{number}-py3-none-any.whl"
    assert wheel.read_bytes() == number.encode() * 300, "the wheel is not whole"
    assert (place / "bin/python").read_text() == PYTHON, "python is not whole"
    assert (place / "bin/python").stat().st_mode & 0o111
    assert os.readlink(place / "lib64") == "lib"
    assert "true" in (place / "pyvenv.cfg").read_text()
    told = (place / "bin/scanside").read_text()
    assert told == f"#!/bin/sh\necho scanside, version {number}\n", "scanside is not whole"
    assert json.loads((place / "whole.json").read_text())["version"] == number


def copy_of(base: Device, root: Path) -> Device:
    """A device like `base`, at whose control socket the same answers."""
    shutil.copytree(base.root, root, symlinks=True, ignore=lambda *_: {"control"})
    device = Device(root, base.files)
    with contextlib.suppress(FileNotFoundError):
        os.link(base.machine.path(CONTROL), device.machine.path(CONTROL))
    return device


if __name__ == "__main__":
    _answer(Path(sys.argv[1]))
