"""A static address: a connection of NetworkManager's, which is what JetPack's Ubuntu uses.

It is only written: whoever provisions over that very network would cut off the branch they sit on.
The next start takes it, or a person at the console, with the command that provision prints.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from dataclasses import dataclass

from scanside.jetson.machine import Machine
from scanside.jetson.provision.places import Place, file_step
from scanside.jetson.steps import Step
from scanside.runtime.errors import DeviceError

CONNECTIONS = "/etc/NetworkManager/system-connections"
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}\Z")  # IFNAMSIZ
_NAMESPACE = uuid.UUID("5f0f1b6e-2a53-4f0c-9c64-5b1f6f1c4d7e")


@dataclass(frozen=True)
class Address:
    """address: with its prefix, 192.168.7.20/24. interface: as eth0. gateway: or None."""

    address: str
    interface: str
    gateway: str | None = None

    @property
    def connection(self) -> str:
        return f"scanside-{self.interface}"

    @property
    def file(self) -> str:
        return f"{CONNECTIONS}/{self.connection}.nmconnection"

    @property
    def how_to_apply(self) -> str:
        return (
            f"sudo nmcli connection load {self.file} && sudo nmcli connection up {self.connection}"
        )


def address_steps(machine: Machine, wanted: Address | None) -> list[Step]:
    """Raises DeviceError for what is no address of a host, and where NetworkManager is missing."""
    if wanted is None:
        return []
    text = _keyfile(wanted)
    if machine.tool("nmcli") is None:
        raise DeviceError(
            "this system has no NetworkManager", next_step="set the address as this system does it"
        )
    # NetworkManager ignores files that others may read.
    place = Place(wanted.file, 0o600)
    return [file_step(machine, place, text, f"{wanted.interface} will be {wanted.address}")]


def _keyfile(wanted: Address) -> str:
    try:
        here = ipaddress.ip_interface(wanted.address)
        gateway = ipaddress.ip_address(wanted.gateway) if wanted.gateway else None
    except ValueError as error:
        raise DeviceError(
            f"this is no address: {error}", next_step="as in --address 192.168.7.20/24"
        ) from error
    alone = here.network.prefixlen == here.max_prefixlen
    ends = {here.network.network_address, here.network.broadcast_address}
    if alone or "/" not in wanted.address or here.ip in ends:
        raise DeviceError(
            f"{wanted.address} is no address of a host in a network",
            next_step="name its network too: 192.168.7.20/24",
        )
    if gateway is not None and (gateway not in here.network or gateway == here.ip):
        raise DeviceError(
            f"the gateway {gateway} is not in the network {here.network}",
            next_step="check --address and --gateway",
        )
    if not _INTERFACE.match(wanted.interface):
        raise DeviceError(f"{wanted.interface!r} is no interface", next_step="see `ip link`")
    used, other = ("ipv4", "ipv6") if here.version == 4 else ("ipv6", "ipv4")
    route = f",{gateway}" if gateway else "\nnever-default=true"
    return f"""\
# Made by `scanside device provision`.
[connection]
id={wanted.connection}
uuid={uuid.uuid5(_NAMESPACE, wanted.connection)}
type=ethernet
interface-name={wanted.interface}
autoconnect=true
autoconnect-priority=100

[{used}]
method=manual
address1={here.with_prefixlen}{route}

[{other}]
method=disabled
"""
