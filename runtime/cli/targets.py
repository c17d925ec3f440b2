"""`scanside targets`: the devices that a bundle can be compiled for."""

from __future__ import annotations

import click


@click.command("targets")
@click.option("--all", "everything", is_flag=True, help="Those that are refused too, and why.")
def targets(everything: bool) -> None:
    """List the devices that a bundle can be compiled for; not verified on hardware.

    \b
    Example:
      scanside targets
      scanside compile runs/ct --out ct.scanside --target orin-nx-16gb-jp6.2
    """
    from rich.console import Console
    from rich.table import Table

    from scanside.runtime import platforms

    table = Table(box=None, pad_edge=False)
    for heading in ("target", "module", "memory", "TensorRT", "CUDA", "Python", ""):
        table.add_column(heading, no_wrap=heading != "")
    for name, target in platforms.targets().items():
        if target.refused and not everything:
            continue
        module, release = target.module, target.release
        memory = f"{module.memory_gb} GB"
        table.add_row(
            name, module.title, memory, release.tensorrt, release.cuda, release.python,
            target.refused,
        )  # fmt: skip
    Console().print(table)
