"""What a stage writes down as it goes: metrics.jsonl, a line a step; TensorBoard's logs; and the
checkpoint that it goes on from."""

from __future__ import annotations

import os
import pickle
import time
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from scanside.runtime.files import replace_file

SCALARS_EVERY = 10
"""Steps between points in TensorBoard."""


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of metrics.jsonl. discriminator: its loss, where there is one. note: what else
    happened at this step (an early stop)."""

    stage: str
    step: int
    loss: float
    rate: float
    discriminator: float | None = None
    note: str = ""


def read_journal(folder: Path) -> dict[str, dict[int, Step]]:
    """Steps by stage and number, in the order of the stages. A torn line counts for nothing, and
    of two lines for a step the last one counts."""
    stages: dict[str, dict[int, Step]] = {}
    path = folder / "metrics.jsonl"
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            step = msgspec.json.decode(line, type=Step)
        except msgspec.DecodeError:  # the last line before the power went
            continue
        stages.setdefault(step.stage, {})[step.step] = step
    return stages


class Journal:
    """The journal of a stage that goes on at step `first`; what it had written from there on is
    dropped. Only an active one (the first process) writes anything."""

    def __init__(self, folder: Path, stage: str, first: int, *, active: bool = True) -> None:
        self._log: BinaryIO | None = None
        self._writer: SummaryWriter | None = None
        self._images = 0
        self._since = time.perf_counter()
        if not active:
            return
        path = folder / "metrics.jsonl"
        stages = read_journal(folder)
        kept = [
            msgspec.json.encode(step)
            for steps in stages.values()
            for step in steps.values()
            if step.stage != stage or step.step < first
        ]
        with replace_file(path) as stream:
            stream.write(b"".join(line + b"\n" for line in kept))
        self._log = path.open("ab")
        self._writer = SummaryWriter(folder / "tensorboard" / stage, purge_step=first)

    def write(self, line: Step, images: int) -> None:
        """images: how many the step has trained on."""
        if self._log is None or self._writer is None:
            return
        self._log.write(msgspec.json.encode(line) + b"\n")
        self._images += images
        if (line.step + 1) % SCALARS_EVERY:
            return
        now = time.perf_counter()
        speed = self._images / (now - self._since)
        self._images, self._since = 0, now
        for name, value in (("loss", line.loss), ("rate", line.rate), ("images per second", speed)):
            self._writer.add_scalar(name, value, line.step)
        if line.discriminator is not None:
            self._writer.add_scalar("discriminator", line.discriminator, line.step)

    def show(self, step: int, image: Tensor, enhanced: Tensor, clean: Tensor) -> None:
        """The panel input | enhanced | clean of one patch: (h, w), (H, W) and (H, W)."""
        if self._writer is None:
            return
        larger = F.interpolate(image[None, None].float(), enhanced.shape[-2:])[0, 0]
        panel = torch.cat([larger, enhanced, clean], 1)
        self._writer.add_image("patch", panel.clamp(0, 1)[None].cpu().numpy(), step)

    def flush(self) -> None:
        """On disk, all of it: a checkpoint never knows more steps than the journal."""
        if self._log is not None:
            self._log.flush()
            os.fsync(self._log.fileno())

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._log is not None:
            self._log.close()
        if self._writer is not None:
            self._writer.close()


def load_state(path: Path, names: set[str]) -> dict[str, Any] | None:
    """What `save_state` wrote, or None where it is missing, torn or another thing."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not look at the checksums
            whole = archive.testzip() is None
        state = torch.load(path, map_location="cpu", weights_only=True) if whole else None
    except (
        OSError, RuntimeError, ValueError, KeyError, EOFError, NotImplementedError, zlib.error,
        pickle.UnpicklingError, zipfile.BadZipFile,
    ):  # fmt: skip
        return None
    return state if isinstance(state, dict) and state.keys() == names else None


def save_state(path: Path, state: dict[str, object]) -> None:
    """torch.save, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as stream:
        torch.save(state, stream)
