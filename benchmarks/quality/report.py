"""The whole comparison of a run, as tables for a terminal and JSON for the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import msgspec
from rich.table import Table

from scanside.benchmarks.quality.figures import Figures, Hidden, measure, measure_hidden
from scanside.benchmarks.quality.methods import classical
from scanside.benchmarks.quality.sets import JudgedSet, find_set
from scanside.benchmarks.quality.stages import stage_engines
from scanside.benchmarks.tables import table
from scanside.runtime.engines import Engine
from scanside.runtime.engines.cpu import device_name
from scanside.runtime.files import replace_file
from scanside.train.discs import DiscRow, disc_table
from scanside.train.heldout import base_image, enhance_cases
from scanside.train.metrics.case import Image
from scanside.train.metrics.contrast import WARN_BELOW
from scanside.train.recipe import LowDose, Recipe
from scanside.train.run import Run

UNTOUCHED = {1: "untouched", 2: "bicubic (untouched)"}


class QualityReport(msgspec.Struct, frozen=True, kw_only=True):
    """levels: by the level's name, method -> figures. hidden: the same, of CT only. discs: of CT
    only."""

    recipe: str
    run_data: str
    steps: int
    set: str
    unit: str
    data_range: str
    machine: str
    date: str
    levels: dict[str, dict[str, Figures]]
    hidden: dict[str, dict[str, Hidden]]
    discs: list[DiscRow]


def compare(
    run: Run,
    bundle: Path | None,
    levels: Sequence[float],
    folders: Sequence[Path],
    most: int,
    draws: int,
) -> QualityReport:
    """Every stage of a run and every classical method on a test set: see `find_set`."""
    config = run.config()
    recipe = config.recipe
    found = find_set(recipe, levels, folders, most)
    engines = stage_engines(run, bundle)
    ct = isinstance(recipe.degradation, LowDose)
    tables: dict[str, dict[str, Figures]] = {}
    hidden: dict[str, dict[str, Hidden]] = {}
    for level in levels:
        images = _images(recipe, found, level, engines)
        cases = found.at(level)
        tables[f"{level:g}"] = measure(images, cases)
        if ct:
            hidden[f"{level:g}"] = measure_hidden(images, cases)
    return QualityReport(
        recipe=recipe.name,
        run_data=config.data,
        steps=recipe.steps,
        set=found.words,
        unit=found.unit,
        data_range=found.data_range,
        machine=device_name(),
        date=date.today().isoformat(),
        levels=tables,
        hidden=hidden,
        discs=disc_table(engines, found.slices, levels, draws) if ct and draws else [],
    )


def _images(
    recipe: Recipe, found: JudgedSet, level: float, engines: Mapping[str, Engine]
) -> dict[str, Sequence[Image | None]]:
    cases = found.at(level)
    images: dict[str, Sequence[Image | None]] = {
        UNTOUCHED[recipe.scale]: [base_image(case) for case in cases]
    }
    images |= classical(found, level, recipe.scale)
    images |= enhance_cases(engines, cases, f"Enhancing at {level:g} {found.unit}")
    return images


def tables(report: QualityReport) -> list[Table]:
    """For a terminal: quality at each level, then what PSNR hides."""
    where = f"{report.set}\nPSNR and SSIM over {report.data_range}; {report.machine}, {report.date}"
    shown = [
        table(
            f"{report.recipe}, {level} {report.unit}: {where}",
            ("method", "images", "PSNR dB", "gain dB", "worst dB", "SSIM", "GMSD"),
            [
                (
                    name,
                    f"{row.images}",
                    f"{row.psnr:.2f}",
                    f"{row.gain:+.2f}",
                    f"{row.worst_gain:+.2f}",
                    f"{row.ssim:.4f}",
                    f"{row.gmsd:.4f}",
                )
                for name, row in rows.items()
            ],
        )
        for level, rows in report.levels.items()
    ]
    shown += [
        table(
            f"What PSNR hides at {level} {report.unit}: MTF50 over the clean image's; bias in HU",
            ("method", "MTF50", "worst", "bias", "worst", "blocks", "noise freq.", "Dice of bone"),
            [
                (
                    name,
                    _number(row.mtf50, 3),
                    _number(row.worst_mtf50, 3),
                    f"{row.bias:.2f}",
                    f"{row.worst_bias:.2f}",
                    _number(row.block_bias, 2),
                    _number(row.noise_frequency, 2),
                    f"{row.dice_before:.3f} -> {row.dice_after:.3f}",
                )
                for name, row in rows.items()
            ],
        )
        for level, rows in report.hidden.items()
    ]
    if report.discs:
        shown.append(
            table(
                "Contrast left of an inserted +40 HU disc (1 is all), 95% interval over draws",
                ("method", f"noise {report.unit}", "radius px", "recovery", ""),
                [
                    (
                        row.method,
                        f"{row.level:g}",
                        f"{row.radius}",
                        f"{row.recovery:.3f} ({row.low:.3f}..{row.high:.3f})",
                        "may vanish" if row.recovery < WARN_BELOW else "",
                    )
                    for row in report.discs
                ],
            )
        )
    return shown


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def write_report(path: Path, report: QualityReport) -> None:
    with replace_file(path) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(report)))
