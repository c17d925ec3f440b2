"""Power modes, changed by name, read back, and put back whatever ends the run.

nvpmodel may ask for a reboot and change nothing, silently over SSH: so the mode is read back.
Should this process be killed, the keeper, a process of its own that only waits for that, puts the
mode back. Not verified on hardware.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scanside.jetson.device.module import read_module
from scanside.jetson.device.power import Power, read_power
from scanside.jetson.machine import Machine
from scanside.runtime.errors import DeviceError
from scanside.runtime.platforms import modules, plain_mode

SET_S = 60.0
_DONE = b"done\n"


def allowed_modes(machine: Machine, wanted: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names of the modes to go through: `wanted`, else those that this device lists and the table
    of platforms allows its module; those that are opt-in only by being named. None where the
    device has no nvpmodel.

    Raises DeviceError for a name that the device does not have.
    """
    power = read_power(machine)
    there = [mode.name for mode in power.modes]
    for name in wanted:
        if name not in there:
            raise DeviceError(
                f"this device has no power mode {name}",
                next_step=f"it has {', '.join(there) or 'none'}",
            )
    if wanted or not power.installed:
        return wanted
    found = read_module(machine).name
    table = modules()[found].power if found in modules() else {}
    allowed = [name for name in there if table.get(plain_mode(name)) in ("default", "allowed")]
    return tuple(allowed or filter(None, [power.current]))


def set_mode(machine: Machine, name: str) -> str | None:
    """Ask for a mode; the one that is read back, which may be another: a reboot is needed then.
    None where nvpmodel does not answer."""
    number = read_power(machine).id_of(name)
    if number is not None:
        machine.run("nvpmodel", "-m", str(number), seconds=SET_S, given="no\n")
    return _live(read_power(machine))


def _live(power: Power) -> str | None:
    """What nvpmodel itself says: its status file tells what was asked for, not what came of it."""
    return None if power.from_status else power.current


@contextmanager
def mode_kept(machine: Machine) -> Iterator[str | None]:
    """The mode that is there now; it is there again when the block ends, or this process.

    Raises DeviceError where nvpmodel does not tell it, and where it cannot be put back.
    """
    power = read_power(machine)
    if not power.installed:
        yield None
        return
    before = _live(power)
    if before is None:
        raise DeviceError(
            "nvpmodel does not tell the power mode, so that none could be put back",
            next_step="sudo nvpmodel -q; where that hangs or fails, restart the device",
        )
    # -I: else Python would import from the folder that root stands in, a stick's say.
    command = [sys.executable, "-I", "-m", "scanside.jetson.verify.modes"]
    command += [str(machine.root), before]
    # A group of its own: Ctrl-C is not for the keeper.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as keeper:
        assert keeper.stdin is not None
        try:
            yield before
        finally:
            after = _live(read_power(machine))
            if after != before:
                after = set_mode(machine, before)
            with suppress(BrokenPipeError):  # a keeper that is gone does no harm now
                if after == before:
                    keeper.stdin.write(_DONE)
                keeper.stdin.close()
    if after != before:
        raise DeviceError(
            f"the power mode {before} cannot be put back: the device is in {after or 'none told'}",
            next_step=f"sudo nvpmodel -m {read_power(machine).id_of(before)}, or reboot",
        )


def keep(root: str, name: str) -> None:
    """Wait for the word that all is well; without it, put the mode back."""
    if sys.stdin.buffer.read() != _DONE:
        set_mode(Machine(Path(root)), name)


if __name__ == "__main__":
    keep(*sys.argv[1:])
