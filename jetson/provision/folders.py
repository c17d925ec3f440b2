"""Every folder of Scanside's on a device, whose it is, and who may look in."""

from __future__ import annotations

from scanside.jetson import layout
from scanside.jetson.machine import Machine
from scanside.jetson.provision.places import Place, folder_step, link_step
from scanside.jetson.steps import Step
from scanside.runtime.curve import CLIENTS

USER = layout.USER
CACHE = "/var/cache/scanside"
WIRE_CLIENTS = f"{layout.WIRE_KEYS}/{CLIENTS}"

FOLDERS = (
    Place(layout.APPLICATION, 0o755),
    Place(layout.VERSIONS, 0o755),
    Place(layout.SETTINGS, 0o755),
    Place(layout.TRUST, 0o755),
    # The daemon reads its secret key; others need not even see whose keys are there.
    Place(layout.WIRE_KEYS, 0o750, group=USER),
    Place(WIRE_CLIENTS, 0o755),
    # systemd gives these two to the daemon as well, with the same modes.
    Place(layout.STORE, 0o700, USER, USER),
    Place(CACHE, 0o700, USER, USER),
    Place(layout.LOGS, 0o755),
)


COMMAND = "/usr/local/bin/scanside"
"""A link to the current version's, so that `sudo scanside` is found."""


def folder_steps(machine: Machine) -> list[Step]:
    return [folder_step(machine, place) for place in FOLDERS]


def command_steps(machine: Machine) -> list[Step]:
    return [link_step(machine, COMMAND, f"{layout.CURRENT}/bin/scanside")]
