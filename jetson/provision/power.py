"""The power mode, by its name: ids differ from board to board. It is read back after it was set."""

from __future__ import annotations

from scanside.jetson.device.power import PowerMode, read_power
from scanside.jetson.doctor.verdict import Case
from scanside.jetson.machine import Machine
from scanside.jetson.steps import Step
from scanside.runtime.errors import DeviceError
from scanside.runtime.platforms import Module, plain_mode

SET_S = 60.0


def power_steps(
    machine: Machine, case: Case, name: str | None, cooling: bool, reboot: bool
) -> list[Step]:
    """name: the mode that is asked for, or None for the module's default. cooling: that whoever
    asks has said that an opt-in mode's heat is led away. reboot: answer nvpmodel's question yes.

    Raises DeviceError for a mode that was asked for and cannot be had. A default that this board
    does not list is left: the doctor's page says so.
    """
    modes = case.device.power.modes
    if name is None:
        mode = _listed(modes, _default(case.module))
        return [_step(machine, mode, reboot)] if mode else []
    mode = _listed(modes, name)
    if mode is None:
        names = ", ".join(one.name for one in modes)
        raise DeviceError(
            f"this board has no power mode {name}",
            next_step=f"one of {names}" if names else "there is no /etc/nvpmodel.conf",
        )
    _insist_on_cooling(case.module, mode, cooling)
    return [_step(machine, mode, reboot)]


def _default(module: Module | None) -> str:
    modes = module.power if module else {}
    return next((name for name, use in modes.items() if use == "default"), "")


def _listed(modes: tuple[PowerMode, ...], name: str) -> PowerMode | None:
    return next((one for one in modes if plain_mode(one.name) == plain_mode(name)), None)


def _insist_on_cooling(module: Module | None, mode: PowerMode, cooling: bool) -> None:
    use = module.power.get(plain_mode(mode.name)) if module else None
    # A mode that the table does not know is no less dangerous for that.
    if use in ("default", "allowed") or cooling:
        return
    why = "; ".join(module.cautions) if module and module.cautions else "it is not in the table"
    raise DeviceError(
        f"{mode.name} is set by explicit word only: {why}",
        next_step="with --i-have-cooling, where its carrier and its fan are made for it",
    )


def _step(machine: Machine, mode: PowerMode, reboot: bool) -> Step:
    def pending() -> str | None:
        power = read_power(machine)
        if power.current == mode.name and not power.from_status:
            return None
        return f"{power.current or 'unknown'} to {mode.name}"

    def do() -> None:
        answer = "YES\n" if reboot else "no\n"
        ran = machine.run("nvpmodel", "-m", str(mode.id), seconds=SET_S, given=answer)
        if pending() is None:
            return
        said = " ".join(f"{ran.out} {ran.error}".split()) if ran else ""
        if "reboot" in said.lower():
            raise DeviceError(
                f"{mode.name} asks for a restart"
                + (", which was asked for and has not come yet" if reboot else ""),
                next_step="run it again with --reboot, which restarts the device at once; all the "
                "other steps are done"
                if not reboot
                else "wait, then run it again",
            )
        raise DeviceError(
            f"{mode.name} was set, and nvpmodel does not say so: {said[-200:] or 'nothing'}",
            next_step=f"at the console: sudo nvpmodel -m {mode.id}; sudo nvpmodel -q",
        )

    return Step(f"power mode {mode.name}", pending, do)
