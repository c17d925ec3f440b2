"""`scanside device doctor`: what is right with this device, what is not, and what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from scanside.jetson.cli.running import PATH, root_option


@click.command("doctor")
@root_option
@click.option("--bundle", type=PATH, metavar="FILE", help="Is this bundle for this device?")
@click.option("--html", "report", type=PATH, metavar="FILE", help="Write the page as HTML too.")
@click.option("--json", "as_json", is_flag=True, help="Print the page as JSON.")
def command(root: Path, bundle: Path | None, report: Path | None, as_json: bool) -> None:
    """Look at everything on this device and say what to do; changes nothing.

    Works offline and as any user; what only root can read is said. Ends with 20 where a line is
    red. Not verified on hardware.

    \b
    Example:
      scanside device doctor
      scanside device doctor --bundle ct.scanside --html doctor.html
    """
    import msgspec

    from scanside.jetson.doctor.examine import examine
    from scanside.jetson.doctor.html import html_page
    from scanside.jetson.doctor.terminal import print_page
    from scanside.jetson.doctor.verdict import Verdict
    from scanside.jetson.machine import Machine
    from scanside.runtime.errors import DeviceError
    from scanside.runtime.files import replace_file

    if not root.is_dir():
        raise DeviceError(f"{root} is no folder", next_step="name a system's root with --root")
    page = examine(Machine(root), bundle)
    if report:
        try:
            with replace_file(report) as stream:
                stream.write(html_page(page).encode())
        except OSError as error:
            raise DeviceError(
                f"{report} cannot be written: {error.strerror}", next_step="name another file"
            ) from error
    if as_json:
        content = {"verdict": page.verdict, **msgspec.to_builtins(page)}
        click.echo(msgspec.json.format(msgspec.json.encode(content)).decode())
    else:
        print_page(page)
    if page.verdict is Verdict.RED:
        sys.exit(DeviceError.exit_code)
