"""Keys and scores as files, and what is made of them."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("scipy", reason="needs the extra [workstation]")
from scanside.benchmarks.study.cli import study as verb
from scanside.benchmarks.study.records import (
    Answer,
    Case,
    Key,
    Scores,
    ShownPair,
    checksum,
    read_key,
    read_scores,
    write_key,
)
from scanside.benchmarks.study.score import score
from scanside.runtime.errors import StudyError


def make_key(cases: int = 12, repeats: int = 3, patients: int = 12) -> Key:
    """B is on the right of even pairs."""
    return Key(
        study="ab" * 8,
        a="original",
        b="enhanced [/x]",
        question="Which?",
        seed="0",
        cases=[Case(name=f"{index}.dcm", patient=index % patients) for index in range(cases)],
        pairs=[
            ShownPair(
                pair=f"{index:016x}",
                case=index % cases,
                b_side="left" if index % 2 else "right",
                repeat=index >= cases,
            )
            for index in range(cases + repeats)
        ],
    )


def make_scores(key: Key, reader: str, for_b: list[int]) -> Scores:
    """for_b: the reader's preference for B, pair by pair; a shorter list is unfinished."""
    answers = [
        Answer(pair=shown.pair, preference=one if shown.b_side == "right" else -one)
        for shown, one in zip(key.pairs, for_b, strict=False)
    ]
    total = checksum(key.study, reader, answers)
    return Scores(study=key.study, reader=reader, answers=answers, checksum=total)


def save(scores: Scores, path):
    path.write_bytes(msgspec.json.encode(scores))
    return path


def test_figures_by_hand():
    key = make_key()
    one = make_scores(key, "R1", [2, 1, 1, 0, 0, -1, 1, 2, 1, 1, -2, 1, 2, -1, 0])
    two = make_scores(key, "R2", [1] * 12 + [1, 1, 1])
    figures = score(key, [one, two])
    first = figures.readers[0]
    assert (first.tally.for_a, first.tally.ties, first.tally.for_b) == (2, 2, 8)
    assert first.tally.preference_b == pytest.approx(9 / 12)
    assert first.tally.mean == pytest.approx(7 / 12)
    assert (first.again, first.same, first.missing) == (3, 1, 0)
    assert figures.pooled.preference_b == pytest.approx(21 / 24)
    assert figures.bootstrap.low < 21 / 24 <= figures.bootstrap.high
    # R2 always prefers B: 15 pairs, B on the left of 7.
    assert figures.readers[1].left == pytest.approx(7 / 15)
    assert figures.p < 0.01
    assert figures.agreement < 0.2
    assert figures.notes == []
    assert score(key, [two]).agreement is None


def test_sides_are_turned_round_by_the_key():
    key = make_key()
    right = [Answer(pair=shown.pair, preference=1) for shown in key.pairs]
    scores = Scores(study=key.study, reader="R1", answers=right, checksum="")
    figures = score(key, [scores])
    assert figures.pooled.preference_b == 0.5
    assert figures.readers[0].left == 0
    assert figures.readers[0].same == 3


def test_the_patient_is_the_unit():
    by_case = score(make_key(12, 0, 12), [make_scores(make_key(12, 0), "R1", [1] * 9 + [-1] * 3)])
    key = make_key(12, 0, 3)
    by_patient = score(key, [make_scores(key, "R1", [1] * 9 + [-1] * 3)])
    assert by_patient.p > by_case.p
    assert any("Several cases" in note for note in by_patient.notes)
    assert any("Only 3 patients" in note for note in by_patient.notes)
    alone = make_key(12, 0, 1)
    figures = score(alone, [make_scores(alone, "R1", [1] * 12)])
    assert (figures.p, figures.bootstrap) == (None, None)
    assert any("one patient" in note for note in figures.notes)


def test_unfinished_readers_are_counted_and_kept_out_unless_allowed():
    key = make_key()
    done, half = make_scores(key, "R1", [1] * 15), make_scores(key, "R2", [1] * 5)
    with pytest.raises(StudyError, match=r"1 of 2 readers .* R2 lacks 10 of 15"):
        score(key, [done, half])
    figures = score(key, [done, half], allow_unfinished=True)
    assert figures.readers[1].missing == 10
    assert any("R2 lacks 10" in note for note in figures.notes)
    with pytest.raises(StudyError, match="not answered a single case"):
        score(key, [done, make_scores(key, "R3", [])], allow_unfinished=True)


def test_a_reader_counts_once():
    key = make_key()
    one = make_scores(key, "R1", [1] * 15)
    with pytest.raises(StudyError, match="2 files are of the reader R1"):
        score(key, [one, one])
    with pytest.raises(StudyError, match="no scores"):
        score(key, [])


def test_a_key_comes_back_and_is_its_owners_alone(tmp_path):
    path = tmp_path / "s.key.json"
    write_key(path, make_key())
    assert read_key(path) == make_key()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_that_does_not_hold_together_is_refused(tmp_path):
    path = tmp_path / "s.key.json"
    whole = json.loads(msgspec.json.encode(make_key()))
    for change in (
        lambda key: key["cases"].pop(),
        lambda key: key["pairs"].append(key["pairs"][0]),
        lambda key: key["pairs"].pop(0),
        lambda key: key.pop("seed"),
        lambda key: key.update(format="scanside-study-key-2"),
        lambda key: key["pairs"][0].update(case=-1),
    ):
        broken = json.loads(json.dumps(whole))
        change(broken)
        path.write_text(json.dumps(broken))
        with pytest.raises(StudyError, match=r"s\.key\.json"):
            read_key(path)


def test_scores_that_were_changed_or_are_strange_are_refused(tmp_path):
    key = make_key()
    good = make_scores(key, "R1", [1, -1] * 7 + [0])
    path = save(good, tmp_path / "one.json")
    assert read_scores(path, key) == good
    whole = json.loads(path.read_text())

    def changed(change, summed: bool) -> None:
        broken = json.loads(json.dumps(whole))
        change(broken)
        if summed:  # by somebody who can compute the checksum
            answers = [Answer(**one) for one in broken["answers"]]
            broken["checksum"] = checksum(broken["study"], broken["reader"], answers)
        path.write_text(json.dumps(broken))

    for change, summed, match in (
        (lambda s: s["answers"][0].update(preference=2), False, "changed"),
        (lambda s: s.update(reader="R2"), False, "changed"),
        (lambda s: s["answers"].pop(), False, "changed"),
        (lambda s: s["answers"].append(s["answers"][0]), True, "changed"),
        (lambda s: s["answers"][0].update(pair="f" * 16), True, "changed"),
        (lambda s: s["answers"][0].update(preference=3), True, "no scores"),
        (lambda s: s.update(reader="Dr. Anna Example"), True, "no scores"),
        (lambda s: s.update(study="cd" * 8), True, "another study"),
    ):
        changed(change, summed)
        with pytest.raises(StudyError, match=match):
            read_scores(path, key)
    for content in (b"", b"\xff\xfe", b"[" * 200_000, b"{}", b"\x00" * (2**24 + 1)):
        path.write_bytes(content)
        with pytest.raises(StudyError, match="no scores"):
            read_scores(path, key)
    with pytest.raises(StudyError, match="cannot be read"):
        read_scores(tmp_path / "absent.json", key)


def test_the_verb_prints_tables_and_writes_json(tmp_path):
    key = make_key()
    random = np.random.default_rng(3)
    write_key(tmp_path / "s.key.json", key)
    files = [
        save(
            make_scores(key, reader, [int(one) for one in random.integers(-1, 3, 15)]),
            tmp_path / f"{reader}.json",
        )
        for reader in ("R1", "R2", "R3")
    ]
    out = tmp_path / "figures.json"
    arguments = ["score", tmp_path / "s.key.json", *files, "--json", out]
    done = CliRunner().invoke(verb, [str(one) for one in arguments], catch_exceptions=False)
    assert done.exit_code == 0
    for word in ("enhanced", "R3", "[/x]", "Krippendorff", "Wilcoxon", "12 cases of 12 patients"):
        assert word in " ".join(done.output.split())  # a title may be wrapped
    figures = json.loads(out.read_text())
    assert len(figures["readers"]) == 3
    assert 0 <= figures["pooled"]["wilson"][0] <= figures["pooled"]["preference_b"]
