"""The key and the readers' scores -> which of the two is preferred, how surely, by whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from scanside.benchmarks.study.records import Key, Scores
from scanside.benchmarks.study.statistics import (
    Float,
    Interval,
    bootstrap,
    krippendorff,
    signed_rank,
    wilson,
)
from scanside.runtime.errors import StudyError

FEW_PATIENTS = 10


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """First showings only. for_a, ties, for_b: answers. preference_b: share that prefers B, a tie
    counted as half. wilson: its 95% interval as if all answers were independent. mean: of the
    five-point preference, -2 (A much better) to 2 (B much better)."""

    for_a: int
    ties: int
    for_b: int
    preference_b: float
    wilson: Interval
    mean: float


class ReaderFigures(msgspec.Struct, frozen=True, kw_only=True):
    """missing: pairs without an answer, repeats included. left: share of non-tied answers that
    chose the left image: far from a half is a habit of the reader. again: repeated pairs answered
    both times; same: of these, how often the same image was preferred (or none both times)."""

    reader: str
    tally: Tally
    missing: int
    left: float | None
    again: int
    same: int


class StudyFigures(msgspec.Struct, frozen=True, kw_only=True):
    """a, b: names. bootstrap: 95% interval of preference_b over readers and patients, None with
    one patient. p: Wilcoxon signed rank on the patients' mean preferences, None with one patient.
    agreement: between readers, Krippendorff's ordinal alpha, None with one reader or where it is
    not defined. stability: the same alpha between first and second showings."""

    study: str
    a: str
    b: str
    question: str
    cases: int
    patients: int
    pooled: Tally
    bootstrap: Interval | None
    p: float | None
    agreement: float | None
    stability: float | None
    readers: list[ReaderFigures]
    notes: list[str]


def score(key: Key, handed_in: Sequence[Scores], *, allow_unfinished: bool = False) -> StudyFigures:
    """What the scores say. Raises StudyError for a reader who is in twice, for unfinished readers
    unless they are allowed, and where no answer is left."""
    _refuse_twice(handed_in)
    unfinished = [
        f"{one.reader} lacks {len(key.pairs) - len(one.answers)}"
        for one in handed_in
        if len(one.answers) < len(key.pairs)
    ]
    if unfinished and not allow_unfinished:
        raise StudyError(
            f"{len(unfinished)} of {len(handed_in)} readers have not finished: "
            f"{', '.join(unfinished)} of {len(key.pairs)} answers",
            next_step="wait for them, or add --allow-unfinished",
        )
    first, second, left = _by_reader(key, handed_in)
    if np.isnan(first).all(axis=1).any():
        raise StudyError("a reader has not answered a single case", next_step="leave that file out")
    patients = [case.patient for case in key.cases]
    several = len(set(patients)) > 1
    return StudyFigures(
        study=key.study,
        a=key.a,
        b=key.b,
        question=key.question,
        cases=len(key.cases),
        patients=len(set(patients)),
        pooled=_tally(first),
        bootstrap=bootstrap((np.sign(first) + 1) / 2, patients),
        p=signed_rank(_patient_means(first, patients)) if several else None,
        agreement=krippendorff(first) if len(handed_in) > 1 else None,
        stability=krippendorff(np.stack((first.ravel(), second.ravel()))),
        readers=[
            _reader(one.reader, first[row], second[row], left[row], len(key.pairs))
            for row, one in enumerate(handed_in)
        ],
        notes=_notes(key, len(set(patients)), unfinished),
    )


def _refuse_twice(handed_in: Sequence[Scores]) -> None:
    if not handed_in:
        raise StudyError("there are no scores", next_step="name the readers' JSON files")
    reader, files = Counter(one.reader for one in handed_in).most_common(1)[0]
    if files > 1:
        raise StudyError(
            f"{files} files are of the reader {reader}",
            next_step="name only the last one of each reader",
        )


def _by_reader(key: Key, handed_in: Sequence[Scores]) -> tuple[Float, Float, Float]:
    """Preferences for B: (readers, cases) of first and of second showings; and (readers, pairs)
    preferences for the left. NaN where there is no answer."""
    first = np.full((len(handed_in), len(key.cases)), np.nan)
    second = first.copy()
    left = np.full((len(handed_in), len(key.pairs)), np.nan)
    column = {shown.pair: index for index, shown in enumerate(key.pairs)}
    for row, scores in enumerate(handed_in):
        for answer in scores.answers:
            shown = key.pairs[column[answer.pair]]
            for_b = answer.preference if shown.b_side == "right" else -answer.preference
            (second if shown.repeat else first)[row, shown.case] = for_b
            left[row, column[answer.pair]] = -answer.preference
    return first, second, left


def _tally(preferences: Float) -> Tally:
    given = preferences[~np.isnan(preferences)]
    for_a, ties, for_b = (int(np.sum(np.sign(given) == sign)) for sign in (-1, 0, 1))
    return Tally(
        for_a=for_a,
        ties=ties,
        for_b=for_b,
        preference_b=(for_b + ties / 2) / len(given),
        wilson=wilson(for_b + ties / 2, len(given)),
        mean=float(given.mean()),
    )


def _patient_means(preferences: Float, patients: Sequence[int]) -> Float:
    """A patient's slices are alike, so that the patient is the unit of the test."""
    numbers = np.array(patients)
    groups = [preferences[:, numbers == patient] for patient in np.unique(numbers)]
    means = [np.nanmean(one) for one in groups if not np.isnan(one).all()]
    return np.round(means, 9)  # so that equal means tie: thirds come out unlike in the last bit


def _reader(reader: str, first: Float, second: Float, left: Float, pairs: int) -> ReaderFigures:
    chosen = left[np.abs(left) > 0]
    both = ~np.isnan(first) & ~np.isnan(second)
    return ReaderFigures(
        reader=reader,
        tally=_tally(first),
        missing=pairs - int(np.sum(~np.isnan(left))),
        left=float(np.mean(chosen > 0)) if len(chosen) else None,
        again=int(both.sum()),
        same=int(np.sum(np.sign(first[both]) == np.sign(second[both]))),
    )


def _notes(key: Key, patients: int, unfinished: list[str]) -> list[str]:
    notes = []
    if patients == 1:
        notes.append(
            "All cases are of one patient: they say nothing of others, and there is no test."
        )
    elif patients < FEW_PATIENTS:
        notes.append(f"Only {patients} patients: the bootstrap's interval is too narrow.")
    if len(key.cases) > patients:
        notes.append(
            "Several cases are of one patient: Wilson's interval is too narrow, the bootstrap and "
            "the test go by patients."
        )
    if unfinished:
        notes.append(f"Unfinished readers: {', '.join(unfinished)} of {len(key.pairs)} answers.")
    return notes
