"""A run's stages as engines, and the INT8 that its bundle serves."""

from __future__ import annotations

from pathlib import Path

from scanside.runtime.bundle import Bundle
from scanside.runtime.engines import Engine
from scanside.runtime.engines.choose import open_engine
from scanside.train.manifest import draft_manifest
from scanside.train.run import CONTROL, FLOAT, PRETRAINED, PRUNED, QAT, Run
from scanside.train.stages import eager_engine, load_float, load_quantised

NAMES = {
    PRETRAINED: "L1 pre-training",
    FLOAT: "float",
    PRUNED: "pruned, fine-tuned",
    CONTROL: "float control of INT8",
}
INT8 = "INT8"


def stage_engines(run: Run, bundle: Path | None) -> dict[str, Engine]:
    """Every stage that the run has, by name, on eager PyTorch; INT8 on the engine that the bundle
    is served with, or as eager PyTorch rounds it where there is no bundle."""
    recipe = run.config().recipe
    engines: dict[str, Engine] = {}
    for stage, name in NAMES.items():
        if run.checkpoint(stage).exists():
            model = load_float(run, stage)
            engines[name] = eager_engine(model, draft_manifest(recipe, model))
    if bundle is not None:
        engine = open_engine(Bundle.open(bundle))
        engines[f"{INT8}, {engine.spec.name}"] = engine
    elif run.checkpoint(QAT).exists():
        draft = draft_manifest(recipe, load_float(run, PRUNED))
        engines[f"{INT8}, eager"] = eager_engine(load_quantised(run), draft)
    return engines
