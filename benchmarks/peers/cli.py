"""The verb `bench peers`."""

from __future__ import annotations

from pathlib import Path

import click

from scanside.benchmarks.evidence.kept import PATH, history_option

PARTS = ("serving", "engines", "quality")


@click.command()
@click.argument("bundle", type=PATH, metavar="[FILE]", required=False)
@click.option("--run", type=PATH, help="FILE was compiled from it: adds engines and filters.")
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Only this part; may be repeated [all that there is input for].",
)
@click.option(
    "--short", is_flag=True, help="In four minutes; wider intervals, and FILE itself is not served."
)
@click.option(
    "--cores",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="That every process is kept to.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of every engine."
)
@click.option(
    "--images",
    type=click.IntRange(min=0),
    help="Slices for the filters, 0 for all [8; 3 with --short].",
)
@click.option(
    "--data",
    type=PATH,
    multiple=True,
    help="Clean images for the filters [the held-out real series in SCANSIDE_DATA].",
)
@click.option(
    "--pytriton",
    type=PATH,
    metavar="PYTHON",
    help="Of PyTriton's own environment [SCANSIDE_PYTRITON, else .venv-pytriton/bin/python].",
)
@history_option
def peers(
    bundle: Path | None,
    run: Path | None,
    parts: tuple[str, ...],
    short: bool,
    cores: int,
    threads: int,
    images: int | None,
    data: tuple[Path, ...],
    pytriton: Path | None,
    history: Path | None,
) -> None:
    """The same model and frames on other servers, engines and filters, in one interleaved run.

    FastAPI, LitServe and PyTriton beside our daemon, with a near-identity model and the bundle
    FILE; eager PyTorch, torch.compile, ONNX Runtime and OpenVINO in float beside INT8 pruned;
    non-local means, wavelets and BM3D where it is installed. What cannot run here is left out with
    its reason. `make peers` installs the servers.

    \b
    Example:
      scanside bench peers --short
      scanside bench peers ct.scanside --run runs/ct
    """
    wanted = parts or (PARTS if run is not None else PARTS[:1])
    if run is None and set(wanted) != {"serving"}:
        raise click.UsageError("the parts engines and quality need --run")
    if bundle is None and set(wanted) != {"serving"}:
        raise click.UsageError("the parts engines and quality need the bundle FILE")

    from scanside.benchmarks.peers.whole import measure_peers

    measure_peers(
        bundle,
        run,
        parts=wanted,
        short=short,
        cores=cores,
        threads=threads,
        images=images,
        data=data,
        pytriton=pytriton,
        history=history,
    )
