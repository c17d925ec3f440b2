"""The option that every benchmark has: where its records are kept."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)

history_option = click.option(
    "--history",
    type=PATH,
    metavar="FILE",
    help="Where the run is added, a line of JSON a record [runs/bench/history.jsonl].",
)
