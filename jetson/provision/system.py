"""What Ubuntu itself is told: how much to log, what apt must leave alone, whose time counts."""

from __future__ import annotations

import ipaddress
import re

from scanside.jetson.device.packages import read_packages
from scanside.jetson.machine import Machine
from scanside.jetson.provision.accounts import tell
from scanside.jetson.provision.places import Place, file_step
from scanside.jetson.steps import Step
from scanside.runtime.errors import DeviceError

JOURNAL = Place("/etc/systemd/journald.conf.d/50-scanside.conf", 0o644)
JOURNAL_TEXT = """\
# Made by `scanside device provision`: logs outlast a restart, and never fill the disk.
[Journal]
Storage=persistent
SystemMaxUse=256M
SystemKeepFree=1G
RuntimeMaxUse=32M
MaxRetentionSec=3month
"""
TIME = Place("/etc/systemd/timesyncd.conf.d/50-scanside.conf", 0o644)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62}))*\.?\Z")
_TIMESYNCD = ("/lib/systemd/systemd-timesyncd", "/usr/lib/systemd/systemd-timesyncd")


def journal_steps(machine: Machine) -> list[Step]:
    def after() -> None:
        _restart(machine, "systemd-journald.service")

    return [file_step(machine, JOURNAL, JOURNAL_TEXT, "the journal's limits", after)]


def hold_steps(machine: Machine) -> list[Step]:
    def pending() -> str | None:
        loose = read_packages(machine).loose
        return f"hold {len(loose)} packages" if loose else None

    def do() -> None:
        tell(machine, "apt-mark", "hold", *read_packages(machine).loose)

    return [Step("apt leaves L4T alone", pending, do)]


def time_steps(machine: Machine, servers: tuple[str, ...]) -> list[Step]:
    """Raises DeviceError for what is no server's name, and where systemd-timesyncd is not there."""
    if not servers:
        return []
    for server in servers:
        if not (_HOST.match(server) and len(server) < 254) and not _is_address(server):
            raise DeviceError(
                f"{server!r} is no name or address of a server", next_step="check --time-server"
            )
    if not any(machine.path(name).exists() for name in _TIMESYNCD):
        raise DeviceError(
            "systemd-timesyncd is not installed here, another program may keep the time",
            next_step="name the server in its settings (chrony: /etc/chrony/chrony.conf)",
        )
    text = f"# Made by `scanside device provision`.\n[Time]\nNTP={' '.join(servers)}\n"

    def after() -> None:
        _restart(machine, "systemd-timesyncd.service")

    return [file_step(machine, TIME, text, f"the time comes from {' '.join(servers)}", after)]


def _restart(machine: Machine, unit: str) -> None:
    """Where it runs. What was written counts from the next start of the device at the latest."""
    machine.run("systemctl", "try-restart", unit, seconds=60.0)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
