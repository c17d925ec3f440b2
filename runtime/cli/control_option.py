"""The option of every verb that commands a running daemon."""

from __future__ import annotations

from pathlib import Path

import click

control_option = click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="SOCKET",
    help="The daemon's control socket [SCANSIDE_CONTROL, else /run/scanside/control].",
)
