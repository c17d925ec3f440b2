"""A plan from a builder over SSH: a real sshd on loopback with a fake device behind it."""

from __future__ import annotations

import signal
import sys

import msgspec
import pytest
from click.testing import CliRunner

from bundles import make_manifest, make_members
from devices import FakeDevice, started_afresh
from remote_builds import (
    PLAN_BYTES,
    build,
    make_bundle,
    nothing_changes,
    settled,
    wait_until_it_builds,
)
from scanside.compile.builder import Builder, plan_elsewhere
from scanside.compile.pack import sign_bundle, write_bundle
from scanside.compile.plan_cli import plan as verb
from scanside.compile.ssh import parse_address
from scanside.runtime.bundle import Bundle
from scanside.runtime.cli.verify import verify
from scanside.runtime.errors import (
    BuilderError,
    KeyFileError,
    PlanError,
)
from scanside.runtime.plan_lines import Line
from scanside.runtime.plans import Evidence
from scanside.runtime.signing import load_private_key, new_key
from ssh_servers import CuttingProxy, SshServer

pytestmark = pytest.mark.usefixtures("device")  # its ssh, not the user's

CUTS = [("up", share) for share in (0.0, 0.002, 0.2, 0.6, 0.95)]
CUTS += [("down", share) for share in (0.0005, 0.002, 0.1, 0.5, 0.995)]


def test_the_plan_is_put_into_the_bundle_and_its_identity_stays(server, device, bundle):
    before = Bundle.open(bundle)
    shown = build(server, bundle)
    after = Bundle.open(bundle)
    evidence, plan = sorted(set(after.names) - set(before.names))
    assert len(after.member(plan)) == PLAN_BYTES
    told = msgspec.json.decode(after.member(evidence), type=Evidence)
    assert (evidence, plan) == (f"plans/{told.key}.json", f"plans/{told.key}.plan")
    assert told.source == "model.onnx"
    assert after.identity == before.identity
    assert {line.phase for line in shown} == {"Building Engine", "Timing"}
    assert list(bundle.parent.iterdir()) == [bundle]
    assert settled(device)


@pytest.fixture(scope="module")
def traffic(
    server: SshServer, jetson: FakeDevice, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, int]:
    """Bytes that a whole build sends up and down."""
    bundle = make_bundle(tmp_path_factory.mktemp("whole") / "here")
    jetson.behave(size=PLAN_BYTES)
    with pytest.MonkeyPatch.context() as patch, CuttingProxy(server.port) as proxy:
        patch.setenv("PATH", f"{server.client}:/usr/bin:/bin")
        build(server, bundle, proxy.port)
    return proxy.passed


@pytest.mark.parametrize(("way", "share"), CUTS)
def test_a_cut_connection_leaves_the_bundle_as_it_was(server, device, bundle, traffic, way, share):
    with (
        nothing_changes(bundle),
        CuttingProxy(server.port, **{way: traffic[way] * share}) as proxy,
        pytest.raises(BuilderError) as caught,
    ):
        build(server, bundle, proxy.port)
    assert "the connection to the builder" in caught.value.message
    assert caught.value.next_step
    assert settled(device)
    build(server, bundle)
    assert "plans/" in " ".join(Bundle.open(bundle).names)


def test_a_connection_cut_while_it_builds_ends_the_build_too(server, device, bundle):
    device.behave(sleep=60)
    with nothing_changes(bundle), CuttingProxy(server.port) as proxy:

        def cut(line: Line) -> None:
            if line.phase == "Timing":
                wait_until_it_builds(device)
                proxy.cut()

        address = parse_address(server.url(proxy.port))
        with pytest.raises(BuilderError, match="ended while building"):
            plan_elsewhere(bundle, Builder(address, server.identity), None, 60.0, cut)
    assert settled(device)


def test_a_signed_bundle_is_signed_anew_and_verifies(server, device, bundle, tmp_path):
    keys = tmp_path / "keys"
    keys.mkdir()
    new_key(keys / "release")
    identity = sign_bundle(bundle, load_private_key(keys / "release"), bundle).identity
    arguments = [str(bundle), "--builder", server.url(), "--identity", str(server.identity)]
    arguments += ["--key", str(keys / "release")]
    done = CliRunner().invoke(verb, arguments, catch_exceptions=False)
    assert "Orin, 16 GB" in done.output
    assert "not verified on hardware" in done.output
    assert sum(name.endswith(".plan") for name in Bundle.open(bundle).names) == 1
    told = CliRunner().invoke(verify, [str(bundle), "--trust", str(keys)], catch_exceptions=False)
    assert told.exit_code == 0
    assert identity[:16] in told.output


def test_a_signed_bundle_without_a_key_is_refused_before_anything_starts(
    server, device, bundle, tmp_path
):
    new_key(tmp_path / "release")
    sign_bundle(bundle, load_private_key(tmp_path / "release"), bundle)
    before = server.log.read_text()
    with nothing_changes(bundle), pytest.raises(KeyFileError, match="signed anew") as caught:
        build(server, bundle)
    assert "--key" in caught.value.next_step
    assert server.log.read_text() == before


def test_plans_of_several_devices_go_into_one_bundle(server, device, bundle, tmp_path):
    build(server, bundle)
    identity = Bundle.open(bundle).identity
    other = FakeDevice(tmp_path / "other", l4t="39.2.0", driver=13020)
    build(server, bundle, program=other.bin / "scanside")
    after = Bundle.open(bundle)
    assert sum(name.endswith(".plan") for name in after.names) == 2
    assert after.identity == identity


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"crash": "SIGSEGV"}, "crashed with SIGSEGV"),
        ({"float": True}, "none of its layers works on INT8"),
        ({"refuse": "image"}, "UNSUPPORTED_NODE"),
    ],
)
def test_a_build_that_fails_there_is_told_here(server, device, bundle, how, says):
    device.behave(**how)
    with nothing_changes(bundle), pytest.raises(PlanError, match=says):
        build(server, bundle)
    assert settled(device)


def test_the_time_limit_holds_there(server, device, bundle):
    device.behave(sleep=60)
    with nothing_changes(bundle), pytest.raises(PlanError, match="not built within"):
        build(server, bundle, time_limit_s=3.0)
    assert settled(device)


def test_ctrl_c_here_ends_the_build_there(server, device, bundle):
    device.behave(sleep=60)
    command = [sys.executable, "-m", "scanside.runtime", "plan", str(bundle)]
    command += ["--builder", server.url(), "--identity", str(server.identity)]
    with nothing_changes(bundle), started_afresh(command) as started:
        wait_until_it_builds(device)
        started.send_signal(signal.SIGINT)
        assert started.wait(20) == 130
    assert settled(device)


def test_a_bundle_that_was_replaced_meanwhile_is_not_overwritten(server, device, bundle):
    def replace(line: Line) -> None:
        manifest = make_manifest(version="9.9.9")
        write_bundle(bundle, manifest, make_members(manifest, 0.125))

    address = parse_address(server.url())
    with pytest.raises(PlanError, match="key is not that"):
        plan_elsewhere(bundle, Builder(address, server.identity), None, 60.0, replace)
    assert Bundle.open(bundle).manifest.version == "9.9.9"
