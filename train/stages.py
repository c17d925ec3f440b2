"""From images to a quantisation-aware checkpoint, stage by stage, each resumable.

(pretrained ->) float -> pruned (and fine-tuned) -> control and qat. The last two start from the
same weights and see the same batches for the same number of steps; only one of them rounds. What
separates them at the end is what INT8 costs. A generator is pre-trained on L1 before it meets its
discriminator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from scanside.runtime.engines import EngineSpec
from scanside.runtime.engines.cpu import CpuEngine
from scanside.runtime.errors import ArchitectureError, TrainingError
from scanside.runtime.manifest import Manifest
from scanside.train.adversarial import fit_adversarial
from scanside.train.curves import plot_curves
from scanside.train.fit import fit
from scanside.train.gather import gather, reopen
from scanside.train.heldout import base_image, enhance_cases, qualities
from scanside.train.journal import save_state
from scanside.train.loss import loss_of
from scanside.train.manifest import draft_manifest
from scanside.train.metrics.case import Case, range_words
from scanside.train.metrics.quality import mean_quality
from scanside.train.models import build, fuse_batch_norm, rebuild
from scanside.train.models.discriminator import Discriminator
from scanside.train.models.network import Network
from scanside.train.processes import is_chief, join, wait
from scanside.train.prune import macs, prune
from scanside.train.qat import Frozen, as_network, convert, prepare
from scanside.train.recipe import Recipe
from scanside.train.run import (
    CONTROL,
    FLOAT,
    PRETRAINED,
    PRUNED,
    QAT,
    STAGES,
    Run,
    StageSummary,
    Summary,
)
from scanside.train.sampler import Sampler
from scanside.train.speed import speedup
from scanside.train.stage import Options, Stage

TAYLOR_BATCHES = 8
Say = Callable[[str], None]


def _silent(line: str) -> None:
    pass


def train_recipe(
    recipe: Recipe,
    out: Path,
    data: Sequence[Path],
    say: Say,
    *,
    start: Path | None = None,
    precision: str = "auto",
) -> Run:
    """Train a recipe into the folder `out`, or go on with what is there; returns the run.

    data: folders of images that join the phantoms. say: told what is being done, a line at a time.
    start: the folder of a run whose float network is where training starts. precision: see
    `scanside.train.precision`. Raises RunFolderError when `out` holds another run, NoImagesError
    when `data` holds nothing, ArchitectureError when `start` is another network.
    """
    join()
    torch.manual_seed(recipe.seed)
    run = Run(out)
    chief = is_chief()
    say = say if chief else _silent
    initial = None if start is None else Run(start).state(FLOAT)
    model = build(recipe.network) if initial is None else rebuild(recipe.network, initial)
    if chief:
        gathered = gather(recipe, run, data, say, initial)
    wait()
    if not chief:
        gathered = reopen(run)
    sampler = Sampler(recipe, gathered.entries, gathered.files)
    options = Options(precision=precision, ema=recipe.ema, patience=recipe.patience, say=say)
    _float(recipe, run, model, sampler, options)
    _pruned(recipe, run, sampler, options)
    _control_and_qat(recipe, run, sampler, options)
    if not chief:
        return run
    run.write_summary(_summarise(recipe, run, gathered.cases, say))
    plot_curves(out)
    return run


def _float(recipe: Recipe, run: Run, model: Network, sampler: Sampler, options: Options) -> None:
    if run.checkpoint(FLOAT).exists():
        return
    adversarial = recipe.adversarial
    name = PRETRAINED if adversarial else FLOAT
    if not run.checkpoint(name).exists():
        stage = Stage(name, 0, recipe.steps, recipe.learning_rate, loss=recipe.loss)
        fit(model.train(), sampler, stage, run.folder, options)
        _finish(run, name, model)
    if adversarial is None:
        return
    generator = rebuild(recipe.network, run.state(PRETRAINED)).train()
    steps = round(recipe.steps * adversarial.steps_fraction)
    stage = Stage(FLOAT, 4, steps, adversarial.rate, loss=recipe.loss)
    fit_adversarial(
        generator, Discriminator(), sampler, stage, run.folder, options, adversarial.weight
    )
    _finish(run, FLOAT, generator)


def _pruned(recipe: Recipe, run: Run, sampler: Sampler, options: Options) -> None:
    if run.checkpoint(PRUNED).exists():
        return
    whole = rebuild(recipe.network, run.state(FLOAT))

    def gradients(model: nn.Module) -> None:
        for step in range(TAYLOR_BATCHES):
            loss_of(model, sampler.batch(3, step), recipe.loss).backward()  # type: ignore[no-untyped-call]

    model = prune(
        whole,
        recipe.mac_budget,
        recipe.importance,
        gradients=gradients,
        round_to=recipe.round_to,
    )
    _insist_on_speed(recipe, whole, model, options.say)
    model.train()
    steps = round(recipe.steps * recipe.finetune_fraction)
    stage = Stage(PRUNED, 1, steps, recipe.finetune_rate, loss=recipe.loss)
    fit(model, sampler, stage, run.folder, options)
    _finish(run, PRUNED, model)


def _insist_on_speed(recipe: Recipe, whole: Network, pruned: Network, say: Say) -> None:
    if not is_chief():  # it speaks for all, and ends all
        return
    left, times = macs(pruned) / macs(whole), speedup(whole, pruned)
    say(f"pruned to {left:.0%} of the MACs: {times:.2f} times as fast here")
    if times < recipe.least_speedup:
        raise TrainingError(
            f"pruning to {left:.0%} of the MACs made the network {times:.2f} times as fast, "
            f"{recipe.least_speedup:g} was asked for",
            next_step="lower mac_budget, or least_speedup in the recipe; the float stage is kept",
        )


def _control_and_qat(recipe: Recipe, run: Run, sampler: Sampler, options: Options) -> None:
    steps = round(recipe.steps * recipe.qat_fraction)
    # Neither is averaged nor rounded to bf16: they are to differ in nothing but INT8.
    exact = options._replace(precision="32", ema=0.0, patience=0)
    if not run.checkpoint(CONTROL).exists():
        control = fuse_batch_norm(rebuild(recipe.network, run.state(PRUNED))).train()
        stage = Stage(CONTROL, 2, steps, recipe.qat_rate, loss=recipe.loss)
        fit(control, sampler, stage, run.folder, exact)
        _finish(run, CONTROL, control)
    if not run.checkpoint(QAT).exists():
        prepared = prepare(rebuild(recipe.network, run.state(PRUNED)))
        switch = Frozen(prepared, steps)
        stage = Stage(QAT, 2, steps, recipe.qat_rate, switch, loss=recipe.loss)
        fit(prepared, sampler, stage, run.folder, exact)
        _finish(run, QAT, prepared)


def _finish(run: Run, stage: str, model: nn.Module) -> None:
    """All processes have the same weights: the first writes them, the others wait for it."""
    if is_chief():
        save_state(run.checkpoint(stage), {"model": model.state_dict()})
        (run.folder / "checkpoints" / f"{stage}.part.pt").unlink(missing_ok=True)
    wait()


def load_float(run: Run, stage: str) -> Network:
    """The network of a float stage (pretrained, float, pruned, control), in evaluation mode."""
    model: Network = rebuild(run.config().recipe.network, run.state(stage)).eval()
    return model


def load_quantised(run: Run) -> nn.Module:
    """The integer model of the qat stage: Q/DQ around integer weights, ready for export.

    Raises ArchitectureError where its checkpoint is another network's, or one that was never
    quantised.
    """
    prepared = prepare(load_float(run, PRUNED))
    try:
        prepared.load_state_dict(run.state(QAT))
    except RuntimeError as error:
        raise ArchitectureError(
            f"{run.checkpoint(QAT)} is not the quantisation-aware checkpoint of this network",
            next_step="remove it and run `scanside train` again: it goes on from the others",
        ) from error
    return convert(prepared)


def eager_engine(model: nn.Module, manifest: Manifest) -> CpuEngine:
    """A model on eager PyTorch behind the device's own intensity map and tiles."""
    spec = EngineSpec(
        name="pytorch",
        version=torch.__version__,
        device="cpu",
        threads=torch.get_num_threads(),
        scale=manifest.scale,
    )
    return CpuEngine(manifest, as_network(model), spec)


def _summarise(recipe: Recipe, run: Run, cases: Sequence[Case], say: Say) -> Summary:
    base = mean_quality(qualities([base_image(case) for case in cases], cases))
    words = range_words(recipe.modality[0])
    say(f"held out, untouched: {base.psnr:.2f} dB, SSIM {base.ssim:.4f} (data range: {words})")
    stages = {}
    for stage in STAGES:
        if stage == PRETRAINED and not run.checkpoint(stage).exists():
            continue
        model = load_quantised(run) if stage == QAT else load_float(run, stage)
        shape = load_float(run, PRUNED if stage == QAT else stage)
        engine = eager_engine(model, draft_manifest(recipe, shape))
        images = enhance_cases({stage: engine}, cases, f"Measuring {stage}")[stage]
        mean = mean_quality(qualities(images, cases))
        stages[stage] = StageSummary(psnr=mean.psnr, ssim=mean.ssim, macs=macs(shape))
        say(f"{stage}: {mean.psnr:.2f} dB, SSIM {mean.ssim:.4f}")
    return Summary(data_range=words, base_psnr=base.psnr, base_ssim=base.ssim, stages=stages)
