"""The programs of this folder, each for a few seconds: their whole runs are make's verbs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import REPOSITORY
from reliability.clock_jumps import JUMPS_H, jump, library
from reliability.daemon_process import TRANSPORTS
from reliability.dicom_fuzz import fuzz_dicom
from reliability.kills import kill_at_random
from reliability.lies import fuzz_client
from reliability.slow_readers import NUISANCES, endure
from reliability.soak import EXPECTED, soak

PNG = b"\x89PNG"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_whoever_survives_a_kill_learns_of_every_frame(tmp_path: Path, transport: str) -> None:
    outcome = kill_at_random(tmp_path, 3, 3, transport=transport)
    assert outcome.wrong == []
    assert (outcome.clients_killed, outcome.daemons_killed) == (3, 3)
    assert outcome.survivors.answered["enhanced"] > 50
    assert outcome.survivors.answered["unanswered"] > 0


def test_a_short_soak_accounts_for_every_frame(tmp_path: Path) -> None:
    chart = tmp_path / "runs" / "memory.png"
    outcome = soak(tmp_path, 20 / 60, seed=3, chart=chart)
    assert outcome.wrong == []
    assert outcome.swaps >= 4
    assert outcome.hostile_messages > 300
    assert set(EXPECTED) >= {word for one in outcome.clients.values() for word in one.answered}
    assert outcome.came.total() > 1000
    assert outcome.table()
    assert chart.read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    "transport",
    [TRANSPORTS[0], *(pytest.param(one, marks=pytest.mark.slow) for one in TRANSPORTS[1:])],
)
def test_nobody_suffers_from_a_slow_reader(tmp_path: Path, transport: str) -> None:
    outcome = endure(tmp_path, 1.0, transport)
    assert outcome.wrong == []
    assert set(outcome.accounts) == set(NUISANCES)
    assert min(one.answered["enhanced"] for one in outcome.accounts.values()) > 20


@pytest.mark.slow
@pytest.mark.skipif(library() is None, reason="needs libfaketime (Debian's package faketime)")
def test_jumps_of_the_clock_change_nothing(tmp_path: Path) -> None:
    # Long enough for the daemon to look for silent sessions once: every 15 s.
    outcome = jump(tmp_path, 1.4, rate=10)  # libfaketime makes each look at the clock dear
    assert outcome.wrong == []
    assert len(outcome.accounts) == 3
    assert outcome.seen_h >= max(JUMPS_H)


def test_nothing_on_the_wire_asks_for_the_time_of_day() -> None:
    # What a jump has to hit within microseconds to be seen, such as the client's patience.
    runtime = REPOSITORY / "runtime"
    files = [*runtime.glob("*.py"), *(runtime / "daemon").glob("*.py")]
    files += [*(runtime / "wire").glob("*.py"), *(runtime / "memory").glob("*.py")]
    assert len(files) > 50
    asking = {
        file.name
        for file in files
        for word in ("time.time(", "time_ns(", "datetime.now(", "time.localtime(")
        if word in file.read_text()
    }
    assert asking == set()


@pytest.mark.parametrize("seed", range(3))
def test_a_lying_daemon_never_fools_the_client(seed: int) -> None:
    seen = fuzz_client(seed, 300)
    assert seen["enhanced"] > 100
    assert seen["ProtocolError"] > 50


def test_mutated_dicom_ends_in_an_error_or_a_whole_result(tmp_path: Path) -> None:
    data = Path(os.environ.get("SCANSIDE_DATA", REPOSITORY.parent / "shared" / "data"))
    outcome = fuzz_dicom(tmp_path, data if data.is_dir() else None, 300, programs=4)
    assert outcome.wrong == []
    assert outcome.files == 304
    assert outcome.ends["written"] > 20
    assert sum(outcome.codes.values()) == 4
    assert len(outcome.ends) > 5
