"""The bank: what is slow is done once, and survives the disk."""

import numpy as np
import pytest

from scanside.runtime.errors import RunFolderError
from scanside.train.bank import load_bank, make_bank, phantom_slices, save_bank
from scanside.train.recipes import load_recipe
from tiny import TINY


@pytest.mark.parametrize("recipe", [TINY, load_recipe("sr-mr"), load_recipe("denoise-us")])
def test_the_bank_survives_the_disk(recipe, tmp_path):
    entries = make_bank(recipe, phantom_slices(recipe, 2, 0))
    save_bank(tmp_path / "bank.npz", entries)
    for one, back in zip(entries, load_bank(tmp_path / "bank.npz"), strict=True):
        for ours, theirs in zip(one, back, strict=True):
            assert np.array_equal(ours, theirs)
    assert [path.name for path in tmp_path.iterdir()] == ["bank.npz"]


def test_a_damaged_bank_says_what_to_do(tmp_path):
    (tmp_path / "bank.npz").write_bytes(b"PK no more")
    with pytest.raises(RunFolderError, match="damaged"):
        load_bank(tmp_path / "bank.npz")


def test_training_and_held_out_phantoms_differ():
    training, held = phantom_slices(TINY, 2, 0), phantom_slices(TINY, 2, 1)
    assert not any(np.array_equal(a.values, b.values) for a in training for b in held)
