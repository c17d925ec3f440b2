"""What whoever provisions may choose: power mode, settings, keys of the wire, a static address."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from provisioning import Make, provision, refused, steps_of
from scanside.jetson.layout import ENVIRONMENT
from scanside.runtime.curve import key_id, load_pair, load_public, new_pair
from scanside.runtime.errors import DeviceError
from stateful_tools import blank_jetson, calls, installed

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others: needs root")


@pytest.fixture
def jetson(tmp_path: Path) -> Make:
    def make(**changes: Any) -> Path:
        return installed(blank_jetson(tmp_path / "root", **{"mode": "15W", **changes}))

    return make


class TestPower:
    def test_maxn_super_needs_the_explicit_word(self, jetson: Make) -> None:
        root = jetson()
        error = refused(root, "--power-mode", "MAXN_SUPER")
        assert "can damage" in error.message
        assert "--i-have-cooling" in error.next_step
        assert provision(root, "--power-mode", "MAXN_SUPER", "--i-have-cooling").exit_code == 0
        assert calls(root)[-1] == "nvpmodel -m 0"

    def test_a_mode_that_the_board_lacks_is_named_with_those_that_it_has(
        self, jetson: Make
    ) -> None:
        error = refused(jetson(), "--power-mode", "50W")
        assert "50W" in error.message
        assert "MAXN_SUPER, 10W, 15W, 25W, 40W" in error.next_step

    def test_a_mode_that_asks_for_a_restart_gets_none_without_being_told(
        self, jetson: Make
    ) -> None:
        root = jetson()
        (root / "var/fake/reboot").write_text("25W")
        result = provision(root)
        assert result.exit_code == DeviceError.exit_code
        assert "asks for a restart" in result.output
        assert "--reboot" in result.output
        assert provision(root, "--reboot").exit_code == 0

    def test_a_mode_that_is_not_read_back_is_an_error(self, jetson: Make) -> None:
        root = jetson()
        (root / "var/fake/deaf").write_text("25W")
        result = provision(root)
        assert result.exit_code == DeviceError.exit_code
        assert "does not say so" in result.output

    def test_a_mode_that_the_table_does_not_know_needs_the_word_too(self, jetson: Make) -> None:
        conf = "< POWER_MODEL ID=0 NAME=HOT >\n< POWER_MODEL ID=1 NAME=25W >\n"
        root = jetson(files={"etc/nvpmodel.conf": conf}, mode="25W")
        assert "explicit word" in refused(root, "--power-mode", "HOT").message


class TestSettings:
    def test_what_the_site_wrote_stays(self, jetson: Make) -> None:
        root = jetson()
        provision(root)
        file = root / ENVIRONMENT.lstrip("/")
        file.write_text("# ours\nSCANSIDE_BIND=tcp://127.0.0.1:7000\nOTHER=1\n")
        assert "unchanged" in provision(root, "--json").stdout
        assert file.read_text() == "# ours\nSCANSIDE_BIND=tcp://127.0.0.1:7000\nOTHER=1\n"
        provision(root, "--set", "SCANSIDE_OPTIONS=--threads 4")
        assert file.read_text() == (
            "# ours\nSCANSIDE_BIND=tcp://127.0.0.1:7000\nOTHER=1\nSCANSIDE_OPTIONS=--threads 4\n"
        )

    def test_one_line_is_changed_and_no_other(self, jetson: Make) -> None:
        root = jetson()
        provision(root)
        before = (root / ENVIRONMENT.lstrip("/")).read_text().splitlines()
        provision(root, "--set", "SCANSIDE_BIND=tcp://127.0.0.1:7000")
        after = (root / ENVIRONMENT.lstrip("/")).read_text().splitlines()
        changed = [new for old, new in zip(before, after, strict=True) if old != new]
        assert changed == ["SCANSIDE_BIND=tcp://127.0.0.1:7000"]

    @pytest.mark.parametrize(
        ("setting", "said"),
        [
            ("PATH=/x", "no setting"),
            ("SCANSIDE_OPTIONS=$(reboot)", "cannot hold"),
            ("SCANSIDE_OPTIONS=a\nLD_PRELOAD=x", "cannot hold"),
            ("SCANSIDE_BIND=http://x", "not an address"),
            ("SCANSIDE_BIND=tcp://0.0.0.0:5555", "no client has a key"),
        ],
    )
    def test_what_would_not_work_is_refused(self, jetson: Make, setting: str, said: str) -> None:
        assert said in refused(jetson(), "--set", setting).message


class TestWire:
    def test_the_daemons_key_is_made_here_and_given_to_it_alone(self, jetson: Make) -> None:
        root = jetson()
        result = provision(root, "--wire-keys")
        wire = root / "etc/scanside/wire"
        status = (wire / "server.key").stat()
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (998, 0o600)
        pair = load_pair(wire / "server.key")
        assert key_id(pair.public) in result.output
        assert (
            pair.secret.decode()
            not in result.output + (root / "var/log/scanside/device.jsonl").read_text()
        )
        # Nobody could come in yet, and the daemon would not start with keys.
        assert "\nSCANSIDE_KEYS=" not in (root / ENVIRONMENT.lstrip("/")).read_text()

    def test_a_key_that_was_cut_short_is_made_anew_and_a_whole_one_never(
        self, jetson: Make
    ) -> None:
        root = jetson()
        provision(root, "--wire-keys")
        wire = root / "etc/scanside/wire"
        whole = (wire / "server.key").read_bytes()
        os.chown(wire / "server.key", 0, 0)
        provision(root, "--wire-keys")
        assert (wire / "server.key").read_bytes() == whole
        assert (wire / "server.key").stat().st_uid == 998
        (wire / "server.pub").unlink()
        provision(root, "--wire-keys")
        assert load_pair(wire / "server.key").public == load_public(wire / "server.pub")

    def test_a_client_that_is_let_in_turns_keys_on(self, jetson: Make, tmp_path: Path) -> None:
        root = jetson()
        new_pair(tmp_path / "console")
        public = tmp_path / "console.pub"
        words = ("--client", str(public), "--set", "SCANSIDE_BIND=tcp://0.0.0.0:5555")
        result = provision(root, *words)
        assert result.exit_code == 0, result.output
        held = root / "etc/scanside/wire/clients/console.pub"
        assert load_public(held) == load_public(public)
        assert (
            "\nSCANSIDE_KEYS=/etc/scanside/wire\n" in (root / ENVIRONMENT.lstrip("/")).read_text()
        )
        assert set(steps_of(provision(root, *words, "--json")).values()) == {"unchanged"}

    def test_another_key_under_a_clients_name_is_refused(
        self, jetson: Make, tmp_path: Path
    ) -> None:
        root = jetson()
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            new_pair(tmp_path / name / "console")
        assert provision(root, "--client", str(tmp_path / "a/console.pub")).exit_code == 0
        result = provision(root, "--client", str(tmp_path / "b/console.pub"))
        assert "another client's key" in str(result.exception)
        assert load_public(root / "etc/scanside/wire/clients/console.pub") == load_public(
            tmp_path / "a/console.pub"
        )

    def test_a_secret_key_is_not_taken_for_a_clients(self, jetson: Make, tmp_path: Path) -> None:
        new_pair(tmp_path / "console")
        error = refused(jetson(), "--client", str(tmp_path / "console.key"))
        assert "secret" in error.message


class TestAddress:
    def test_it_is_written_for_networkmanager_and_not_applied(self, jetson: Make) -> None:
        root = jetson()
        result = provision(root, "--address", "192.168.7.20/24", "--gateway", "192.168.7.1")
        file = root / "etc/NetworkManager/system-connections/scanside-eth0.nmconnection"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "address1=192.168.7.20/24,192.168.7.1\n" in file.read_text()
        assert "nmcli connection up scanside-eth0" in result.output
        assert not any("nmcli" in call for call in calls(root))

    @pytest.mark.parametrize(
        "words",
        [
            ("--address", "192.168.7.20"),
            ("--address", "192.168.7.0/24"),
            ("--address", "192.168.7.255/24"),
            ("--address", "192.168.7.300/24"),
            ("--address", "192.168.7.20/24", "--gateway", "10.0.0.1"),
            ("--address", "192.168.7.20/24", "--gateway", "192.168.7.20"),
            ("--address", "192.168.7.20/24", "--interface", "eth0\n[ipv4]"),
            ("--time-server", "a b"),
            ("--time-server", "ntp\nServer=x"),
        ],
    )
    def test_what_is_none_is_refused(self, jetson: Make, words: tuple[str, ...]) -> None:
        refused(jetson(), *words)

    def test_an_ipv6_address_is_one_too(self, jetson: Make) -> None:
        root = jetson()
        assert provision(root, "--address", "fd00::20/64").exit_code == 0
        text = (
            root / "etc/NetworkManager/system-connections/scanside-eth0.nmconnection"
        ).read_text()
        assert "[ipv6]\nmethod=manual\naddress1=fd00::20/64\nnever-default=true\n" in text
