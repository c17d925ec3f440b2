"""`scanside status`: what a daemon says of itself, once or again and again."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

from scanside.runtime.cli.finite import POSITIVE

if TYPE_CHECKING:
    from types import FrameType

    from rich.console import Console
    from rich.table import Table

    from scanside.runtime.wire import Status


@click.command()
@click.argument("url", metavar="URL")
@click.option("--watch", is_flag=True, help="Ask again every --interval seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON per answer, for programs.")
@click.option(
    "--interval",
    type=POSITIVE,
    default=1.0,
    show_default=True,
    help="Seconds between questions.",
)
@click.option(
    "--timeout",
    type=POSITIVE,
    default=5.0,
    show_default=True,
    help="Seconds to wait for an answer.",
)
@click.option(
    "--keys",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder with client.key and server.pub, for a daemon that asks for keys [SCANSIDE_KEYS].",
)
def status(
    url: str, watch: bool, as_json: bool, interval: float, timeout: float, keys: Path | None
) -> None:
    """Show the state, model, speed and counters of the daemon at URL.

    It needs no session: a daemon whose sessions are all taken answers too.

    \b
    Example:
      scanside status tcp://127.0.0.1:5555
      scanside status tcp://127.0.0.1:5555 --watch
      scanside status tcp://127.0.0.1:5555 --json | jq .counters.bypassed
      scanside status tcp://scanner-2:5555 --keys /etc/scanside/wire
    """
    from scanside.runtime.inquiry import ask_status

    if watch:
        _watch(url, interval, timeout, as_json, keys)
    elif as_json:
        click.echo(_line(ask_status(url, timeout, keys)))
    else:
        _console().print(_table(ask_status(url, timeout, keys)))


def _console() -> Console:
    from rich.console import Console

    return Console()


def _line(answer: Status) -> str:
    import json

    import msgspec

    # Sorted and in ASCII: nothing in it can command a terminal.
    return json.dumps(msgspec.to_builtins(answer), sort_keys=True)


def _watch(url: str, interval: float, timeout: float, as_json: bool, keys: Path | None) -> None:
    """Until interrupted. A daemon that does not answer is shown as such, and asked again."""
    from contextlib import nullcontext

    from rich.live import Live
    from rich.text import Text

    from scanside.runtime.errors import ServerUnreachableError
    from scanside.runtime.inquiry import ask_status

    live = Live(console=_console(), auto_refresh=False)
    with _interrupted() as stopped, nullcontext() if as_json else live:
        while not stopped.is_set():
            try:
                answer = ask_status(url, timeout, keys)
            except ServerUnreachableError as error:
                if as_json:
                    click.echo(f"error: {error.message}", err=True)
                else:
                    live.update(Text(f"{error.message}; asking again", style="red"), refresh=True)
            else:
                if as_json:
                    click.echo(_line(answer))
                else:
                    live.update(_table(answer), refresh=True)
            stopped.wait(interval)


@contextmanager
def _interrupted() -> Iterator[Event]:
    """Ctrl-C sets what is given, and raises nothing: it would leave open what is just being opened,
    or be lost within a __del__. A second one is as ever."""
    stopped = Event()

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        stopped.set()

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _table(answer: Status) -> Table:
    from scanside.runtime.status_table import status_table

    return status_table(answer)
