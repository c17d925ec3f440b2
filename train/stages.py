"""From images to a quantisation-aware checkpoint, stage by stage, each resumable.

float -> pruned (and fine-tuned) -> control and qat. The last two start from the same weights and
see the same batches for the same number of steps; only one of them rounds. What separates them at
the end is what INT8 costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import torch
from torch import nn

from scanside.runtime.engines import EngineSpec
from scanside.runtime.engines.cpu import CpuEngine
from scanside.runtime.manifest import Manifest
from scanside.train import bank, run
from scanside.train.curves import plot_curves
from scanside.train.fit import Stage, fit, save_state
from scanside.train.heldout import (
    enhance_cases,
    load_cases,
    make_cases,
    qualities,
    save_cases,
)
from scanside.train.images import Slice, bundled_ct, read_folders, split_by_patient
from scanside.train.manifest import draft_manifest
from scanside.train.metrics.quality import Case, mean_quality
from scanside.train.models.unet import UNet, fuse_batch_norm
from scanside.train.prune import macs, prune
from scanside.train.qat import Frozen, as_network, convert, prepare
from scanside.train.recipes import Recipe
from scanside.train.run import CONTROL, FLOAT, PRUNED, QAT, Config, Run, StageSummary, Summary

TRAINING, HELD_OUT = 0, 1  # streams of phantoms
Say = Callable[[str], None]


def train_recipe(recipe: Recipe, out: Path, data: Sequence[Path], say: Say) -> Run:
    """Train a recipe into the folder `out`, or go on with what is there; returns the run.

    data: folders of DICOM that join the phantoms. say: told what is being done, a line at a time.
    Raises RunFolderError when `out` holds another run, NoImagesError when `data` holds nothing.
    """
    torch.manual_seed(recipe.seed)
    folder = Run(out)
    entries, cases = _data(recipe, folder, data, say)
    sampler = bank.Sampler(recipe, entries)
    _float(recipe, folder, sampler)
    _pruned(recipe, folder, sampler)
    _control_and_qat(recipe, folder, sampler)
    folder.write_summary(_summarise(recipe, folder, cases, say))
    plot_curves(out)
    return folder


def _data(
    recipe: Recipe, folder: Run, data: Sequence[Path], say: Say
) -> tuple[list[bank.Entry], list[Case]]:
    extra = [one for one in bundled_ct() if one.hu.shape[0] >= recipe.crop]
    words = f"{recipe.phantoms} phantoms, {len(extra)} CT slice of pydicom"
    taken: list[Slice] = []
    held_out: list[Slice] = []
    if data:  # before the phantoms are painted: a wrong folder is said at once
        found = read_folders(data, recipe.modality, recipe.crop)
        taken, held_out = split_by_patient(found.slices, extra)
        words += f", {len(taken)} slices from --data ({len(held_out)} held out)"
        for reason, count in sorted(found.refused.items()):
            say(f"left out: {count} files ({reason})")
    folder.claim()
    say(f"training on {words}")
    slices = bank.phantom_slices(recipe, recipe.phantoms, TRAINING) + extra + taken
    held = bank.phantom_slices(recipe, recipe.heldout_phantoms, HELD_OUT) + held_out
    config = Config(
        recipe=recipe,
        data=words,
        data_digest=bank.digest([*slices, *held]),
        code_version=run.code_version(),
    )
    folder.begin(config)
    if not folder.bank.exists():
        bank.save_bank(folder.bank, bank.make_bank(recipe, slices))
    if not folder.heldout.exists():
        save_cases(folder.heldout, make_cases(held, recipe.heldout_sigma_hu, recipe.seed + 1))
    return bank.load_bank(folder.bank), load_cases(folder.heldout)


def _float(recipe: Recipe, folder: Run, sampler: bank.Sampler) -> None:
    if folder.checkpoint(FLOAT).exists():
        return
    model = UNet(recipe.widths).train()
    fit(model, sampler, Stage(FLOAT, 0, recipe.steps, recipe.learning_rate), folder.folder)
    _finish(folder, FLOAT, model)


def _pruned(recipe: Recipe, folder: Run, sampler: bank.Sampler) -> None:
    if folder.checkpoint(PRUNED).exists():
        return
    model = prune(UNet.from_state(folder.state(FLOAT)), recipe.mac_budget).train()
    steps = round(recipe.steps * recipe.finetune_fraction)
    fit(model, sampler, Stage(PRUNED, 1, steps, recipe.finetune_rate), folder.folder)
    _finish(folder, PRUNED, model)


def _control_and_qat(recipe: Recipe, folder: Run, sampler: bank.Sampler) -> None:
    steps = round(recipe.steps * recipe.qat_fraction)
    if not folder.checkpoint(CONTROL).exists():
        control = fuse_batch_norm(UNet.from_state(folder.state(PRUNED))).train()
        fit(control, sampler, Stage(CONTROL, 2, steps, recipe.qat_rate), folder.folder)
        _finish(folder, CONTROL, control)
    if not folder.checkpoint(QAT).exists():
        prepared = prepare(UNet.from_state(folder.state(PRUNED)))
        stage = Stage(QAT, 2, steps, recipe.qat_rate, Frozen(prepared, steps))
        fit(prepared, sampler, stage, folder.folder)
        _finish(folder, QAT, prepared)


def _finish(folder: Run, stage: str, model: nn.Module) -> None:
    save_state(folder.checkpoint(stage), {"model": model.state_dict()})
    (folder.folder / "checkpoints" / f"{stage}.part.pt").unlink(missing_ok=True)


def load_float(folder: Run, stage: str) -> UNet:
    """The network of a float stage (float, pruned, control), in evaluation mode."""
    model: UNet = UNet.from_state(folder.state(stage)).eval()
    return model


def load_quantised(folder: Run) -> nn.Module:
    """The integer model of the qat stage: Q/DQ around integer weights, ready for export."""
    prepared = prepare(load_float(folder, PRUNED))
    prepared.load_state_dict(folder.state(QAT))
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


def _summarise(recipe: Recipe, folder: Run, cases: Sequence[Case], say: Say) -> Summary:
    noisy = mean_quality(qualities([case.noisy for case in cases], cases))
    stages = {}
    for stage in run.STAGES:
        model = load_quantised(folder) if stage == QAT else load_float(folder, stage)
        shape = load_float(folder, PRUNED if stage == QAT else stage)
        engine = eager_engine(model, draft_manifest(recipe, shape))
        images = enhance_cases({stage: engine}, cases, f"Measuring {stage}")[stage]
        mean = mean_quality(qualities(images, cases))
        stages[stage] = StageSummary(psnr=mean.psnr, ssim=mean.ssim, macs=macs(shape))
        say(f"{stage}: {mean.psnr:.2f} dB, SSIM {mean.ssim:.4f} (noisy {noisy.psnr:.2f} dB)")
    return Summary(noisy_psnr=noisy.psnr, noisy_ssim=noisy.ssim, stages=stages)


def shorten(recipe: Recipe, steps: int | None, seed: int | None) -> Recipe:
    """The recipe with another length (steps of the float stage) or seed, where given."""
    if steps is not None:
        recipe = msgspec.structs.replace(recipe, steps=steps)
    return recipe if seed is None else msgspec.structs.replace(recipe, seed=seed)
