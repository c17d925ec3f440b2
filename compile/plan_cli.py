"""The verb `plan`: on this machine, or on a builder over SSH."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from scanside.runtime.cli.finite import POSITIVE

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=PATH, required=False)
@click.option("--out", type=PATH, metavar="FOLDER", help="Where plans are kept [the user's cache].")
@click.option("--force", is_flag=True, help="Build although the plan is there.")
@click.option(
    "--time-limit",
    type=POSITIVE,
    default=30.0,
    show_default=True,
    metavar="MINUTES",
)
@click.option("--builder", metavar="URL", help="A Jetson to build on: ssh://user@host[:port]")
@click.option("--key", type=PATH, help="With --builder: signs the bundle anew.")
@click.option("--identity", type=PATH, help="With --builder: an SSH key [ssh's own choice].")
@click.option(
    "--scanside", "program", metavar="PATH", help="With --builder: where it is there [scanside]."
)
@click.option("--probe", is_flag=True, help="Print as JSON what this machine is; build nothing.")
@click.option("--serve", is_flag=True, hidden=True, help="Be the far end of --builder.")
def plan(
    file: Path | None,
    out: Path | None,
    force: bool,
    time_limit: float,
    builder: str | None,
    key: Path | None,
    identity: Path | None,
    program: str | None,
    probe: bool,
    serve: bool,
) -> None:
    """Build the TensorRT plan of the bundle FILE on this machine, or on a Jetson over SSH.

    With --builder the plan goes into FILE, for devices that are exactly like the builder; whoever
    has the builder can put code into the plan, so sign only what a builder of your own made.
    Not verified on hardware.

    \b
    Example:
      scanside plan ct.scanside
      scanside plan ct.scanside --builder ssh://nvidia@jetson --key release-2026
    """
    if serve:
        from scanside.runtime.plan_server import serve_plan

        sys.exit(serve_plan())
    if probe:
        _probe()
        return
    if file is None:
        raise click.UsageError("FILE is missing")
    if builder is not None:
        _elsewhere(file, builder, key, identity, program, time_limit * 60)
        return
    if key or identity or program:
        raise click.UsageError("--key, --identity and --scanside go with --builder")
    _here(file, out, force, time_limit * 60)


def _probe() -> None:
    import msgspec

    from scanside.runtime.planner import probe

    click.echo(msgspec.json.encode(probe()).decode())


def _here(file: Path, out: Path | None, force: bool, time_limit_s: float) -> None:
    from scanside.runtime.bundle import Bundle
    from scanside.runtime.phase_bar import phase_bars
    from scanside.runtime.planner import build_plan_file, kept_plan, plans_folder, probe

    bundle = Bundle.open(file)
    folder = out or plans_folder()
    kept = None if force else kept_plan(bundle, probe(), folder)
    if kept is not None:
        click.echo(f"{kept.path} is there already; --force builds it anew")
        return
    with phase_bars() as show:
        made = build_plan_file(file, folder, show, time_limit_s)
    evidence = made.evidence
    click.echo(f"  {evidence.fingerprint.described}")
    click.echo(
        f"  from {evidence.source} in {evidence.seconds:.0f} s: {evidence.int8} of "
        f"{evidence.layers} layers on INT8"
    )
    if evidence.fingerprint.local:
        click.echo("  local: of a workstation's GPU, for trying out here; no device takes it")
    click.echo(f"wrote {made.path} ({evidence.size / 1e6:.1f} MB); not verified on hardware")


def _elsewhere(
    file: Path,
    url: str,
    key: Path | None,
    identity: Path | None,
    program: str | None,
    time_limit_s: float,
) -> None:
    from scanside.compile.builder import REMOTE, Builder, plan_elsewhere
    from scanside.compile.ssh import parse_address
    from scanside.runtime.phase_bar import phase_bars
    from scanside.runtime.signing import load_private_key

    builder = Builder(parse_address(url), identity, program or REMOTE)
    signing = load_private_key(key) if key else None
    with phase_bars() as show:
        evidence = plan_elsewhere(file, builder, signing, time_limit_s, show)
    click.echo(f"  {evidence.fingerprint.described}")
    click.echo(
        f"  from {evidence.source} in {evidence.seconds:.0f} s: {evidence.int8} of "
        f"{evidence.layers} layers on INT8"
    )
    click.echo(f"put plans/{evidence.key[:16]}... into {file}; not verified on hardware")
