"""The command line `scanside`: verbs found by entry point and loaded when used; kind errors."""

from __future__ import annotations

import os
import sys
import traceback
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any

import click

from scanside.runtime.errors import MissingExtraError, ScansideError

VERBS = "scanside.verbs"

# Top-level module -> the extra that brings it: a missing import becomes advice, not a traceback.
EXTRA_OF = {
    "cyclonedx": "workstation",
    "jinja2": "workstation",
    "lightning": "workstation",
    "lightning_fabric": "workstation",
    "matplotlib": "workstation",
    "modelopt": "workstation",
    "monai": "workstation",
    "nibabel": "nifti",
    "onnx": "workstation",
    "onnxruntime": "cpu",
    "onnxscript": "workstation",
    "openvino": "cpu",
    "scipy": "workstation",
    "skimage": "workstation",
    "torch": "workstation",
    "torch_pruning": "workstation",
    "torchao": "workstation",
    "torchio": "workstation",
}


class VerbGroup(click.Group):
    """Lists the verbs that are installed; imports a verb's module only when it is asked for.

    Verb modules import nothing heavier than click at their top, so `--help` stays quick.
    """

    def _entries(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=VERBS)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._entries())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entries().get(cmd_name)
        if entry is None:
            return None
        command = entry.load()
        assert isinstance(command, click.Command)
        return command


@click.command(cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("scanside"), prog_name="scanside")
def scanside() -> None:
    """Enhance medical images at the scanner's side.

    \b
    Example:
      scanside train denoise-ct --out runs/ct
      scanside compile runs/ct --out ct.scanside
      scanside enhance ct.scanside scans/ enhanced/
    """


def _explain(error: ScansideError) -> None:
    click.echo(f"error: {error.message}", err=True)
    if error.next_step:
        click.echo(f"  next: {error.next_step}", err=True)


def _missing_extra(error: Exception) -> MissingExtraError | None:
    package = ((error.name or "") if isinstance(error, ModuleNotFoundError) else "").split(".")[0]
    return MissingExtraError(EXTRA_OF[package], package) if package in EXTRA_OF else None


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; typed errors end with their own exit code and next step.

    An unexpected exception shows only its type and place: its text could quote a patient's file.
    SCANSIDE_DEBUG=1 shows the whole traceback.
    """
    try:
        sys.exit(scanside.main(args=arguments, standalone_mode=False))
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ScansideError as error:
        _explain(error)
        sys.exit(error.exit_code)
    except Exception as error:
        missing = _missing_extra(error)
        if missing is not None:
            _explain(missing)
            sys.exit(missing.exit_code)
        if os.environ.get("SCANSIDE_DEBUG"):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(place.filename)}:{place.lineno}"
        click.echo(f"error: internal error, {type(error).__name__} at {where}", err=True)
        click.echo("  next: run again with SCANSIDE_DEBUG=1 and report the traceback", err=True)
        sys.exit(ScansideError.exit_code)
