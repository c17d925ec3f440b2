from __future__ import annotations

import pytest

from scanside.runtime.daemon.reception import BYPASS_REASON
from scanside.runtime.daemon.states import TRANSITIONS, IllegalTransitionError, Life, State


def test_only_a_self_test_leads_to_ready() -> None:
    assert [s for s, after in TRANSITIONS.items() if State.READY in after] == [State.SELF_TEST]


def test_every_state_can_be_drained_and_only_draining_stops() -> None:
    for state, after in TRANSITIONS.items():
        if state not in (State.DRAINING, State.STOPPED):
            assert State.DRAINING in after
        assert (State.STOPPED in after) == (state is State.DRAINING)
    assert not TRANSITIONS[State.STOPPED]


def test_the_tables_know_every_state() -> None:
    assert set(TRANSITIONS) == set(BYPASS_REASON) == set(State)
    assert [s for s, reason in BYPASS_REASON.items() if reason is None] == [State.READY]


def test_a_legal_life_is_told_step_by_step() -> None:
    told: list[tuple[State, State]] = []
    life = Life(lambda before, after: told.append((before, after)))
    way = [State.VERIFYING, State.BUILDING, State.SELF_TEST, State.READY, State.DEGRADED]
    way += [State.SELF_TEST, State.READY, State.DRAINING, State.STOPPED]
    for state in way:
        life.enter(state)
        assert life.state is state
    assert told == list(zip([State.STARTING, *way], way, strict=False))


@pytest.mark.parametrize("state", set(State) - TRANSITIONS[State.STARTING])
def test_an_illegal_step_raises_and_changes_nothing(state: State) -> None:
    told: list[object] = []
    life = Life(lambda *step: told.append(step))
    with pytest.raises(IllegalTransitionError, match=f"from STARTING to {state.value}"):
        life.enter(state)
    assert life.state is State.STARTING
    assert not told
