"""What a site may choose, /etc/scanside/scanside.env: written once, then theirs line by line."""

from __future__ import annotations

import re
from collections.abc import Mapping

from scanside.jetson.layout import ADDRESS, ENVIRONMENT, WIRE_KEYS
from scanside.jetson.machine import Machine
from scanside.jetson.provision.places import Place, file_step
from scanside.jetson.provision.wire import has_clients
from scanside.jetson.steps import Step
from scanside.runtime.daemon.address import is_private
from scanside.runtime.errors import DeviceError

BIND, KEYS, OPTIONS = "SCANSIDE_BIND", "SCANSIDE_KEYS", "SCANSIDE_OPTIONS"
NAMES = (BIND, KEYS, OPTIONS)
PLACE = Place(ENVIRONMENT, 0o644)
_VALUE = re.compile(r"[A-Za-z0-9_./:*@=,\[\] -]*\Z")
TEMPLATE = f"""\
# What this site chooses. Written once by `scanside device provision`, which from then on changes
# only the lines that it is asked to (--set NAME=VALUE); restart the service after a change:
#   sudo systemctl restart scanside

# Where clients connect. tcp://0.0.0.0:5555 lets other machines in: it needs keys.
{BIND}={ADDRESS}

# The folder with the daemon's key and its clients'.
#{KEYS}={WIRE_KEYS}

# More options of `scanside serve`: --threads 4 --metrics-port 9464
{OPTIONS}=
"""


def settings_steps(
    machine: Machine, wanted: Mapping[str, str], wire_keys: bool, clients: bool
) -> list[Step]:
    """wire_keys, clients: whether keys are being made, and clients being let in, by this run.

    Raises DeviceError for a setting that is none, and for an address that others reach where no
    client has a key; TransportError for what is no address.
    """
    for name, value in wanted.items():
        if name not in NAMES:
            raise DeviceError(f"there is no setting {name}", next_step=f"one of {', '.join(NAMES)}")
        if not _VALUE.match(value):
            raise DeviceError(
                f"{name} cannot hold that: quotes, $ and the like mean something to systemd",
                next_step=f"plain words only, or edit {ENVIRONMENT} by hand",
            )
    text = _written(machine)
    changes = dict(wanted)
    if clients or (wire_keys and has_clients(machine)):
        changes.setdefault(KEYS, WIRE_KEYS)
    for name, value in changes.items():
        text = changed(text, name, value)
    _check_address(text)
    return [file_step(machine, PLACE, text, "the site's settings")]


def _written(machine: Machine) -> str:
    """What the site has now. What cannot be understood is never taken for nothing: it would be
    written over."""
    try:
        return machine.path(ENVIRONMENT).read_text(encoding="utf-8")
    except FileNotFoundError:
        return TEMPLATE
    except (OSError, UnicodeDecodeError) as error:
        raise DeviceError(
            f"{ENVIRONMENT} cannot be read: {getattr(error, 'strerror', None) or 'not in UTF-8'}",
            next_step="look at it: it must be a text file in UTF-8, which root can read",
        ) from error


def setting(text: str, name: str) -> str:
    """The value that counts, the last; empty where it is not set."""
    found = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return found[-1].strip() if found else ""


def changed(text: str, name: str, value: str) -> str:
    """The text with one setting's line changed, its commented one taken, or a line added."""
    if setting(text, name) == value and re.search(rf"^{name}=", text, re.MULTILINE):
        return text
    for pattern in (rf"^{name}=.*$", rf"^#\s*{name}=.*$"):
        found = list(re.finditer(pattern, text, re.MULTILINE))
        if found:
            last = found[-1]
            return f"{text[: last.start()]}{name}={value}{text[last.end() :]}"
    return f"{text.rstrip(chr(10))}\n{name}={value}\n"


def _check_address(text: str) -> None:
    address = setting(text, BIND)
    if address and not is_private(address) and not setting(text, KEYS):
        raise DeviceError(
            f"{address} can be reached from other machines, and no client has a key",
            next_step="let clients in by their keys: --client NAME.pub, see docs/keys.md",
        )
