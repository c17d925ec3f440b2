"""A model on its way to take over: loaded and tested beside the one that serves."""

from __future__ import annotations

from scanside.runtime.control import Done, Progress, failed
from scanside.runtime.daemon.control import Tell
from scanside.runtime.daemon.inference import Inference
from scanside.runtime.daemon.journal import event, failure
from scanside.runtime.daemon.loading import Loaded
from scanside.runtime.daemon.states import Life, State


class Candidate:
    """Belongs to the socket thread. Its life is of the daemon's table, up to READY.

    tell: answers whoever asked for the swap.
    """

    def __init__(self, inference: Inference, tell: Tell) -> None:
        self.inference = inference
        self._tell = tell
        self._life = Life(self._changed)

    @property
    def state(self) -> State:
        return self._life.state

    def enter(self, state: State) -> None:
        """Raises IllegalTransitionError as `Life.enter`."""
        self._life.enter(state)

    def advanced(self, progress: str) -> None:
        """progress: how far it is within its state, in words."""
        self._tell(Progress(state=f"{self.state.value}: {progress}"))

    def took_over(self, loaded: Loaded) -> None:
        event(
            "swapped",
            model=loaded.card.name,
            version=loaded.card.version,
            identity=loaded.card.identity,
            engine=loaded.card.engine,
            signed=loaded.card.signed,
        )
        self._tell(Done(text="swapped", model=loaded.card))

    def give_up(self, error: Exception) -> None:
        """The daemon keeps the model that it has, and says why."""
        failure("swap failed", error)
        self._tell(failed(error))

    def _changed(self, before: State, after: State) -> None:
        event("candidate", before=before.value, after=after.value)
        self._tell(Progress(state=after.value))
