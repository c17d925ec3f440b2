"""The main job from end to end: train, prune, quantise, compile, serve, stream, and show."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scanside.benchmarks.evaluation import (
    Evaluation,
    find_cases,
    judge_pictures,
    run_stages,
)
from scanside.benchmarks.latency.networks import BASELINE, measure_latency
from scanside.benchmarks.report import Check, Evidence, write_report
from scanside.benchmarks.served import serving
from scanside.benchmarks.tables import StageFigures, latency_table, quality_table, show
from scanside.compile.build import compile_run
from scanside.runtime import Client
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines import Engine
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.engines.cpu import device_name, usable_threads
from scanside.runtime.errors import ScansideError
from scanside.runtime.interleave import Latency
from scanside.runtime.wire import Outcome
from scanside.train.metrics.case import Image
from scanside.train.recipe import Recipe
from scanside.train.run import CONTROL, FLOAT, PRUNED, Run
from scanside.train.stages import eager_engine, load_float, train_recipe

ROUNDS = 30
SIDE = 512
FLOAT_NAME, PRUNED_NAME, CONTROL_NAME = "float", "pruned, fine-tuned", "float control of INT8"
Say = Callable[[str], None]


def run_demo(recipe: Recipe, out: Path, say: Say) -> Path:
    """Run the demo of a CT recipe into the folder `out`; returns the path of report.html.

    A finished training run in `out` is used again. Raises any ScansideError of the parts.
    """
    started = time.monotonic()

    def step(text: str) -> None:
        say(f"[{time.monotonic() - started:4.0f} s] {text}")

    step("1/5 training, pruning and quantising a U-Net on simulated low-dose CT")
    run = train_recipe(recipe, out / "train", [], say)
    step("2/5 compiling it into a bundle, if INT8 passes the gate")
    path = out / f"{recipe.name}-{recipe.version}.scanside"
    bundle = compile_run(run.folder, path, say, force=True)
    step("3/5 enhancing slices that training never saw, stage by stage")
    evaluation = find_cases(recipe)
    say(evaluation.data)
    stages, engine = _stages(run, bundle)
    pictures = run_stages(stages, evaluation.cases)
    step("4/5 streaming the same slices through the daemon")
    served = f"INT8, {engine.spec.name}, daemon"
    pictures[served] = _stream(path, engine.spec.name, evaluation)
    identical = all(
        np.array_equal(ours, theirs)
        for ours, theirs in zip(pictures[served], pictures[_int8(engine)], strict=True)
    )
    step("5/5 measuring latency, all engines in turn")
    threads = usable_threads()
    latency = measure_latency(bundle, run, side=SIDE, threads=threads, rounds=ROUNDS)
    figures = judge_pictures(pictures, evaluation.cases)
    evidence = Evidence(
        title="Low-dose CT through an INT8 U-Net",
        data=evaluation.data,
        threads=threads,
        checks=_checks(run, figures, latency, engine, identical, evaluation.real),
        stages=figures,
        heldout=run.summary(),
        latency=latency,
        sizes=_sizes(run, path, bundle),
    )
    page = write_report(out, evidence, evaluation, pictures, served, recipe)
    show(
        quality_table(figures, evaluation.data),
        latency_table(latency, f"{SIDE} x {SIDE}, {threads} threads each, {device_name()}"),
    )
    for check in evidence.checks:
        say(
            f"{'met   ' if check.passed else 'MISSED'} {check.what}: {check.measured} ({check.bar})"
        )
    step(f"done: {page}")
    return page


def _int8(engine: Engine) -> str:
    return f"INT8, {engine.spec.name}"


def _stages(run: Run, bundle: Bundle) -> tuple[dict[str, Engine], Engine]:
    """Every stage as an engine, and the one that `auto` serves with."""
    engine = open_engine(bundle)
    names = {FLOAT_NAME: FLOAT, PRUNED_NAME: PRUNED, CONTROL_NAME: CONTROL}
    stages: dict[str, Engine] = {
        shown: eager_engine(load_float(run, stage), bundle.manifest)
        for shown, stage in names.items()
    }
    stages[_int8(engine)] = engine
    return stages, engine


def _stream(bundle: Path, engine: str, evaluation: Evaluation) -> list[Image]:
    """The noisy slices through a daemon in its own process, one result for each."""
    frames = [(case.degraded, case.facts) for case in evaluation.cases]
    with serving(bundle, "--engine", engine, "--allow-unsigned") as url, Client(url) as client:
        results = list(client.stream(frames))
    for result in results:
        if result.outcome is not Outcome.ENHANCED or result.pixels is None:
            raise ScansideError(f"a frame came back {result.outcome.value}: {result.reason}")
    return [result.pixels.astype(np.int16) for result in results if result.pixels is not None]


def _checks(
    run: Run,
    figures: dict[str, StageFigures],
    latency: dict[str, Latency],
    engine: Engine,
    identical: bool,
    real: bool,
) -> list[Check]:
    summary = run.summary().stages
    floats, pruned, control = (figures[name] for name in (FLOAT_NAME, PRUNED_NAME, CONTROL_NAME))
    int8 = figures[_int8(engine)]
    macs = summary[PRUNED].macs / summary[FLOAT].macs
    name, fastest = min(
        ((name, row) for name, row in latency.items() if name.endswith(", INT8")),
        key=lambda item: item[1].p50,
    )

    def at_least(what: str, value: float, bar: float, unit: str) -> Check:
        return Check(
            what=what,
            measured=f"{value:+.2f} {unit}",
            bar=f"at least {bar:g} {unit}",
            passed=value >= bar,
        )

    # The bars of the gain were set for this series of real CT; on phantoms they say nothing.
    gains = [
        at_least("float gain over the noisy slices, mean", floats.gain, 6.0, "dB"),
        at_least("float gain, worst slice", floats.worst_gain, 3.5, "dB"),
    ]
    return [
        *(gains if real else []),
        Check(
            what="MACs left after pruning",
            measured=f"{macs:.0%}",
            bar="at most 50%",
            passed=macs <= 0.5,
        ),
        at_least("pruned, fine-tuned, against float", pruned.psnr - floats.psnr, -0.1, "dB"),
        at_least("INT8 against its float control", int8.psnr - control.psnr, -0.1, "dB"),
        at_least(f"speed of {name} over {BASELINE}", fastest.ratio, 5.0, "times"),
        Check(
            what="frames through the daemon against `enhance`, same engine",
            measured="bit-identical" if identical else "different",
            bar="bit-identical",
            passed=identical,
        ),
    ]


def _sizes(run: Run, path: Path, bundle: Bundle) -> dict[str, str]:
    summary = run.summary().stages
    return {
        "bundle": f"{path.stat().st_size / 1e3:.0f} kB",
        **{name: f"{member.size / 1e3:.0f} kB" for name, member in bundle.manifest.members.items()},
        "MACs at 512 x 512, float": f"{summary[FLOAT].macs / 1e9:.2f} G",
        "MACs at 512 x 512, pruned": f"{summary[PRUNED].macs / 1e9:.2f} G",
    }
