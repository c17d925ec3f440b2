"""The bank: what is slow about every training image, done once and kept in the run's folder."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from scanside.runtime.errors import RunFolderError
from scanside.runtime.files import replace_file
from scanside.runtime.progress import task
from scanside.train.data.slice import Slice
from scanside.train.entry import Entry
from scanside.train.phantoms import BITS, PAINTERS
from scanside.train.recipe import LowDose, Recipe
from scanside.train.simulators import simulator_of

PIXEL_MM = (0.5, 1.5)
ARRAYS = ("clean", "fields", "coarse", "levels", "ends")


class _Numbers(msgspec.Struct, frozen=True):
    """The scalars of an `Entry`."""

    limits: tuple[int, int]
    strength: float
    error: float
    floor: float


def phantom_slices(recipe: Recipe, count: int, stream: int) -> list[Slice]:
    """`count` phantoms; `stream` keeps training and held-out phantoms apart."""
    rng = np.random.default_rng([recipe.seed, stream])
    noise = recipe.degradation
    span = noise.pixel_mm if isinstance(noise, LowDose) else PIXEL_MM
    dtype = np.int16 if recipe.modality[0] == "CT" else np.uint16
    bits = BITS[recipe.phantom]
    slices = []
    with task("Painting phantoms", count) as progress:
        for _ in range(count):
            values = PAINTERS[recipe.phantom](recipe.phantom_side, rng).round().astype(dtype)
            slices.append(Slice(values, rng.uniform(*span), bits))
            progress.advance()
    return slices


def make_bank(recipe: Recipe, slices: Sequence[Slice]) -> list[Entry]:
    """An entry for each slice."""
    rng = np.random.default_rng([recipe.seed, 2])
    simulator = simulator_of(recipe)
    entries = []
    with task("Preparing the degradation", len(slices)) as progress:
        for piece in slices:
            entries.append(simulator.prepare(piece, rng))
            progress.advance()
    return entries


def save_bank(path: Path, entries: Sequence[Entry]) -> None:
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for index, entry in enumerate(entries):
        for name in ARRAYS:
            arrays[f"{name}_{index:05d}"] = getattr(entry, name)
        numbers = msgspec.json.encode(
            _Numbers(entry.limits, entry.strength, entry.error, entry.floor)
        )
        arrays[f"numbers_{index:05d}"] = np.frombuffer(numbers, dtype=np.uint8)
    with replace_file(path) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def load_bank(path: Path) -> list[Entry]:
    """What `save_bank` wrote. Raises RunFolderError when it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            count = sum(name.startswith("clean_") for name in arrays.files)
            return [_load(arrays, f"{index:05d}") for index in range(count)]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, msgspec.MsgspecError) as error:
        raise RunFolderError(
            f"{path} is missing or damaged", next_step="remove it, or train into a new folder"
        ) from error


def _load(arrays: npt.NDArray[np.generic], index: str) -> Entry:  # an NpzFile, in truth
    numbers = msgspec.json.decode(arrays[f"numbers_{index}"].tobytes(), type=_Numbers)  # type: ignore[call-overload]
    members = {name: arrays[f"{name}_{index}"] for name in ARRAYS}  # type: ignore[call-overload]
    return Entry(**members, **msgspec.structs.asdict(numbers))
