"""Builders that are not what they must be, or talk nonsense: refused, and the bundle untouched."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from devices import FakeDevice
from remote_builds import build, make_bundle, nothing_changes, settled
from scanside.compile import builder as builder_module
from scanside.runtime.errors import (
    BuilderError,
    PlanError,
    ScansideError,
    TargetError,
)
from ssh_servers import CuttingProxy, free_port

pytestmark = pytest.mark.usefixtures("device")  # its ssh, not the user's


def test_a_builder_with_another_jetpack_is_refused_before_the_bundle_is_sent(
    server, device, tmp_path
):
    bundle = make_bundle(tmp_path / "here", target="orin-nx-16gb-jp7.2")
    with (
        nothing_changes(bundle),
        CuttingProxy(server.port) as proxy,
        pytest.raises(TargetError, match=r"JetPack 7\.2; this device runs JetPack 6\.2"),
    ):
        build(server, bundle, proxy.port)
    assert proxy.passed["up"] < 10_000
    assert not device.building.exists()


@pytest.mark.parametrize(
    ("l4t", "says"), [("", "workstation"), ("35.6.1", "TensorRT 8.5"), ("41.0.0", "no JetPack")]
)
def test_a_builder_that_is_no_supported_jetson_is_refused(server, bundle, tmp_path, l4t, says):
    other = FakeDevice(tmp_path / "other", l4t=l4t)
    with nothing_changes(bundle), pytest.raises(TargetError, match=says):
        build(server, bundle, program=other.bin / "scanside")
    assert not other.building.exists()


def test_a_builder_that_cannot_be_reached_is_told(server, bundle):
    with nothing_changes(bundle), pytest.raises(BuilderError, match="refused") as caught:
        build(server, bundle, free_port())
    assert caught.value.exit_code == 16
    assert "must work without a question" in caught.value.next_step


def test_a_key_that_the_builder_does_not_take_is_told(server, bundle, tmp_path):
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")]
    subprocess.run(make, check=True)
    with nothing_changes(bundle), pytest.raises(BuilderError, match="Permission denied"):
        build(server, bundle, identity=tmp_path / "other")
    with nothing_changes(bundle), pytest.raises(BuilderError, match="is not a file"):
        build(server, bundle, identity=tmp_path / "missing")


def test_a_builder_with_another_host_key_is_not_talked_to(server, bundle, tmp_path, monkeypatch):
    client = tmp_path / "client"
    client.mkdir()
    wrapper = (server.client / "ssh").read_text().replace("ssh_config", "other_config")
    (client / "ssh").write_text(wrapper)
    (client / "ssh").chmod(0o755)
    folder = server.client.parent
    user = " ".join((folder / "user.pub").read_text().split()[:2])
    (folder / "other_hosts").write_text(f"jetson {user}\n")
    text = (folder / "ssh_config").read_text().replace("/known_hosts", "/other_hosts")
    (folder / "other_config").write_text(text)
    monkeypatch.setenv("PATH", f"{client}:/usr/bin:/bin")
    with nothing_changes(bundle), pytest.raises(BuilderError, match="Host key verification failed"):
        build(server, bundle)


def test_a_builder_without_scanside_is_told_where_to_look(server, bundle):
    with nothing_changes(bundle), pytest.raises(BuilderError, match="no scanside") as caught:
        build(server, bundle, program="/opt/none here/scanside; touch $HOME")
    assert "--scanside" in caught.value.next_step


NONSENSE = {
    "a greeting of the shell": ("echo Welcome to Ubuntu", BuilderError, "nothing of Scanside's"),
    "nothing at all": ("true", BuilderError, "ended while greeting"),
    "an endless line": ("tr '\\0' x < /dev/zero", BuilderError, "nothing of Scanside's"),
    "another protocol": (
        """echo '{"protocol": 2, "fingerprint": FINGERPRINT}'""", BuilderError, "another protocol",
    ),
    "a fingerprint of nonsense": (
        """echo '{"fingerprint": {"l4t": 7}}'""", BuilderError, "nothing of Scanside's",
    ),
    "an error of its own": (
        """echo '{"error": "\\u001b[2Jbad", "kind": "RefusedFrameError"}'""", PlanError, "bad",
    ),
    "nonsense instead of phases": (
        """echo '{"fingerprint": FINGERPRINT}'; head -c 1000000 >/dev/null; echo "<html>" """,
        BuilderError, "nothing of Scanside's",
    ),
    "an end instead of a plan": (
        """echo '{"fingerprint": FINGERPRINT}'; head -c 1000000 >/dev/null; exit 3""",
        BuilderError, "ended while",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", NONSENSE)
def test_a_builder_that_answers_nonsense_is_not_believed(server, device, bundle, tmp_path, what):
    script, kind, says = NONSENSE[what]
    told = device.run("plan", "--probe")
    program = tmp_path / "scanside"
    program.write_text("#!/bin/sh\n" + script.replace("FINGERPRINT", told.stdout.strip()) + "\n")
    program.chmod(0o755)
    with nothing_changes(bundle), pytest.raises(kind, match=says) as caught:
        build(server, bundle, program=program)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ("plan = plan[:-1] + b'x'", "bytes are not those"),
        ("line['plan']['key'] = '0' * 64", "key is not that"),
        ("line['plan']['fingerprint']['l4t'] = '36.4.4'", "of another device"),
        ("line['plan']['settings']['workspace_mb'] = 7", "other settings"),
        ("line['plan']['size'] = len(plan) - 5", "ended while fetching"),
        ("line['plan']['size'] = len(plan) + 5", "ended while fetching"),
    ],
)
def test_a_plan_that_is_not_what_the_evidence_says_is_refused(
    server, device, bundle, tmp_path, edit, says
):
    """A far end between us and the real one, which changes what comes back."""
    program = tmp_path / "scanside"
    program.write_text(
        f"""#!{sys.executable}
import json, subprocess, sys
real = subprocess.Popen([{str(device.bin / "scanside")!r}, *sys.argv[1:]], stdout=subprocess.PIPE)
while True:
    raw = real.stdout.readline()
    line = json.loads(raw)
    if "plan" in line:
        break
    sys.stdout.buffer.write(raw)
    sys.stdout.buffer.flush()
plan = real.stdout.read()
{edit}
sys.stdout.buffer.write(json.dumps(line).encode() + b"\\n" + plan)
"""
    )
    program.chmod(0o755)
    with nothing_changes(bundle), pytest.raises(ScansideError, match=says):
        build(server, bundle, program=program)
    assert settled(device)


def test_a_builder_that_is_not_believed_is_not_waited_for(server, bundle, tmp_path):
    program = tmp_path / "scanside"
    program.write_text("#!/bin/sh\necho Welcome\nexec sleep 60\n")
    program.chmod(0o755)
    started = time.monotonic()
    with nothing_changes(bundle), pytest.raises(BuilderError, match="nothing of Scanside's"):
        build(server, bundle, program=program)
    assert time.monotonic() - started < 30


def test_a_builder_that_hangs_is_given_up(server, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(builder_module, "GREETING_S", 2.0)
    program = tmp_path / "scanside"
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    program.chmod(0o755)
    with nothing_changes(bundle), pytest.raises(BuilderError, match="did not answer within 2 s"):
        build(server, bundle, program=program)
