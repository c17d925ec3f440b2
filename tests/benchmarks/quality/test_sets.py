"""Which images a model is judged on."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [workstation]")

from scanside.benchmarks.quality.sets import (
    FILES,
    PHANTOMS,
    UNTRAINED,
    default_names,
    find_sets,
)
from scanside.runtime.errors import NoImagesError
from scanside.train.bank import phantom_slices
from scanside.train.gather import HELD_OUT, TRAINING
from tiny import TINY


def test_without_real_images_phantoms_are_left_and_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("SCANSIDE_DATA", str(tmp_path))
    names, notes = default_names(TINY)
    assert names == [PHANTOMS]
    assert "ct_ge_hispeed_dual is not here" in notes[0]


def test_the_real_series_comes_first_where_it_is(monkeypatch, data_dir):
    monkeypatch.setenv("SCANSIDE_DATA", str(data_dir))
    assert default_names(TINY) == (["ct_ge_hispeed_dual", PHANTOMS], [])
    (found,) = find_sets(TINY, (40.0, 60.0), ["ct_ge_hispeed_dual"], most=3)
    assert found.words.startswith("3 slices of 1 patient, real head CT, GE HiSpeed Dual")
    assert found.data_range == "4095 HU"
    assert [case.level for case in found.cases] == [40, 60] * 3
    assert len(found.at(40)) == 3


@pytest.mark.parametrize("seed", [TINY.seed, UNTRAINED])
def test_phantoms_are_none_that_the_run_knows(seed):
    recipe = TINY.changed(seed=seed)
    (found,) = find_sets(recipe, (40.0,), [PHANTOMS])
    assert len(found.slices) == TINY.heldout_phantoms
    known = [
        *phantom_slices(recipe, recipe.phantoms, TRAINING),
        *phantom_slices(recipe, recipe.heldout_phantoms, HELD_OUT),
    ]
    for one in found.slices:
        assert not any(np.array_equal(one.values, other.values) for other in known)


def test_a_set_that_was_asked_for_must_be_there(monkeypatch, tmp_path):
    monkeypatch.setenv("SCANSIDE_DATA", str(tmp_path))
    with pytest.raises(NoImagesError, match="no_such_series is not here"):
        find_sets(TINY, (40.0,), [PHANTOMS, "no_such_series"])


def test_the_users_files_are_a_set_of_their_own(clean_ct):
    files, phantoms = find_sets(TINY, (40.0,), [PHANTOMS], [clean_ct], most=2)
    assert (files.name, phantoms.name) == (FILES, PHANTOMS)
    assert "1 slices of 1 patient, images from files" in files.words
    assert len(phantoms.slices) == 2
