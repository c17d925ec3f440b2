"""A run's folder: what it holds, and refusing to mix two runs in one.

::

    config.json        the recipe, the seed, the data's digest, the code's version
    bank.npz           training images, prepared
    heldout.npz        the cases that the gate measures on
    metrics.jsonl      loss and learning rate of every step
    tensorboard/       the same for TensorBoard
    checkpoints/       float.pt  pruned.pt  control.pt  qat.pt  (and STAGE.part.pt while one runs);
                       of a generator trained against a discriminator also pretrained.pt
    summary.json       PSNR, SSIM and MACs per stage on the held-out cases
    curves.png

With --data the two .npz files hold patients' pixels (no names): keep the folder where they may be.
"""

from __future__ import annotations

import hashlib
import pickle
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import msgspec
import torch
from torch import Tensor

from scanside.runtime.errors import RunFolderError
from scanside.runtime.files import replace_file
from scanside.train.recipe import Recipe

_T = TypeVar("_T")

PRETRAINED, FLOAT, PRUNED, CONTROL, QAT = "pretrained", "float", "pruned", "control", "qat"
STAGES = (PRETRAINED, FLOAT, PRUNED, CONTROL, QAT)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    recipe: Recipe
    data: str
    """How many images from where, in words; never a patient's name or path."""
    files: int
    """How many of the bank's last entries come from files."""
    data_digest: str
    initial: str = ""
    """sha256 of the weights that training went on from, or empty."""
    code_version: str


class StageSummary(msgspec.Struct, frozen=True, kw_only=True):
    """On the held-out cases: mean PSNR in dB and SSIM; MACs at an input of 512 x 512."""

    psnr: float
    ssim: float
    macs: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """data_range: in words. base: the degraded image as it is, or its cubic interpolation."""

    data_range: str
    base_psnr: float
    base_ssim: float
    stages: dict[str, StageSummary]


class Run:
    """A run's folder on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bank = folder / "bank.npz"
        self.heldout = folder / "heldout.npz"

    def begin(self, config: Config) -> None:
        """Claim the folder for this configuration, new or resumed."""
        path = self.folder / "config.json"
        if not path.exists():
            with replace_file(path) as stream:
                stream.write(msgspec.json.format(msgspec.json.encode(config)))
        elif self.config() != config:
            raise RunFolderError(
                f"{self.folder} holds a run of another recipe, data or version",
                next_step="choose another --out, or remove the folder",
            )

    def claim(self) -> None:
        """Make the folder; RunFolderError where that cannot be."""
        try:
            (self.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"{self.folder} cannot be made: {error.strerror}", next_step="choose another --out"
            ) from error

    def config(self) -> Config:
        return self._read("config.json", Config)

    def summary(self) -> Summary:
        return self._read("summary.json", Summary)

    def write_summary(self, summary: Summary) -> None:
        with replace_file(self.folder / "summary.json") as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(summary)))

    def checkpoint(self, stage: str) -> Path:
        return self.folder / "checkpoints" / f"{stage}.pt"

    def state(self, stage: str) -> dict[str, Tensor]:
        """The weights of a finished stage; RunFolderError when it is not finished."""
        path = self.checkpoint(stage)
        if not path.exists():
            raise RunFolderError(
                f"{self.folder} has no finished stage {stage!r}",
                next_step="run the same `scanside train` command again: it goes on from there",
            )
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            state: dict[str, Tensor] = saved["model"]
        except (OSError, RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as error:
            raise RunFolderError(
                f"{path} is damaged", next_step="remove it and run `scanside train` again"
            ) from error
        for name, values in state.items():
            if values.is_floating_point() and not bool(values.isfinite().all()):
                raise RunFolderError(
                    f"{path} is damaged: {name} is not finite",
                    next_step="remove it and run `scanside train` again",
                )
        return state

    def _read(self, name: str, kind: type[_T]) -> _T:
        path = self.folder / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError as error:
            raise RunFolderError(
                f"{self.folder} is not a finished run: it has no {name}",
                next_step="give the folder that `scanside train` wrote, after it has finished",
            ) from error
        except msgspec.MsgspecError as error:
            raise RunFolderError(
                f"{path} is not what `scanside train` writes", next_step="train into a new folder"
            ) from error


def code_version() -> str:
    """The package's version and a digest of the training code: other code is another run."""
    total = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        total.update(path.read_bytes())
    return f"{version('scanside')}+{total.hexdigest()[:12]}"
