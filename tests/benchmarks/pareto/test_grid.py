"""The grid of a sweep: which runs it is made of, and that none is trained twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra [workstation]")

from scanside.benchmarks.pareto.grid import grid, is_finished, train_grid, widened
from scanside.runtime.errors import BenchmarkError
from scanside.train.recipe import MonaiUNetShape, SRGANShape, SRNetShape, UNetShape
from scanside.train.run import FLOAT, PRUNED, QAT
from tiny import TINY


def state(folder: Path) -> dict[str, int]:
    """Every file of a run, and when it was written."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_width_scales_every_level():
    assert widened(UNetShape(widths=(16, 32, 64)), 24) == UNetShape(widths=(24, 48, 96))
    assert widened(UNetShape(widths=(32, 64, 128)), 8) == UNetShape(widths=(8, 16, 32))
    monai = MonaiUNetShape(widths=(16, 32), units=2)
    assert widened(monai, 8) == MonaiUNetShape(widths=(8, 16), units=2)
    assert widened(SRNetShape(width=48, blocks=8), 16) == SRNetShape(width=16, blocks=8)
    assert widened(SRGANShape(), 32) == SRGANShape(width=32)


def test_the_grid_is_every_width_with_every_share(tmp_path):
    cells = grid(TINY.changed(steps=50), [8, 16, 8], [0.3, 0.6])
    assert [(cell.width, cell.kept) for cell in cells] == [(8, 0.3), (8, 0.6), (16, 0.3), (16, 0.6)]
    assert len({cell.name for cell in cells}) == 4
    one = cells[3].recipe
    assert (one.network, one.mac_budget, one.steps) == (UNetShape(widths=(16, 16)), 0.6, 50)
    assert one.least_speedup == 0  # a cell that pruning does not pay for is a point as well
    other = grid(TINY.changed(steps=51), [16], [0.6])[0]
    folders = {cell.folder(tmp_path) for cell in [*cells, other]}
    assert len(folders) == 5


def test_a_finished_cell_is_left_alone(tiny_run, tmp_path):
    (cell,) = grid(TINY, [16], [TINY.mac_budget])
    folder = cell.folder(tmp_path)
    shutil.copytree(tiny_run, folder)
    before, said = state(folder), []
    runs = train_grid([cell], tmp_path, said.append)
    assert state(folder) == before
    assert runs[cell.name].folder == folder
    assert said == [f"[1/1] {cell.name}: trained already, {folder}"]


def test_cells_of_one_width_share_their_float_network(tiny_run, tmp_path):
    cells = grid(TINY, [16], [TINY.mac_budget, 0.5])
    first, second = (cell.folder(tmp_path) for cell in cells)
    shutil.copytree(tiny_run, first)
    said: list[str] = []
    runs = train_grid(cells, tmp_path, said.append)
    assert is_finished(cells[1], second)
    ours, theirs = (runs[cell.name] for cell in cells)
    for mine, other in (
        (ours.checkpoint(FLOAT), theirs.checkpoint(FLOAT)),
        (ours.bank, theirs.bank),
        (ours.heldout, theirs.heldout),
    ):
        assert mine.read_bytes() == other.read_bytes()
    macs = [run.summary().stages[PRUNED].macs for run in (ours, theirs)]
    assert macs[1] < macs[0]
    # Only what comes after the float network was trained.
    assert '"stage":"float"' not in (second / "metrics.jsonl").read_text().replace(" ", "")


def test_a_cell_that_was_stopped_is_not_finished(tiny_run, tmp_path):
    (cell,) = grid(TINY, [16], [TINY.mac_budget])
    folder = cell.folder(tmp_path)
    assert not is_finished(cell, folder)
    shutil.copytree(tiny_run, folder)
    assert is_finished(cell, folder)
    (folder / "checkpoints" / f"{QAT}.pt").unlink()
    assert not is_finished(cell, folder)


def test_another_recipe_in_a_cells_folder_is_refused(tiny_run, tmp_path):
    (cell,) = grid(TINY, [16], [0.5])
    shutil.copytree(tiny_run, cell.folder(tmp_path))
    with pytest.raises(BenchmarkError, match="another recipe"):
        train_grid([cell], tmp_path, lambda line: None)
