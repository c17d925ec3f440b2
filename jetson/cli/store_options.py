"""The options of every verb that looks into the device's store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from scanside.jetson.layout import STORE

_Command = TypeVar("_Command", bound=Callable[..., Any])


def store_options(command: _Command) -> _Command:
    folder = click.option(
        "--store",
        default=STORE,
        show_default=True,
        metavar="FOLDER",
        help="The store, under the root.",
    )
    unsigned = click.option("--allow-unsigned", is_flag=True, help="Take unsigned bundles too.")
    return folder(unsigned(command))
