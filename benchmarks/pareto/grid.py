"""The grid of a sweep: a training run for each width and each share of the MACs that is kept.

All cells learn from the same images, which are prepared once, in the first. Cells of one width
differ only after their float network: it is trained once, and the others begin with a copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from scanside.runtime.errors import BenchmarkError
from scanside.runtime.files import replace_file
from scanside.train.recipe import Recipe, Shape, SRGANShape, SRNetShape
from scanside.train.run import FLOAT, QAT, Run, code_version
from scanside.train.stages import train_recipe

Say = Callable[[str], None]


class Cell(NamedTuple):
    """width: channels at full resolution. kept: share of the MACs after pruning, 0..1."""

    width: int
    kept: float
    recipe: Recipe

    @property
    def name(self) -> str:
        return f"{self.width} wide, {self.kept:.0%}"

    def folder(self, out: Path) -> Path:
        """Of its run; other lengths and seeds are other folders."""
        recipe = self.recipe
        return out / (
            f"{recipe.name}-w{self.width}-k{self.kept * 100:g}-s{recipe.steps}-r{recipe.seed}"
        )


def grid(recipe: Recipe, widths: Sequence[int], kept: Sequence[float]) -> list[Cell]:
    """Every width with every share. The recipe is as it is but for width and share; pruning that
    does not pay is refused nowhere here: whether it pays is what the sweep measures."""
    return [
        Cell(
            width,
            share,
            msgspec.structs.replace(
                recipe,
                network=widened(recipe.network, width),
                mac_budget=share,
                least_speedup=0.0,
            ),
        )
        for width in dict.fromkeys(widths)
        for share in dict.fromkeys(kept)
    ]


def widened(shape: Shape, width: int) -> Shape:
    """The same architecture, `width` channels at full resolution, deeper levels in proportion."""
    if isinstance(shape, SRNetShape | SRGANShape):
        return msgspec.structs.replace(shape, width=width)
    scale = width / shape.widths[0]
    return msgspec.structs.replace(shape, widths=tuple(round(one * scale) for one in shape.widths))


def train_grid(cells: Sequence[Cell], out: Path, say: Say) -> dict[str, Run]:
    """Train what is not trained yet; the runs by the cells' names.

    A finished cell is left alone, a cell that was stopped goes on where it was. Raises
    BenchmarkError for a folder of another recipe, and what `train_recipe` raises.
    """
    runs: dict[str, Run] = {}
    for number, cell in enumerate(cells, start=1):
        folder = cell.folder(out)
        where = f"[{number}/{len(cells)}] {cell.name}"
        if is_finished(cell, folder):
            run = runs[cell.name] = Run(folder)
            older = " by other training code" * (run.config().code_version != code_version())
            say(f"{where}: trained already{older}, {folder}")
            continue
        say(f"{where}: training {cell.recipe.steps} steps and what follows, into {folder}")
        _begin_with([(one, runs[one.name]) for one in cells[: number - 1]], cell, folder)
        runs[cell.name] = train_recipe(cell.recipe, folder, [], lambda line: say(f"    {line}"))
    return runs


def is_finished(cell: Cell, folder: Path) -> bool:
    """Raises BenchmarkError where another recipe was trained there."""
    run = Run(folder)
    if not (folder / "config.json").exists():
        return False
    if run.config().recipe != cell.recipe:
        raise BenchmarkError(
            f"{folder} holds a run of another recipe", next_step="choose another --out"
        )
    return (folder / "summary.json").exists() and run.checkpoint(QAT).exists()


def _begin_with(others: Sequence[tuple[Cell, Run]], cell: Cell, folder: Path) -> None:
    """Give a new run what training would make again just so: the images, and the float network
    where a cell of its width has one. Only what the training code that is here made."""
    run = Run(folder)
    for other, made in others:
        if not _alike(other, cell) or made.config().code_version != code_version():
            continue
        files = [(made.bank, run.bank), (made.heldout, run.heldout)]
        if other.recipe.network == cell.recipe.network:
            files.append((made.checkpoint(FLOAT), run.checkpoint(FLOAT)))
        run.claim()
        for source, target in files:
            if not target.exists():
                with source.open("rb") as read, replace_file(target) as written:
                    shutil.copyfileobj(read, written)


def _alike(one: Cell, other: Cell) -> bool:
    """Whether two cells differ in width and share alone."""
    return other.recipe == msgspec.structs.replace(
        one.recipe, network=other.recipe.network, mac_budget=other.recipe.mac_budget
    )
