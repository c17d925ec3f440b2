"""The unit under the real systemd: provisioned, started, swapped, hung, misconfigured.

Takes a minute, and needs what `booted.missing` says. Not covered: DevicePolicy=, which a container
without a device controller of its own does not enforce, LimitMEMLOCK=, which it may not raise, and
everything of NVIDIA's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

import booted
from bundles import write_test_bundle
from scanside.runtime.bundle import Bundle
from scanside.runtime.signing import new_key

MISSING = booted.missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("booted")
    results, work = folder / "results", folder / "work"
    results.mkdir()
    work.mkdir()
    new_key(results / "release")
    for number, name in enumerate(("a", "b"), 1):
        file = write_test_bundle(results / f"{name}.scanside", version=f"{number}.0", serial=number)
        sign = (sys.executable, "-m", "scanside.runtime", "sign", str(file))
        subprocess.run([*sign, "--key", str(results / "release")], check=True, capture_output=True)
    boot = (sys.executable, str(REPOSITORY / "tests/booted.py"), str(results), str(work))
    done = subprocess.run(
        ["unshare", "-m", *boot], capture_output=True, text=True, timeout=290, check=False
    )
    told = results / "facts.json"
    assert told.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    found: dict[str, Any] = json.loads(told.read_text())
    assert "broke" not in found, found["broke"]
    return found | {name: Bundle.open(results / f"{name}.scanside").identity for name in ("a", "b")}


def outcomes(ran: list[Any]) -> list[str]:
    assert ran[0] == 0, ran
    return [step["outcome"] for step in json.loads(ran[1])["steps"]]


def heard(ran: list[Any]) -> list[Any]:
    assert ran[0] == 0, ran[2]
    answer: list[Any] = json.loads(ran[1])
    return answer


@pytest.mark.timeout(300)
def test_provision_with_the_real_tools_changes_nothing_the_second_time(facts: Any) -> None:
    assert "would" in outcomes(facts["dry run"])
    assert facts["no user yet"] != 0
    assert "done" in outcomes(facts["first"])
    assert set(outcomes(facts["second"])) == {"unchanged"}
    assert set(outcomes(facts["settings"])) == {"unchanged"}
    assert facts["holds"] == ["nvidia-l4t-core", "nvidia-l4t-cuda"]
    assert facts["password"] == ["L"]


def test_the_installed_unit_has_nothing_to_complain_of(facts: Any) -> None:
    assert facts["verify"] == [0, "", ""]
    assert [f"/dev/{node} rw" in facts["devices"] for node in booted.NODES] == [True] * 5


def test_the_command_is_found(facts: Any) -> None:
    assert facts["command"][0] == 0
    assert "scanside, version" in facts["command"][1]


def test_without_a_model_it_neither_starts_nor_fails(facts: Any) -> None:
    assert facts["started empty"] == [0, "inactive"]


def test_frames_are_enhanced_in_shared_memory_for_those_in_the_group_alone(facts: Any) -> None:
    assert facts["start"][0] == 0
    assert facts["status text"] == "READY"
    assert heard(facts["console"]) == ["enhanced", facts["a"], 1, True]
    assert facts["stranger"][0] != 0


def test_a_swap_goes_on_without_a_restart(facts: Any) -> None:
    assert facts["swap"][0] == 0, facts["swap"]
    assert heard(facts["console after the swap"]) == ["enhanced", facts["b"], 1, True]
    assert facts["reload"][0] == 0
    assert facts["restarts before"] == "0"


def test_the_daemon_has_no_powers(facts: Any) -> None:
    process = facts["process"]
    assert process["Uid"] != "0"
    assert (process["NoNewPrivs"], process["Seccomp"]) == ("1", "2")
    assert int(process["CapBnd"], 16) == 0
    (core,) = [line for line in facts["limits"].splitlines() if "core file" in line]
    assert core.split()[4:6] == ["0", "0"]


def test_it_writes_to_its_own_folders_alone(facts: Any) -> None:
    writable = {name for name, may in facts["may write"].items() if may}
    assert writable == {"/var/lib/scanside", "/var/cache/scanside", "/run/scanside", "/tmp"}
    assert facts["may read"].pop("/etc/shadow") is False
    assert all(facts["may read"].values()), facts["may read"]


def test_a_daemon_that_hangs_is_started_again_with_the_same_model(facts: Any) -> None:
    restarts, seconds = facts["watchdog"]
    assert restarts == "1"
    assert 10 < seconds < 40
    assert heard(facts["console after the restart"]) == ["enhanced", facts["b"], 1, True]


def test_a_wrong_key_stops_it_for_good(facts: Any) -> None:
    assert facts["bad keys"] == ["failed", "14", "0"]


def test_the_log_bears_no_names(facts: Any) -> None:
    assert '"event": "swapped"' in facts["journal"]
    assert Path.cwd().as_posix() not in facts["journal"]
