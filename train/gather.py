"""A run's images: phantoms and the user's files, split by patient, prepared once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from scanside.train.bank import load_bank, make_bank, phantom_slices, save_bank
from scanside.train.data.augment import augment
from scanside.train.data.digest import digest
from scanside.train.data.folders import bundled_ct, read_folders
from scanside.train.data.slice import Slice
from scanside.train.data.split import split_by_patient
from scanside.train.entry import Entry
from scanside.train.heldout import load_cases, make_cases, save_cases
from scanside.train.metrics.case import Case
from scanside.train.recipe import Recipe
from scanside.train.run import Config, Run, code_version

TRAINING, HELD_OUT = 0, 1  # streams of phantoms
AUGMENTING = 5


class Gathered(NamedTuple):
    """entries: to train on, the last `files` of them from the user's files. cases: held out."""

    entries: list[Entry]
    files: int
    cases: list[Case]


def gather(
    recipe: Recipe,
    run: Run,
    data: Sequence[Path],
    say: Callable[[str], None],
    initial: Mapping[str, Tensor] | None = None,
) -> Gathered:
    """The images of a run, from its folder where they are there already.

    initial: weights that training starts from. Raises NoImagesError, EmptySplitError, and
    RunFolderError when the folder holds another run.
    """
    known = bundled_ct() if recipe.modality[0] == "CT" else []
    known = [one for one in known if min(one.values.shape) >= recipe.crop]
    words = [f"{recipe.phantoms} phantoms"] + [f"{len(known)} CT image of pydicom"] * bool(known)
    taken: list[Slice] = []
    held_out: list[Slice] = []
    if data:  # before the phantoms are painted: a wrong folder is said at once
        found = read_folders(data, recipe.modality, recipe.crop)
        for line in found.summary():
            say(line)
        taken, held_out = split_by_patient(found.slices, known)
        patients = [len({one.patient for one in side}) for side in (taken, held_out)]
        words.append(
            f"{len(taken)} images of {patients[0]} patients from files "
            f"({len(held_out)} of {patients[1]} others held out)"
        )
    run.claim()
    say(f"training on {', '.join(words)}")
    phantoms = phantom_slices(recipe, recipe.phantoms, TRAINING)
    rng = np.random.default_rng([recipe.seed, AUGMENTING])
    files = [one for piece in taken for one in augment(piece, recipe.augmentation, rng)]
    slices = phantoms + known + files
    held = phantom_slices(recipe, recipe.heldout_phantoms, HELD_OUT) + held_out
    run.begin(
        Config(
            recipe=recipe,
            data=", ".join(words),
            files=len(files),
            data_digest=digest([*slices, *held]),
            initial=_digest_of(initial) if initial is not None else "",
            code_version=code_version(),
        )
    )
    if not run.bank.exists():
        save_bank(run.bank, make_bank(recipe, slices))
    if not run.heldout.exists():
        cases = make_cases(recipe, held, recipe.heldout_levels, recipe.seed + 1)
        save_cases(run.heldout, cases)
    return reopen(run)


def reopen(run: Run) -> Gathered:
    """What `gather` left in the run's folder."""
    return Gathered(load_bank(run.bank), run.config().files, load_cases(run.heldout))


def _digest_of(state: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        total.update(name.encode())
        total.update(tensor.detach().cpu().numpy().tobytes())
    return total.hexdigest()
