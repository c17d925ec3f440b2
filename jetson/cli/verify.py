"""`scanside device verify`: the acceptance run of this unit, and checking what one left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanside.jetson.cli.running import PATH, root_option
from scanside.jetson.cli.signals import ended_by_signals
from scanside.jetson.cli.store_options import store_options
from scanside.jetson.layout import LOGS, SETTINGS
from scanside.runtime.cli.engine_options import engine_options
from scanside.runtime.cli.finite import POSITIVE

if TYPE_CHECKING:
    from scanside.jetson.machine import Machine
    from scanside.jetson.verify.record import Evidence
    from scanside.runtime.bundle import Bundle

KEY = f"{SETTINGS}/device.key"


@click.command("verify")
@click.argument("file", type=PATH, metavar="[FILE]", required=False)
@click.option("--check", type=PATH, metavar="EVIDENCE", help="Check signed evidence instead.")
@click.option(
    "--key",
    type=PATH,
    metavar="FILE",
    help=f"The key to sign with [the device's own, {KEY}, made where there is none]; with --check, "
    "the public key that must have signed.",
)
@click.option("--out", type=PATH, metavar="FOLDER", help=f"For the evidence [{LOGS}].")
@click.option("--mode", "modes", multiple=True, help="A power mode, by name [those allowed].")
@click.option("--frames", type=click.IntRange(min=10), default=200, show_default=True)
@click.option(
    "--pauses",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Frames in each mode with half a second of idling before each.",
)
@click.option(
    "--soak-minutes",
    type=POSITIVE,
    default=10.0,
    show_default=True,
)
@click.option("--deadline-ms", type=POSITIVE, help="To be kept.")
@click.option("--json", "as_json", is_flag=True, help="Print the evidence as JSON.")
@store_options
@engine_options
@root_option
def command(
    file: Path | None,
    check: Path | None,
    key: Path | None,
    out: Path | None,
    modes: tuple[str, ...],
    frames: int,
    pauses: int,
    soak_minutes: float,
    deadline_ms: float | None,
    as_json: bool,
    store: str,
    allow_unsigned: bool,
    engine: str,
    threads: int | None,
    root: Path,
) -> None:
    """Run the store's active bundle, or FILE, through the acceptance run: golden frames and latency
    in each power mode, then a soak. It leaves a signed evidence file and a page to hand over.

    The power mode is put back at the end. Do it before patients are scanned: the service, if it
    runs, shares the GPU meanwhile. Not verified on hardware.

    \b
    Example:
      sudo scanside device verify
      sudo scanside device verify --soak-minutes 60 --deadline-ms 50
      scanside device verify --check scanside-verify.json --key device.key.pub
    """
    from scanside.jetson.machine import Machine
    from scanside.jetson.verify.acceptance import Acceptance
    from scanside.jetson.verify.page import page
    from scanside.jetson.verify.sealed import (
        device_key,
        open_sealed,
        ready_folder,
        seal,
        write_page,
    )
    from scanside.runtime.errors import DeviceError
    from scanside.runtime.signing import load_private_key

    if check is not None:
        opened = open_sealed(check, [key] if key else [])
        _show(opened.evidence, as_json)
        click.echo(f"signed with {opened.key}, and unchanged", err=True)
        if not opened.known:
            click.echo("note: by the key in the file itself; name the device's by --key", err=True)
        _need_passed(opened.evidence)
        return
    machine = Machine(root)
    if machine.is_whole_system:
        raise DeviceError(
            f"{root} holds a system whose tools would change this one's power mode",
            next_step="run it on the device",
        )
    # What would stop the evidence stops the run before its tens of minutes. A key that was named is
    # not made: beside a name that was mistyped may lie a public key of somebody's.
    signing_key = key or device_key(machine.path(KEY))
    load_private_key(signing_key)
    folder = ready_folder(out or machine.path(LOGS))
    bundle, sha256 = _bundle(machine, file, store, allow_unsigned)
    with ended_by_signals() as heed:
        evidence = Acceptance(
            machine,
            bundle,
            sha256,
            machine.path(f"{store}/plans"),
            engine=engine,
            threads=threads,
            modes=modes,
            frames=frames,
            gaps=pauses,
            soak_minutes=soak_minutes,
            deadline_ms=deadline_ms,
            told=lambda text: click.echo(f"  {text}", err=True),
            heed=heed,
        ).run()
    name = f"verify-{evidence.time[:19].replace(':', '')}"
    sealed = folder / f"{name}.json"
    identity = seal(evidence, signing_key, sealed)
    write_page(page(evidence, sealed.name, identity), folder / f"{name}.html")
    _show(evidence, as_json)
    click.echo(f"evidence: {sealed}, signed with {identity[:16]}", err=True)
    click.echo(f"to hand over: {folder / name}.html", err=True)
    _need_passed(evidence)


def _need_passed(evidence: Evidence) -> None:
    from scanside.runtime.errors import DeviceError
    from scanside.runtime.plan_lines import printable

    if not evidence.passed:
        failed = "; ".join(one.what for one in evidence.checks if one.passed is False)
        raise DeviceError(
            f"the unit did not pass: {printable(failed)}", next_step="see the page for the figures"
        )


def _bundle(
    machine: Machine, file: Path | None, store: str, allow_unsigned: bool
) -> tuple[Bundle, str]:
    from scanside.jetson.install.checks import read_verified
    from scanside.jetson.install.places import open_store

    if file is not None:
        return read_verified(machine, file, allow_unsigned)
    sha256, bundle = open_store(machine, store, allow_unsigned=allow_unsigned).active()
    return bundle, sha256


def _show(evidence: Evidence, as_json: bool) -> None:
    import msgspec

    from scanside.runtime.plan_lines import printable

    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(evidence)).decode())
        return
    # A file that anybody may have signed must not reach the terminal's controls.
    click.echo(printable(evidence.headline))
    for check in evidence.checks:
        sign, colour = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", "bright_black")}[
            check.passed
        ]
        click.secho(f"{sign} {printable(f'{check.what}: {check.figure}')}", fg=colour)
