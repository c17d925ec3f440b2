"""`scanside device update`: versions side by side, a trial, and back by itself."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import REPOSITORY

from device_scenes import (
    Device,
    answering,
    copy_of,
    make_device,
    make_package,
    package,
    version_starts,
)
from scanside.jetson.application import trial, update_steps, versions
from scanside.jetson.cli import device as verbs
from scanside.jetson.machine import Machine
from scanside.jetson.package.contents import Contents, File
from scanside.jetson.steps import Outcome, carry_out
from scanside.runtime.errors import DeviceError, PackageError


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Device:
    with contextlib.redirect_stdout(io.StringIO()):
        return make_device(tmp_path_factory.mktemp("device"))


@pytest.fixture
def device(base: Device, tmp_path: Path) -> Device:
    return copy_of(base, tmp_path / "root")


def run(device: Device, *words: object) -> Result:
    said = ["update", *map(str, words), "--root", str(device.root), "--limit", "0.5"]
    return CliRunner().invoke(verbs, said)


def current(device: Device) -> str:
    return str(trial.linked(device.application, trial.CURRENT))


def starts(device: Device) -> list[str]:
    return (device.root / "run/starts").read_text().split()


def test_a_dry_run_changes_nothing(device: Device) -> None:
    before = sorted(device.root.rglob("*"))
    result = run(device, device.files / "new", "--allow-unsigned", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "→ version 0.2.0 serves" in result.output
    assert sorted(device.root.rglob("*")) == before


def test_an_update_serves_keeps_the_one_before_and_again_changes_nothing(device: Device) -> None:
    old = current(device)
    with answering(device):
        assert run(device, device.files / "new", "--allow-unsigned").exit_code == 0
        assert version_starts(device.application).startswith("0.2.0-")
        assert trial.linked(device.application, trial.PREVIOUS) == old
        assert starts(device) == [current(device)]
        names = {path.name for path in (device.application / "versions").iterdir()}
        assert names == {old, current(device)}
        again = run(device, device.files / "new", "--allow-unsigned", "--json")
        taken = json.loads(again.stdout)["steps"]
        assert {step["outcome"] for step in taken} == {Outcome.UNCHANGED}
        assert starts(device) == [current(device)]
        new = current(device)
        assert run(device, "--back").exit_code == 0
        assert (current(device), trial.linked(device.application, trial.PREVIOUS)) == (old, new)


def test_a_version_that_does_not_start_goes_back_by_itself(device: Device) -> None:
    old, before = current(device), trial.linked(device.application, trial.PREVIOUS)
    with answering(device):
        result = run(device, device.files / "bad", "--allow-unsigned")
    assert result.exit_code == 20
    assert "did not become READY" in result.stdout
    assert f"{old} serves again" in result.stdout
    assert current(device) == old
    assert trial.linked(device.application, trial.PREVIOUS) == before
    assert trial.pending(device.application) is None
    assert [name.split("-")[0] for name in starts(device)] == ["9.0.0", "0.1.0"]


def test_a_version_that_starts_and_is_never_ready_goes_back(device: Device) -> None:
    old = current(device)
    steps = update_steps(device.machine, package(device.files / "new"), limit_s=1.5)
    report = carry_out("update", steps)  # nobody answers at the control socket
    assert report.failed
    assert "was not READY within" in report.steps[-2].text
    assert current(device) == old


def test_where_the_service_does_not_run_the_version_is_only_switched_to(device: Device) -> None:
    systemctl = device.root / "usr/bin/systemctl"
    systemctl.write_text(systemctl.read_text().replace("echo active", "echo inactive"))
    assert run(device, device.files / "new", "--allow-unsigned").exit_code == 0
    assert current(device).startswith("0.2.0-")
    assert trial.pending(device.application) is None
    assert not (device.root / "run/starts").exists()


def test_an_update_that_was_killed_on_trial_can_be_gone_on_with(device: Device) -> None:
    version = versions.build_version(device.machine, package(device.files / "new"))
    trial.begin(device.application, version)
    with answering(device):
        assert run(device, device.files / "new", "--allow-unsigned").exit_code == 0
    assert current(device) == version
    assert trial.pending(device.application) is None
    assert starts(device) == [version]


def test_two_updates_do_not_meet(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "LOCK_S", 0.1)
    with versions.alone(device.machine):
        result = run(device, device.files / "new", "--allow-unsigned")
        with contextlib.redirect_stdout(io.StringIO()) as told:
            trial.main(device.application, device.root / "log")
    assert result.exit_code == 20
    assert "another update is under way" in result.stdout
    assert "an update is under way" in told.getvalue()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("unsigned", "carries no signature"),
        ("altered", "is not what was packed"),
        ("older", "is older than 0.1.0"),
        ("python", "is for Python 3.12 (JetPack 6.2), and /usr/bin/python3 is 3.10"),
        ("pip", "No space left on device"),
        ("version", "calls itself 0.2.0"),
        ("odds", "do not fit together: scanside 0.2.0 requires numpy"),
    ],
)
def test_a_package_that_does_not_fit_leaves_everything(
    device: Device, tmp_path: Path, fault: str, said: str
) -> None:
    folder = tmp_path / "package"
    shutil.copytree(device.files / "new", folder)
    words = [] if fault == "unsigned" else ["--allow-unsigned"]
    python = device.root / "usr/bin/python3"
    if fault == "altered":
        next((folder / "wheels").iterdir()).write_bytes(b"0.2.0" * 299 + b"0.2.1")
    if fault == "older":
        folder = make_package(tmp_path / "older", "0.0.10")
    if fault == "python":
        raw = (folder / "package.json").read_bytes()
        (folder / "package.json").write_bytes(raw.replace(b'"3.10"', b'"3.12"'))
    changes = {
        "pip": ('cp "$last"', 'echo "No space left on device" >&2; exit 1; cp "$last"'),
        "version": ("scanside, version %s", "scanside, version 7.%s"),
        "odds": ("esac", "*check*) echo scanside 0.2.0 requires numpy, absent; exit 1 ;;\nesac"),
    }
    if fault in changes:
        python.write_text(python.read_text().replace(*changes[fault]))
    old, names = current(device), set((device.application / "versions").iterdir())
    result = run(device, folder, *words)
    told = result.output + str(result.exception)
    assert said in told
    assert result.exit_code == 20 or isinstance(result.exception, PackageError)
    assert current(device) == old
    assert {path for path in (device.application / "versions").iterdir() if path not in names} <= {
        # A version that is older is only not switched to.
        path
        for path in (device.application / "versions").iterdir()
        if fault == "older"
    }
    assert not (device.root / "run/starts").exists()


def test_pips_complaints_about_the_systems_own_packages_are_not_ours(device: Device) -> None:
    python = device.root / "usr/bin/python3"
    text = "*check*) echo launchpadlib 1.10 requires testresources, absent; exit 1 ;;\nesac"
    python.write_text(python.read_text().replace("esac", text))
    with answering(device):
        assert run(device, device.files / "new", "--allow-unsigned").exit_code == 0


def test_what_a_killed_update_left_is_swept_and_what_is_linked_is_not(device: Device) -> None:
    place = device.application / "versions" / "0.2.0-00000000"
    (place / "bin").mkdir(parents=True)
    (place / "bin/python").write_text("half")
    with versions.alone(device.machine):
        made = versions.build_version(device.machine, package(device.files / "new"))
        assert not place.exists()
        place.mkdir()
        assert versions.sweep(device.machine) == [place.name]
    assert version_starts(device.application)
    assert made in versions.whole_versions(device.machine)


def test_the_list_shows_versions_and_the_trial(device: Device) -> None:
    trial.begin(device.application, str(trial.linked(device.application, trial.PREVIOUS)))
    words = ["list", "--allow-unsigned", "--root", str(device.root)]
    lines = CliRunner().invoke(verbs, words).stdout
    assert "current, on trial" in lines


def test_a_real_environment_from_real_wheels(tmp_path: Path) -> None:
    """The system's own Python and pip, with no network: what a Jetson does, on this machine."""
    python = Path("/usr/bin/python3")
    told = subprocess.run(
        [python, "-I", "-c", "import sys, ensurepip; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode:
        pytest.skip("the system's Python has no ensurepip")
    number = told.stdout.strip()
    folder = tmp_path / "package"
    wheels = folder / "wheels"
    pip = [sys.executable, "-m", "pip", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels)]
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".*", "runs", "build", "*.egg-info", "tests", "__pycache__")
    shutil.copytree(REPOSITORY, source, ignore=ignored)
    done = subprocess.run([*build, str(source)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("setuptools is not here to build the wheel with")
    (own,) = wheels.glob("scanside-*.whl")
    fetch = [*pip, "download", "--only-binary=:all:", "--python-version", number, "-d", str(wheels)]
    fetched = subprocess.run([*fetch, str(own)], capture_output=True, text=True, check=False)
    if fetched.returncode:
        pytest.skip("no wheels can be had here")
    version = own.name.split("-")[1]
    files = tuple(
        File(
            name=f"wheels/{path.name}",
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            size=path.stat().st_size,
        )
        for path in sorted(wheels.iterdir())
    )
    contents = Contents(version=version, jetpack="6.2", python=number, created="2026", files=files)
    (folder / "package.json").write_bytes(contents.encode())
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/python3").symlink_to(python)
    machine = Machine(root)
    with versions.alone(machine):
        name = versions.build_version(machine, package(folder))
    place = root / "opt/scanside/versions" / name
    said = subprocess.run(
        [place / "bin/scanside", "targets"], capture_output=True, text=True, check=False
    )
    assert "orin-nx-16gb-jp6.2" in said.stdout, said.stderr
    assert versions.whole_versions(machine)[name].wheels == tuple(
        sorted(path.name for path in wheels.iterdir())
    )
    (root / "usr/bin/python3").unlink()
    with pytest.raises(DeviceError):
        versions.check_fits(machine, package(folder))
