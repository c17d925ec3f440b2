"""`scanside serve`: the daemon, until it is told to stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanside.runtime.cli.engine_options import engine_options

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from scanside.runtime.daemon.server import Daemon
    from scanside.runtime.wire import ModelCard

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("bundle", type=PATH, metavar="[FILE]", required=False)
@click.option("--store", type=PATH, metavar="FOLDER", help="Serve the active bundle of a store.")
@click.option(
    "--bind",
    default="tcp://127.0.0.1:5555",
    show_default=True,
    metavar="URL",
    help="tcp://127.0.0.1:PORT (* chooses a free port) or ipc://PATH; with --keys any tcp address.",
)
@click.option(
    "--keys",
    type=PATH,
    envvar="SCANSIDE_KEYS",
    metavar="FOLDER",
    help="Let only known clients in, encrypted: FOLDER holds server.key and clients/*.pub "
    "[SCANSIDE_KEYS, else no keys].",
)
@click.option(
    "--control",
    type=PATH,
    envvar="SCANSIDE_CONTROL",
    metavar="SOCKET",
    help="Take commands (swap, drain, reload) at this file [SCANSIDE_CONTROL, else nowhere].",
)
@engine_options
@click.option(
    "--credit",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Frames that one client may have on their way at once.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Serve Prometheus metrics at http://127.0.0.1:PORT/metrics.",
)
@click.option(
    "--metrics-host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Where to: no patient data is in them, and no key guards them.",
)
@click.option("--allow-unsigned", is_flag=True, help="Serve bundles without a signature too.")
def serve(
    bundle: Path | None,
    store: Path | None,
    bind: str,
    keys: Path | None,
    control: Path | None,
    engine: str,
    threads: int | None,
    credit: int,
    metrics_port: int | None,
    metrics_host: str,
    allow_unsigned: bool,
) -> None:
    """Serve the model in the bundle FILE, or the active one of a store, to clients on this machine,
    and with --keys on others.

    A line `ready` with the address is printed once the model has passed its self-test; events go
    to stderr, one JSON line each. SIGTERM or Ctrl-C answers the frames that wait, then stops;
    SIGHUP reads the trusted keys, and the clients', again.

    \b
    Example:
      scanside serve ct.scanside
      scanside serve ct.scanside --bind ipc:///run/scanside.sock --engine openvino --threads 2
      scanside serve --store /var/lib/scanside --control /run/scanside/control
      scanside serve ct.scanside --bind tcp://0.0.0.0:5555 --keys /etc/scanside/wire
    """
    from scanside.runtime.allocator import keep_freed_memory
    from scanside.runtime.daemon.address import is_private
    from scanside.runtime.daemon.journal import log_to
    from scanside.runtime.daemon.loading import EngineChoice, FileSource, Source, StoreSource
    from scanside.runtime.daemon.server import Daemon
    from scanside.runtime.errors import UnsignedBundleError
    from scanside.runtime.store import Store

    if (bundle is None) == (store is None):
        raise click.UsageError("name either a bundle's FILE or a --store")
    if allow_unsigned and keys is not None and not is_private(bind):
        raise UnsignedBundleError(
            "--allow-unsigned is for this machine alone, and others can reach this address",
            next_step="sign the bundle, or bind to tcp://127.0.0.1:PORT or ipc://PATH",
        )

    def say_ready(url: str, model: ModelCard) -> None:
        identity = model.identity[:12] + ("" if model.signed else ", unsigned")
        click.echo(f"ready: {url}, {model.name} {model.version} ({identity}), {model.engine}")

    choice = EngineChoice(engine, threads)
    source: Source
    if bundle is not None:
        source = FileSource(bundle, choice, allow_unsigned=allow_unsigned)
    else:
        assert store is not None
        source = StoreSource(Store(store, allow_unsigned=allow_unsigned), choice)
    with (
        Daemon(
            *(source.first, bind),
            credit=credit,
            on_ready=say_ready,
            control_file=control,
            source=source,
            keys=keys,
        ) as daemon,
        daemon.obeying_signals(),
        _metrics(daemon, metrics_port, metrics_host),
    ):
        log_to(sys.stderr)
        keep_freed_memory()
        daemon.run()


def _metrics(daemon: Daemon, port: int | None, host: str) -> AbstractContextManager[object]:
    from contextlib import nullcontext

    if port is None:  # prometheus-client is not even imported: it costs memory and a moment
        return nullcontext()
    from scanside.runtime.daemon.metrics import metrics_server

    return metrics_server(daemon, port, host)
