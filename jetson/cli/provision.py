"""`scanside device provision`: a blank Jetson made ready."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanside.jetson.cli.running import PATH, run_steps, step_options

if TYPE_CHECKING:
    from scanside.jetson.machine import Machine
    from scanside.jetson.package import Package
    from scanside.jetson.provision import Wishes


@click.command("provision")
@click.option(
    "--package", type=PATH, metavar="FOLDER", help="The offline package, its folder or its .tar."
)
@click.option(
    "--key",
    "named",
    multiple=True,
    metavar="ID",
    help="Where nobody is trusted yet: id of the package's key, as whoever made it told you.",
)
@click.option(
    "--allow-unsigned", is_flag=True, help="Take a package that nobody trusted here signed."
)
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Change a line of scanside.env."
)
@click.option("--wire-keys", is_flag=True, help="Make the daemon's key of the wire, on the device.")
@click.option(
    "--client",
    "clients",
    type=PATH,
    multiple=True,
    metavar="NAME.pub",
    help="Let the client with this public key in; makes the daemon's key too.",
)
@click.option("--time-server", "servers", multiple=True, metavar="HOST")
@click.option("--address", metavar="ADDRESS/PREFIX", help="A static address; written, not applied.")
@click.option("--interface", default="eth0", show_default=True, metavar="NAME", help="Whose.")
@click.option("--gateway", metavar="ADDRESS")
@click.option("--power-mode", metavar="NAME", help="Of /etc/nvpmodel.conf [the module's default].")
@click.option("--i-have-cooling", is_flag=True, help="Allow MAXN_SUPER, which needs it.")
@click.option("--reboot", is_flag=True, help="Restart at once where the power mode asks for it.")
@step_options
def command(
    package: Path | None,
    named: tuple[str, ...],
    allow_unsigned: bool,
    settings: tuple[str, ...],
    wire_keys: bool,
    clients: tuple[Path, ...],
    servers: tuple[str, ...],
    address: str | None,
    interface: str,
    gateway: str | None,
    power_mode: str | None,
    i_have_cooling: bool,
    reboot: bool,
    root: Path,
    dry_run: bool,
    as_json: bool,
    log: Path | None,
) -> None:
    """Make this Jetson ready: user, folders, application, keys, service, limits, power mode.

    A device that is not supported is refused and not touched. What is done already is left as it
    is, and so is what the site changed in /etc/scanside/scanside.env. See docs/provision.md.

    \b
    Example:
      sudo scanside device provision --package scanside-0.1.0-jp6.2 --dry-run
      sudo scanside device provision --package scanside-0.1.0-jp6.2 --time-server ntp.hospital
      sudo scanside device provision --client console.pub --set SCANSIDE_BIND=tcp://0.0.0.0:5555
    """
    from scanside.jetson.machine import Machine
    from scanside.jetson.provision import Wishes, provision_steps
    from scanside.jetson.provision.address import Address

    if gateway and not address:
        raise click.UsageError("--gateway goes with --address")
    machine = Machine(root)
    wishes = Wishes(
        package=_opened(machine, package, named, allow_unsigned) if package else None,
        settings=dict(_pair(text) for text in settings),
        wire_keys=wire_keys,
        clients=clients,
        time_servers=servers,
        address=Address(address, interface, gateway) if address else None,
        power_mode=power_mode,
        cooling=i_have_cooling,
        reboot=reboot,
    )
    steps = provision_steps(machine, wishes, dry_run=dry_run)
    report = run_steps("provision", steps, root=root, dry_run=dry_run, as_json=as_json, log=log)
    if not as_json and not dry_run:
        _say_next(machine, wishes, report.changed)


def _opened(machine: Machine, file: Path, named: tuple[str, ...], allow_unsigned: bool) -> Package:
    """Trusted by what this device trusts already, or by the key that was named; by both where there
    are both."""
    from scanside.jetson.install.checks import trust_of
    from scanside.jetson.package import open_package
    from scanside.jetson.provision.trust import keys_named
    from scanside.runtime.errors import PackageError

    trust = trust_of(machine)
    if named and not trust.keys:
        trust = keys_named(sorted((file / "trust").glob("*.pub")), named, trust.revoked)
    opened = open_package(file, trust, allow_unsigned=allow_unsigned)
    if named and not any(opened.signer.startswith(one.lower()) for one in named):
        raise PackageError(
            f"the package is signed by {opened.signer[:16] or 'nobody'}, not by the key named",
            next_step="compare the ids with whoever made it, by another way than the package",
        )
    return opened


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--set {text}: write it NAME=VALUE")
    return name, value


def _say_next(machine: Machine, wishes: Wishes, changed: int) -> None:
    from scanside.jetson.layout import UNIT
    from scanside.jetson.provision.wire import server_id

    if wishes.address:
        click.echo(
            "note: the address counts from the next start; or, at the console, as SSH "
            f"over it would end: {wishes.address.how_to_apply}"
        )
    if (wishes.wire_keys or wishes.clients) and (key := server_id(machine)):
        click.echo(f"note: the daemon's key of the wire is {key}; clients need its server.pub")
    ran = machine.run("systemctl", "is-active", UNIT)
    if ran and ran.out.strip() == "active":
        if changed:
            click.echo(f"next: when no scan runs, sudo systemctl restart {UNIT}")
    else:
        click.echo("next: sudo scanside device doctor; sudo scanside device install FILE.scanside")
