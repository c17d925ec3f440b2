"""The service that runs the application: started again, and watched until it is READY."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from scanside.jetson.layout import CONTROL, UNIT
from scanside.jetson.machine import Machine
from scanside.runtime.control import Ask, Situation, command
from scanside.runtime.errors import DeviceError, TransportError

LIMIT_S = 900.0
"""The new version may have to build its plan anew: minutes."""
START_S = 120.0
_ASK_S = 2.0
_PAUSE_S = 0.5


@dataclass(frozen=True)
class Service:
    """limit_s: from its start to READY. told: each state that it comes to."""

    machine: Machine
    limit_s: float = LIMIT_S
    told: Callable[[str], object] = lambda state: None

    @property
    def runs(self) -> bool:
        """Whether systemd has it running, or starting over and over."""
        ran = self.machine.run("systemctl", "is-active", UNIT)
        return ran is not None and ran.out.strip() in ("active", "activating", "reloading")

    def restart(self) -> None:
        """Raises DeviceError where it does not even say that its socket answers."""
        # A version that failed too often before must not keep the next one from being started.
        self.machine.run("systemctl", "reset-failed", UNIT)
        ran = self.machine.run("systemctl", "restart", UNIT, seconds=START_S)
        if ran is None or ran.code:
            raise DeviceError(f"{UNIT} does not start", next_step=f"journalctl -u {UNIT} -n 50")

    def wait(self) -> None:
        """Until it is READY. Raises DeviceError where it fails, or takes longer than the limit."""
        until = time.monotonic() + self.limit_s
        last = ""
        while time.monotonic() < until:
            state = self.state()
            if state and state != last:
                self.told(state)
                last = state
            if state == "READY":
                return
            if not state and not self.runs:
                raise DeviceError(
                    f"{UNIT} ended before it was READY", next_step=f"journalctl -u {UNIT} -n 50"
                )
            time.sleep(_PAUSE_S)
        raise DeviceError(
            f"{UNIT} was not READY within {self.limit_s / 60:.3g} minutes"
            + (f": it came to {last}" if last else ""),
            next_step=f"journalctl -u {UNIT} -n 50; give it longer with --limit",
        )

    def state(self) -> str:
        """What the daemon says at its control socket; empty where none answers."""
        try:
            answer = command(self.machine.path(CONTROL), Ask(), patience_s=_ASK_S)
        except TransportError:
            return ""
        return answer.state if isinstance(answer, Situation) else ""
