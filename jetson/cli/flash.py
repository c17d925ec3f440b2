"""`scanside flash`: on the PC that holds NVIDIA's BSP, for a device in recovery mode."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scanside.jetson.cli.running import PATH, root_option
from scanside.jetson.cli.signals import ended_by_signals

if TYPE_CHECKING:
    from scanside.jetson.flash.plan import Order, Plan
    from scanside.jetson.flash.run import Flashed

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SIGNS = {"ok": ("✓", "green"), "note": ("!", "yellow"), "refused": ("✗", "red")}


@click.group()
def flash() -> None:
    """Flash a Jetson by NVIDIA's own tools, carefully. On the PC, not on the device.

    Not verified on hardware. It erases the device's storage; see docs/flash.md.

    \b
    Example:
      scanside flash check clinic.json --bsp Linux_for_Tegra
      sudo scanside flash plan clinic.json --bsp Linux_for_Tegra --installed blank
      sudo scanside flash run clinic.json --bsp Linux_for_Tegra --installed blank --accept-license
    """


def _options(command: _Command) -> _Command:
    for option in (
        click.argument("profile", type=PATH),
        click.option("--bsp", type=PATH, required=True, metavar="FOLDER", help="Linux_for_Tegra."),
        click.option("--sums", type=PATH, metavar="FILE", help="NVIDIA's sums of the tarballs."),
        click.option(
            "--tarballs", type=PATH, metavar="FOLDER", help="Where they lie [beside the sums]."
        ),
        click.option("--usb-instance", metavar="BUS-PORT", help="Which device, where many are."),
        click.option("--pkc-key", type=PATH, metavar="FILE", help="Of a fused device."),
        click.option("--sbk-key", type=PATH, metavar="FILE", help="Of a fused, encrypted one."),
        click.option(
            "--state", type=PATH, metavar="FOLDER", help="For logs [~/.local/state/scanside/flash]."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
    ):
        command = option(command)
    return root_option(command)


_INSTALLED = click.option(
    "--installed",
    required=True,
    metavar="L4T",
    help="What the device has now, as 35.6.0; or: blank. Recovery mode does not tell it.",
)


@flash.command()
@_options
def check(as_json: bool, **words: Any) -> None:
    """Look at the BSP tree, this PC and the USB ports; starts nothing of the BSP."""
    from scanside.jetson.flash.plan import look

    planned = look(_order(**words))
    _show(planned, as_json)
    _end(planned.refused)


@flash.command()
@_options
@_INSTALLED
def plan(as_json: bool, **words: Any) -> None:
    """The same, and read the device's EEPROM: what `run` would do. Writes nothing to the device."""
    from scanside.jetson.flash.plan import alone
    from scanside.jetson.flash.plan import plan as make_plan
    from scanside.runtime.files import make_folder

    order = _order(**words)
    make_folder(order.state)
    with alone(order.tree), (order.state / "plan.log").open("wb") as log:
        planned = make_plan(order, log)
    _show(planned, as_json)
    _end(planned.refused)


@flash.command()
@_options
@_INSTALLED
@click.option("--accept-license", is_flag=True, help="You accept NVIDIA's licence of the BSP.")
@click.option(
    "--show-secret", is_flag=True, help="Show the user's secret once, keep no file of it."
)
@click.option("--dry-run", is_flag=True, help="End before anything is asked, as `plan` does.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    as_json: bool,
    accept_license: bool,
    show_secret: bool,
    dry_run: bool,
    **words: Any,
) -> None:
    """Flash one device, after you typed what is asked. Erases its storage.

    A terminal that is lost breaks the flash off, as Ctrl-C does: over SSH, start it within tmux.
    """
    if dry_run:
        ctx.invoke(plan, as_json=as_json, **words)
        return
    from scanside.jetson.flash.run import flash as flash_one
    from scanside.runtime.errors import FlashError

    if not accept_license:
        raise FlashError(
            "the licence of NVIDIA's BSP is not accepted",
            next_step="read it in the BSP tree, then: --accept-license",
        )
    order = _order(**words)
    with ended_by_signals() as heed:

        def told(line: str) -> None:
            heed()
            click.echo(f"  {line}", err=True)

        flashed = flash_one(
            order,
            asked=lambda planned: _asked(planned, order, as_json),
            told=told,
            show_secret=_secret_shown if show_secret else None,
        )
    _tell(flashed, as_json)
    _end(flashed.end != "success")


def _order(
    *,
    profile: Path,
    bsp: Path,
    sums: Path | None,
    tarballs: Path | None,
    usb_instance: str | None,
    pkc_key: Path | None,
    sbk_key: Path | None,
    state: Path | None,
    root: Path,
    installed: str | None = None,
) -> Order:
    from scanside.jetson.flash.plan import Order
    from scanside.jetson.flash.profile import load_profile
    from scanside.jetson.flash.templates import Keys
    from scanside.jetson.machine import Machine

    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    return Order(
        machine=Machine(root),
        tree=bsp.absolute(),
        profile=load_profile(profile),
        state=state or home / "scanside/flash",
        sums=sums,
        tarballs=tarballs or (sums.parent if sums else Path()),
        usb_instance=usb_instance,
        installed=installed,
        keys=Keys(pkc_key.absolute() if pkc_key else None, sbk_key.absolute() if sbk_key else None),
    )


def _show(planned: Plan, as_json: bool) -> None:
    if as_json:
        _print_json({"refused": planned.refused, "plan": planned})
    else:
        _list(planned, err=False)


def _list(planned: Plan, *, err: bool) -> None:
    for one in planned.found:
        sign, colour = _SIGNS[one.verdict.value]
        click.secho(f"{sign} {one.what}: {one.text}", fg=colour, err=err)
        if one.next_step:
            click.echo(f"    next: {one.next_step}", err=err)
    if planned.words:
        click.echo(f"command, in the BSP tree: {shlex.join(planned.words)}", err=err)


def _asked(planned: Plan, order: Order, as_json: bool) -> bool:
    from scanside.jetson.flash.run import word_to_type

    _list(planned, err=as_json)
    word = word_to_type(planned, order)
    click.echo(
        f"This ERASES {order.profile.storage} and the firmware of the device at "
        f"{planned.device.instance if planned.device else '?'}.",
        err=True,
    )
    try:
        typed = click.prompt(f"Type {word!r} to go on", default="", show_default=False, err=True)
    except click.Abort:
        return False
    return bool(typed == word)


def _secret_shown(secret: str) -> None:
    click.echo(f"the first user's secret, shown this once: {secret}", err=True)


def _tell(flashed: Flashed, as_json: bool) -> None:
    if as_json:
        _print_json(flashed)
        return
    if flashed.end == "refused":
        _list(flashed.plan, err=False)
    good = flashed.end == "success"
    click.secho(
        f"{'✓' if good else '✗'} {flashed.end}: {flashed.said}", fg="green" if good else "red"
    )
    if flashed.next_step:
        click.echo(f"    next: {flashed.next_step}")
    if flashed.secret:
        click.echo(f"the first user's secret: {flashed.secret}")
    click.echo(f"log: {flashed.log}")


def _print_json(what: object) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(what)).decode())


def _end(failed: bool) -> None:
    from scanside.runtime.errors import FlashError

    if failed:
        sys.exit(FlashError.exit_code)
