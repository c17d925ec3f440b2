"""The verb `bench serving`."""

from __future__ import annotations

from pathlib import Path

import click

from scanside.benchmarks.evidence.kept import PATH, history_option


@click.command()
@click.argument("bundle", type=PATH, metavar="[FILE]", required=False)
@click.option("--short", is_flag=True, help="In a minute or a few; wider intervals.")
@click.option(
    "--cores",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="That every process is kept to.",
)
@click.option(
    "--install",
    "project",
    type=PATH,
    metavar="FOLDER",
    help="Also install the project in FOLDER, without extras, to see its size: needs the network.",
)
@click.option("--out", type=PATH, help="JSON as well.")
@history_option
def serving(
    bundle: Path | None,
    short: bool,
    cores: int,
    project: Path | None,
    out: Path | None,
    history: Path | None,
) -> None:
    """What the daemon adds to its engine, for a near-identity model and for the bundle FILE.

    Round trips on every transport beside calls in process, throughput, a client that does not
    read, start, idle memory; engines on one thread. Each figure stands beside its bar.

    \b
    Example:
      scanside bench serving ct.scanside --out serving.json
    """
    import msgspec

    from scanside.benchmarks.evidence.record import HISTORY, append_record, new_record
    from scanside.benchmarks.serving.kept import DATA, serving_figures
    from scanside.benchmarks.serving.suite import FULL, SHORT, measure_serving
    from scanside.benchmarks.serving.verdicts import lines, verdicts
    from scanside.runtime.bundle import Bundle
    from scanside.runtime.files import replace_file

    report = measure_serving(bundle, SHORT if short else FULL, cores=cores, project=project)
    setting = report.setting
    click.echo(
        f"{setting.date}, {setting.machine}, every process on cores "
        f"{','.join(map(str, setting.cores))}, {setting.engine} on {setting.threads} thread, "
        f"Python {setting.python}\n"
        + ", ".join(f"{name} {found}" for name, found in setting.versions.items())
    )
    for line in lines(verdicts(report)):
        click.echo(line)
    if report.installation is not None:
        for name, size in report.installation.by_name.items():
            click.echo(f"       {size:7.2f} MB {name}")
    if out is not None:
        with replace_file(out) as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(report)))
    record = new_record(
        "serving",
        serving_figures(report),
        bundle=Bundle.open(bundle) if bundle is not None else None,
        data=DATA,
        setting={
            "effort": "short" if short else "full",
            "engine": setting.engine,
            "threads": str(setting.threads),
        },
    )
    append_record(history or HISTORY, record)
