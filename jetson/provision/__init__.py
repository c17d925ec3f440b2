"""A blank Jetson made ready for Scanside, by steps that may be taken again at any time.

::

    refusals    devices that are not touched        unit      the service, and its nodes
    accounts    user and groups                     system    journald, holds, time server
    places      folders and files with an owner     address   a static address, written only
    settings    what the site may choose            power     a power mode by its name
    trust       whose signatures count              wire      keys of the wire

`provision_steps` puts them in order. Not verified on hardware.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scanside.jetson.application import install_version
from scanside.jetson.device import read_device
from scanside.jetson.doctor.platform import case_of
from scanside.jetson.layout import CURRENT
from scanside.jetson.provision.accounts import account_steps
from scanside.jetson.provision.address import Address, address_steps
from scanside.jetson.provision.folders import command_steps, folder_steps
from scanside.jetson.provision.power import power_steps
from scanside.jetson.provision.refusals import refuse
from scanside.jetson.provision.settings import settings_steps
from scanside.jetson.provision.system import hold_steps, journal_steps, time_steps
from scanside.jetson.provision.trust import trust_steps
from scanside.jetson.provision.unit import enable_steps, unit_steps
from scanside.jetson.provision.wire import wire_steps
from scanside.runtime.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scanside.jetson.machine import Machine
    from scanside.jetson.package import Package
    from scanside.jetson.steps import Step


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What whoever provisions asks for, beside what every device gets.

    package: the application comes from it; without one, what is installed stays. settings: lines of
    scanside.env, name -> value. wire_keys: make the daemon's key of the wire. clients: public keys
    of those who may come in. time_servers: names or addresses. power_mode: by name [the module's
    default]; cooling: that MAXN_SUPER's heat is led away; reboot: that nvpmodel may restart the
    device, where the mode asks for it.
    """

    package: Package | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    wire_keys: bool = False
    clients: tuple[Path, ...] = ()
    time_servers: tuple[str, ...] = ()
    address: Address | None = None
    power_mode: str | None = None
    cooling: bool = False
    reboot: bool = False


def provision_steps(machine: Machine, wishes: Wishes, *, dry_run: bool = False) -> list[Step]:
    """All steps, in order. What restarts the device comes last. dry_run: they will only be asked,
    which needs no root.

    Raises DeviceError, before anything is touched, for a device that is refused and for a wish that
    cannot be granted.
    """
    case = case_of(read_device(machine))
    refuse(case, wishes.package, dry_run=dry_run)
    package = wishes.package
    if package is None and not machine.path(CURRENT).exists():
        raise DeviceError(
            "no application is installed here yet", next_step="name the offline package: --package"
        )
    return [
        *account_steps(machine),
        *folder_steps(machine),
        *unit_steps(machine, case),
        # Keys are believed as far as the package is.
        *trust_steps(machine, package.trust if package and package.signed else []),
        *(install_version(machine, package) if package else ()),
        *command_steps(machine),
        *wire_steps(machine, wishes.wire_keys, wishes.clients),
        *settings_steps(machine, wishes.settings, wishes.wire_keys, bool(wishes.clients)),
        *enable_steps(machine),
        *journal_steps(machine),
        *hold_steps(machine),
        *time_steps(machine, wishes.time_servers),
        *address_steps(machine, wishes.address),
        *power_steps(machine, case, wishes.power_mode, wishes.cooling, wishes.reboot),
    ]
