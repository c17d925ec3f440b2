"""No patient on two sides; a digest that changes with whatever a model sees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanside.runtime.errors import EmptySplitError
from scanside.train.data.digest import digest
from scanside.train.data.slice import Slice
from scanside.train.data.split import split_by_patient

PIXELS = np.arange(16, dtype=np.int16).reshape(4, 4)
NAMES = st.lists(st.integers(0, 30).map(str), max_size=80)


def images(patients):
    return [Slice(PIXELS, 1.0, patient=name) for name in patients]


@given(NAMES.filter(bool), NAMES, st.integers(2, 7))
def test_no_patient_is_ever_on_two_sides(patients, trained, share):
    slices, known = images(patients), images(trained)
    training, held = split_by_patient(slices, known, share)
    sides = [{one.patient for one in side} for side in (training + known, held)]
    assert not sides[0] & sides[1]
    assert sorted(one.patient for one in training + held) == sorted(patients)
    fresh = len(set(patients) - set(trained))
    assert len(sides[1]) == (-(-fresh // share) if fresh > 1 else 0)


def test_the_order_of_the_files_changes_nothing():
    slices = images(["a", "b", "c", "d", "a", "b"])
    one, other = split_by_patient(slices), split_by_patient(slices[::-1])
    assert {s.patient for s in one[1]} == {s.patient for s in other[1]}


def test_one_patient_alone_is_not_split():
    slices = images(["only"] * 3)
    assert split_by_patient(slices) == (slices, [])


@pytest.mark.parametrize(("patients", "share"), [([], 5), (["a", "b"], 1)])
def test_an_empty_training_side_is_refused(patients, share):
    with pytest.raises(EmptySplitError, match="no patient is left"):
        split_by_patient(images(patients), share=share)


@pytest.mark.parametrize(
    "other",
    [
        Slice(PIXELS + 1, 0.5, 12, (0, 0), "a"),
        Slice(PIXELS.astype(np.uint16), 0.5, 12, (0, 0), "a"),
        Slice(PIXELS.reshape(2, 8), 0.5, 12, (0, 0), "a"),
        Slice(PIXELS, 0.6, 12, (0, 0), "a"),
        Slice(PIXELS, 0.5, 13, (0, 0), "a"),
        Slice(PIXELS, 0.5, 12, (0, 1), "a"),
        Slice(PIXELS, 0.5, 12, None, "a"),
    ],
)
def test_the_digest_changes_with_what_a_model_sees(other):
    assert digest([other]) != digest([Slice(PIXELS, 0.5, 12, (0, 0), "a")])


def test_the_digest_knows_no_patients_and_no_memory_layout():
    one = Slice(PIXELS, 0.5, 12, (0, 0), "a")
    same = Slice(np.asfortranarray(PIXELS).astype(">i2"), np.float64(0.5), 12, (0, 0), "b")
    assert digest([one]) == digest([same])
    assert digest([one, one]) != digest([one])
