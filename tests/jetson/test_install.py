"""`scanside device install`, `rollback`, `list` and `prune`: what they take, refuse and leave."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bundles import make_manifest, make_members, write_test_bundle
from devices import FakeDevice
from scanside.compile.pack import sign_bundle, write_bundle
from scanside.jetson.cli import device
from scanside.jetson.install import Order, install_steps
from scanside.jetson.install.places import make_active
from scanside.jetson.machine import Machine
from scanside.jetson.steps import carry_out
from scanside.runtime.bundle import Bundle
from scanside.runtime.control import Ask, Situation, command
from scanside.runtime.errors import GoldenMismatchError, StoreError
from scanside.runtime.planner import build_plan_file
from scanside.runtime.signing import load_private_key, new_key
from scanside.runtime.store import Store

PROGRAM = [sys.executable, "-W", "error", "-c", "from scanside.runtime.cli import main; main()"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """old, a and b, of rising serials; bad, whose golden frames are of another network."""
    folder = tmp_path_factory.mktemp("bundles")
    for serial, name in enumerate(("old", "a", "b")):
        write_test_bundle(
            folder / f"{name}.scanside", residual=serial / 100, serial=serial, version=f"1.{serial}"
        )
    manifest = make_manifest(serial=9)
    members = make_members(manifest, 0.3) | {"model.cpu.onnx": make_members(manifest)["model.onnx"]}
    write_bundle(folder / "bad.scanside", manifest, members)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "var/lib/scanside").mkdir(parents=True)
    (tmp_path / "root" / "run/scanside").mkdir(parents=True)
    return tmp_path / "root"


def run(root: Path, verb: str, *words: object, engine: bool = True) -> Result:
    """Unsigned bundles on ONNX Runtime, unless the words say otherwise."""
    more = ["--root", str(root)]
    if "--signed" not in words:
        more.append("--allow-unsigned")
    if verb == "install" and engine:
        more += ["--engine", "onnxruntime", "--threads", "1"]
    said = [str(word) for word in words if word != "--signed"]
    return CliRunner().invoke(device, [verb, *said, *more])


def outcomes(result: Result) -> list[str]:
    text = result.stdout
    return [step["outcome"] for step in json.loads(text[text.index("{") :])["steps"]]


def tree(root: Path) -> dict[str, bytes]:
    """Everything but the log of what verbs did."""
    return {
        str(path): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "device.jsonl"
    }


def listed(root: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run(root, "list", "--json").stdout)["bundles"]
    return found


def test_a_dry_run_says_what_would_be_done_and_touches_nothing(root: Path, files: Path) -> None:
    result = run(root, "install", files / "a.scanside", "--dry-run")
    assert result.exit_code == 0
    assert "2 of 4 steps would change something" in result.output
    assert not tree(root)
    assert not (root / "var/log").exists()


def test_install_tests_times_and_makes_active_and_again_changes_nothing(
    root: Path, files: Path
) -> None:
    first = run(root, "install", files / "a.scanside", "--json")
    assert first.exit_code == 0, first.output
    assert outcomes(first) == ["unchanged", "unchanged", "done", "done"]
    (one,) = listed(root)
    assert (one["place"], one["serial"], one["signer"]) == ("active", 1, "")
    installed = one["installed"]
    assert isinstance(installed, dict)
    assert installed["engine"].startswith("onnxruntime ")
    assert installed["golden_frames"] == 2
    assert 0 < installed["latency"]["median_ms"] <= installed["latency"]["worst_ms"]
    before = tree(root)
    again = run(root, "install", files / "a.scanside", "--json")
    assert outcomes(again) == ["unchanged"] * 4
    assert tree(root) == before
    log = (root / "var/log/scanside/device.jsonl").read_text().splitlines()
    assert [json.loads(line)["verb"] for line in log] == ["install", "install"]


def test_rollback_goes_back_and_forth_and_prune_keeps_both(root: Path, files: Path) -> None:
    for name in ("old", "a", "b"):
        assert run(root, "install", files / f"{name}.scanside").exit_code == 0
    places = {one["version"]: one["place"] for one in listed(root)}
    assert places == {"1.0": "", "1.1": "previous", "1.2": "active"}
    assert run(root, "rollback").exit_code == 0
    places = {one["version"]: one["place"] for one in listed(root)}
    assert places == {"1.0": "", "1.1": "active", "1.2": "previous"}
    assert outcomes(run(root, "prune", "--json")) == ["done", "done", "unchanged"]
    assert {one["version"] for one in listed(root)} == {"1.1", "1.2"}
    assert outcomes(run(root, "prune", "--json")) == ["unchanged"] * 3
    assert len(list((root / "var/lib/scanside/evidence").iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("a", ["--signed"], "carries no signature"),
        ("old", [], "has the serial 0, and 2 was installed"),
        ("bad", [], "golden frame"),
        ("cut", [], ""),
        ("missing", [], "is not a file"),
        ("orin", [], "the bundle is for orin-nx-16gb-jp6.2; this is no Jetson"),
    ],
)
def test_what_may_not_run_here_is_refused_and_the_store_untouched(
    root: Path, files: Path, tmp_path: Path, name: str, words: list[str], said: str
) -> None:
    assert run(root, "install", files / "b.scanside").exit_code == 0
    file = files / f"{name}.scanside"
    if name == "cut":
        file = tmp_path / "cut.scanside"
        file.write_bytes((files / "a.scanside").read_bytes()[:-100])
    if name == "orin":
        file = write_test_bundle(tmp_path / "o.scanside", target="orin-nx-16gb-jp6.2", serial=7)
    before = tree(root)
    result = run(root, "install", file, *words)
    assert result.exit_code == 20
    assert "✗" in result.stdout
    assert said in result.stdout
    assert "next: " in result.stdout
    assert tree(root) == before


def test_a_bundle_for_this_jetson_is_taken(root: Path, tmp_path: Path) -> None:
    (root / "etc").mkdir()
    (root / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 1\n")
    (root / "etc/nv_boot_control.conf").write_text("TNSPEC 3767-300-0000-R.1-1-1-jetson-x-\n")
    file = write_test_bundle(tmp_path / "o.scanside", target="orin-nx-16gb-jp6.2")
    assert run(root, "install", file).exit_code == 0
    file = write_test_bundle(tmp_path / "p.scanside", target="orin-nano-8gb-jp6.2", serial=1)
    refused = run(root, "install", file)
    assert refused.exit_code == 20
    assert "for orin-nano-8gb-jp6.2; this is orin-nx-16gb-jp6.2" in refused.stdout


def test_a_signed_bundle_needs_no_word_and_its_signer_is_listed(
    root: Path, files: Path, tmp_path: Path
) -> None:
    identity = new_key(tmp_path / "key")
    trust = root / "etc/scanside/trust"
    trust.mkdir(parents=True)
    (trust / "release.pub").write_bytes((tmp_path / "key.pub").read_bytes())
    file = tmp_path / "signed.scanside"
    sign_bundle(files / "a.scanside", load_private_key(tmp_path / "key"), file)
    assert run(root, "install", file, "--signed").exit_code == 0
    assert listed(root)[0]["signer"] == identity
    assert f"signed by {identity[:16]}" in run(root, "list").stdout


@contextmanager
def serving(root: Path, log: Path) -> Iterator[Path]:
    """A real daemon on the root's store and control socket; the latter."""
    control = root / "run/scanside/control"
    words = [*PROGRAM, "serve", "--store", str(root / "var/lib/scanside"), "--allow-unsigned"]
    words += ["--engine", "onnxruntime", "--threads", "1", "--bind", "tcp://127.0.0.1:*"]
    with (
        log.open("w") as stream,
        subprocess.Popen(
            [*words, "--control", str(control)],
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            env=os.environ.copy(),
        ) as process,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready: ")
            yield control
        finally:
            process.send_signal(signal.SIGKILL)


def test_a_running_daemon_takes_it_over_keeps_its_own_and_goes_back(
    root: Path, files: Path, tmp_path: Path
) -> None:
    assert run(root, "install", files / "a.scanside").exit_code == 0

    def serves() -> str:
        answer = command(control, Ask())
        assert isinstance(answer, Situation)
        assert answer.model is not None
        return answer.model.version

    with serving(root, tmp_path / "log") as control:
        assert run(root, "install", files / "b.scanside").exit_code == 0
        assert serves() == "1.2"
        before = tree(root)
        assert run(root, "install", files / "bad.scanside").exit_code == 20
        assert serves() == "1.2"
        assert tree(root) == before
        # The daemon tests it too, whoever else did not.
        with pytest.raises(GoldenMismatchError):
            activate(root, files / "bad.scanside")
        assert serves() == "1.2"
        assert tree(root) == before
        assert run(root, "rollback").exit_code == 0
        assert serves() == "1.1"
        elsewhere = run(root, "install", files / "b.scanside", "--store", "/other")
        assert elsewhere.exit_code == 20
        assert "the running daemon serves" in elsewhere.stdout
    # It is gone without a word, and its socket's file is left: the store itself is changed then.
    assert run(root, "install", files / "b.scanside").exit_code == 0
    assert {one["version"]: one["place"] for one in listed(root)}["1.2"] == "active"


def test_a_plan_is_built_once_and_one_that_was_built_elsewhere_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a stub CUDA driver and a fake TensorRT: what opens the plan cannot be had here, so the
    self-test fails, and the bundle does not become active."""
    fake = FakeDevice(tmp_path / "here")
    file = write_test_bundle(tmp_path / "one.scanside")
    program = [str(fake.bin / "scanside"), "device", "install", "--root", str(root)]
    program += ["--allow-unsigned", "--engine", "tensorrt"]

    def install(what: Path, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program, str(what), *words], capture_output=True, text=True, timeout=120, check=False
        )

    planned = install(file, "--dry-run")
    assert "→ its plan is there: BUILDING, which takes minutes" in planned.stdout, planned
    done = install(file)
    assert "✓ its plan is there" in done.stdout, done
    assert "BUILDING" in done.stderr
    assert "layers on INT8" in done.stderr
    assert "✗ it passes its self-test" in done.stdout
    assert not (root / "var/lib/scanside/chosen.json").exists()
    assert len(list((root / "var/lib/scanside/plans").glob("*.plan"))) == 1
    assert "= its plan is there" in install(file).stdout

    other = FakeDevice(tmp_path / "other", memory=8 << 30)
    other.adopt(monkeypatch)
    kept = build_plan_file(file, tmp_path / "plans", lambda line: None)
    bundle = Bundle.open(file)
    members = {name: bundle.member(name) for name in bundle.names if name != "manifest.json"}
    members[f"plans/{kept.evidence.key}.plan"] = kept.path.read_bytes()
    members[f"plans/{kept.evidence.key}.json"] = kept.path.with_suffix(".json").read_bytes()
    foreign = tmp_path / "foreign.scanside"
    write_bundle(foreign, bundle.manifest, members)
    refused = install(foreign)
    assert refused.returncode == 20
    assert "the bundle's plan was built on another device" in refused.stdout
    assert "= the bundle may run here" in install(foreign, "--build", "--dry-run").stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another")
def test_the_daemons_user_can_lock_and_read_what_root_installed(files: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are for root's eyes alone
        root = Path(folder)
        root.chmod(0o755)
        store = root / "var/lib/scanside"
        store.mkdir(parents=True)
        os.chown(store, 65534, 65534)
        assert run(root, "install", files / "a.scanside").exit_code == 0
        for name in ("lock", "bundles", "plans"):
            assert (store / name).stat().st_uid == 65534
        for path in (store / "chosen.json", *(store / "bundles").iterdir()):
            assert path.stat().st_mode & 0o044 == 0o044
    assert os.geteuid() == 0


def test_a_file_that_changes_between_its_test_and_its_activation_is_refused(
    root: Path, files: Path, tmp_path: Path
) -> None:
    file = tmp_path / "changing.scanside"
    file.write_bytes((files / "a.scanside").read_bytes())
    order = Order(Machine(root), file, engine="onnxruntime", threads=1, allow_unsigned=True)
    steps = install_steps(order)
    steps[2].do()
    file.write_bytes((files / "b.scanside").read_bytes())
    before = tree(root)
    report = carry_out("install", steps)
    assert report.failed
    assert "is being changed" in report.steps[0].text
    assert tree(root) == before


def activate(root: Path, file: Path) -> None:
    """The last step alone."""
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    words = {"allow_unsigned": True, "force": False, "told": lambda text: None}
    make_active(Machine(root), "/var/lib/scanside", file, sha256, **words)


def test_a_bundle_that_cannot_be_made_active_does_not_stay(
    root: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(root, "install", files / "a.scanside").exit_code == 0
    before = tree(root)

    def fail(*words: object, **more: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Store, "activate", fail)
    with pytest.raises(StoreError):
        activate(root, files / "b.scanside")
    assert tree(root) == before
