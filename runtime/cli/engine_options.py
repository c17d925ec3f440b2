"""The options of every verb that opens an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def engine_options(command: _Command) -> _Command:
    """Add --engine and --threads; the names are those of `scanside.runtime.engines.choose`, which
    is not imported here for the sake of a quick `--help` (a test compares them)."""
    threads = click.option(
        "--threads", type=click.IntRange(min=1), help="CPU threads of the engine [all cores]."
    )
    engine = click.option(
        "--engine",
        type=click.Choice(NAMES),
        default=NAMES[0],
        show_default=True,
        help="What runs the network; auto takes the fastest that passes the golden frames.",
    )
    return engine(threads(command))


NAMES = ("auto", "tensorrt", "openvino", "onnxruntime")
