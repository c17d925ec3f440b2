"""`scanside device`: what a field engineer does on a Jetson; a verb is loaded when it is used."""

from __future__ import annotations

import io
import sys
from importlib import import_module

import click

VERBS = (
    "doctor",
    "provision",
    "install",
    "list",
    "rollback",
    "prune",
    "update",
    "verify",
)


class DeviceGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = import_module(f"scanside.jetson.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=DeviceGroup)
def device() -> None:
    """Set up, check, update and roll back this Jetson. Not verified on hardware.

    Every verb may be run again: what is done already is left as it is.

    \b
    Example:
      scanside device doctor
      sudo scanside device provision --dry-run
      sudo scanside device install ct.scanside
    """
    # A terminal that lacks a sign shows a ? for it, and what was found is told to its end.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
