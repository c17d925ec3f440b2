"""The daemon's life, as one table."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class State(str, Enum):
    STARTING = "STARTING"
    VERIFYING = "VERIFYING"
    BUILDING = "BUILDING"
    SELF_TEST = "SELF_TEST"
    READY = "READY"
    DEGRADED = "DEGRADED"
    DRAINING = "DRAINING"
    STOPPED = "STOPPED"


# READY is entered from SELF_TEST only: no frame is enhanced by an engine that has not just passed.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.STARTING: frozenset({State.VERIFYING, State.DRAINING}),
    State.VERIFYING: frozenset({State.BUILDING, State.DRAINING}),
    State.BUILDING: frozenset({State.SELF_TEST, State.DRAINING}),
    State.SELF_TEST: frozenset({State.READY, State.DEGRADED, State.DRAINING}),
    State.READY: frozenset({State.DEGRADED, State.DRAINING}),
    State.DEGRADED: frozenset({State.SELF_TEST, State.DRAINING}),
    State.DRAINING: frozenset({State.STOPPED}),
    State.STOPPED: frozenset(),
}


class IllegalTransitionError(RuntimeError):
    """A bug in the daemon, never something that a user did."""


class Life:
    """Where the daemon stands. `changed(before, after)` is called after every transition."""

    def __init__(self, changed: Callable[[State, State], None]) -> None:
        self._state = State.STARTING
        self._changed = changed

    @property
    def state(self) -> State:
        return self._state

    def enter(self, state: State) -> None:
        """Raises IllegalTransitionError for a step that is not in TRANSITIONS."""
        before = self._state
        if state not in TRANSITIONS[before]:
            raise IllegalTransitionError(f"from {before.value} to {state.value}")
        self._state = state
        self._changed(before, state)
