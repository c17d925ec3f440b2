"""`scanside targets`: the devices that a bundle can be compiled for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from scanside.runtime.platforms import Module, Release, Target


@click.command("targets")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Those that are refused too, and why.")
def targets(name: str | None, everything: bool) -> None:
    """List the devices that a bundle can be compiled for, or tell all about one of them.

    What no page of NVIDIA's was seen to settle is marked with a question mark; nothing was verified
    on hardware.

    \b
    Example:
      scanside targets
      scanside targets orin-nx-16gb-jp6.2
      scanside compile runs/ct --out ct.scanside --target orin-nx-16gb-jp6.2
    """
    from scanside.runtime import platforms

    if name is not None:
        _tell(platforms.find_target(name))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    headings = ("target", "module", "memory", "TensorRT", "CUDA", "Python")
    for heading in (*headings, "") if everything else headings:
        table.add_column(heading, no_wrap=heading != "")
    for target in platforms.targets().values():
        if target.refused and not everything:
            continue
        module, release = target.module, target.release
        table.add_row(
            target.name,
            module.title.removeprefix("Jetson "),
            f"{module.memory_gb} GB{_mark(module, 'memory_gb')}",
            f"{release.tensorrt}{_mark(release, 'tensorrt')}",
            f"{release.cuda}{_mark(release, 'cuda')}",
            f"{release.python}{_mark(release, 'python')}",
            *([target.refused] if everything else []),
        )
    Console().print(table)


def _mark(row: Module | Release, cell: str) -> str:
    return "?" if cell in row.uncertain else ""


def _tell(target: Target) -> None:
    """Every cell of its two rows, one a line."""
    from scanside.runtime import platforms

    module, release = target.module, target.release
    power = ", ".join(f"{name} ({use})" for name, use in module.power.items())
    also = ", ".join(f"{one.tensorrt} from L4T {one.from_l4t} on" for one in release.also
                     if module.name in one.modules)  # fmt: skip
    points = ", ".join(f"{l4t} is {point}" for l4t, point in release.points.items())
    family = platforms.families()[module.family]
    lines = [
        ("module", module.title, ""),
        ("memory", f"{module.memory_gb} GB", _mark(module, "memory_gb")),
        ("compute capability", module.compute_capability, ""),
        ("DLA", f"{module.dla}, not used", _mark(module, "dla")),
        ("board and SKU", ", ".join(module.boards), _mark(module, "boards")),
        ("in recovery mode", ", ".join(module.recovery_usb), _mark(module, "recovery_usb")),
        ("power modes", power, _mark(module, "power")),
        *(("caution", one, "") for one in module.cautions),
        *(("carrier", one, "") for one in module.carriers),
        ("device nodes", ", ".join(family.nodes), "?" if "nodes" in family.uncertain else ""),
        ("JetPack", release.jetpack, ""),
        ("L4T", ", ".join(f"{one}.*" for one in release.l4t), ""),
        ("its versions", points, _mark(release, "points")),
        ("Ubuntu", release.ubuntu, ""),
        ("Python", release.python, _mark(release, "python")),
        ("CUDA", release.cuda, _mark(release, "cuda")),
        ("cuDNN", release.cudnn, _mark(release, "cudnn")),
        ("TensorRT", release.tensorrt, _mark(release, "tensorrt")),
        *([("or TensorRT", also, _mark(release, "also"))] if also else []),
        *([("NumPy", f"below {release.numpy_below}", _mark(release, "numpy_below"))]
          if release.numpy_below else []),
        ("sources", module.source, ""),
        ("", release.source, ""),
    ]  # fmt: skip
    for title, text, mark in lines:
        click.echo(f"{title:<20}{text}{f'  {mark}' if mark else ''}")
