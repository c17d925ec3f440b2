"""`scanside serve`: the daemon, until it is told to stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanside.runtime.cli.engine_options import engine_options

if TYPE_CHECKING:
    from scanside.runtime.wire import ModelCard


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--bind",
    default="tcp://127.0.0.1:5555",
    show_default=True,
    metavar="URL",
    help="tcp://127.0.0.1:PORT (* chooses a free port) or ipc://PATH.",
)
@engine_options
@click.option(
    "--credit",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Frames that one client may have on their way at once.",
)
@click.option("--allow-unsigned", is_flag=True, help="Serve a bundle without a signature.")
def serve(
    bundle: Path, bind: str, engine: str, threads: int | None, credit: int, allow_unsigned: bool
) -> None:
    """Serve the model in the bundle FILE to clients on this machine.

    A line `ready` with the address is printed once the model has passed its self-test; events go
    to stderr, one JSON line each. SIGTERM or Ctrl-C answers the frames that wait, then stops.

    \b
    Example:
      scanside serve ct.scanside
      scanside serve ct.scanside --bind ipc:///run/scanside.sock --engine openvino --threads 2
    """
    from scanside.runtime.daemon.journal import log_to
    from scanside.runtime.daemon.loading import bundle_loader
    from scanside.runtime.daemon.server import Daemon

    def say_ready(url: str, model: ModelCard) -> None:
        identity = model.identity[:12] + ("" if model.signed else ", unsigned")
        click.echo(f"ready: {url}, {model.name} {model.version} ({identity}), {model.engine}")

    load = bundle_loader(bundle, engine=engine, threads=threads, allow_unsigned=allow_unsigned)
    with (
        Daemon(load, bind, credit=credit, on_ready=say_ready) as daemon,
        daemon.draining_on_signals(),
    ):
        log_to(sys.stderr)
        daemon.run()
