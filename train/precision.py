"""How the arithmetic of a step is done: number formats, memory layout, several processes.

Everything here is put on while a stage runs and taken off after it: the model that leaves is the
one that came, with other weights.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from lightning_fabric.plugins.precision import Precision as FullPrecision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed, nn
from torch.fx import GraphModule

from scanside.runtime.errors import TrainingError
from scanside.train.sampler import Batch

CLIP_NORM = 1.0
PRECISIONS = ("auto", "32", "bf16", "fp16")


class _Mixed(MixedPrecision):
    """Lightning's, but the image stays float32 on its way to the network: bf16 has 8 bits, which
    is 5 HU in soft tissue."""

    def convert_input(self, data: Any) -> Any:
        return data


def choose_precision(name: str, device: str) -> str:
    """ "32", "bf16" or "fp16" for one of `PRECISIONS` on a device type ("cpu", "cuda").

    "auto" takes bf16 where the hardware multiplies it (on a CPU: AVX512_BF16 or AMX; elsewhere it
    is emulated, and slower than float32), fp16 on other GPUs, and float32 on other CPUs. Raises
    TrainingError for an unknown name and for fp16 on a CPU.
    """
    if name not in PRECISIONS:
        raise TrainingError(
            f"there is no precision {name!r}", next_step=f"choose one of {', '.join(PRECISIONS)}"
        )
    if name == "fp16" and device != "cuda":
        raise TrainingError("precision fp16 needs a GPU", next_step="choose bf16 or 32")
    if name != "auto":
        return name
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # Private in torch, so they may go: then it is float32, which is only slower.
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return "bf16" if any(getattr(torch.cpu, check, bool)() for check in checks) else "32"


def make_fabric(precision: str, model: nn.Module, *, sync_buffers: bool = True) -> Fabric:
    """A launched Fabric: one process, or all those that `torchrun` started.

    precision: one of `PRECISIONS`; a graph under quantisation-aware training always gets "32",
    since its rounding is the subject. sync_buffers: whether other processes take their buffers
    from the first before each forward pass.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = choose_precision(precision, device)
    plugin: FullPrecision
    if chosen == "32" or isinstance(model, GraphModule):
        plugin = FullPrecision()
    else:
        plugin = _Mixed("bf16-mixed" if chosen == "bf16" else "16-mixed", device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Fabric(accelerator="auto", devices=1, plugins=[plugin])
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    fabric = Fabric(
        accelerator="auto",
        strategy=DDPStrategy(forward_sync_buffers=sync_buffers),
        devices=local,
        num_nodes=world // local,
        plugins=[plugin],
    )
    fabric.launch()
    return fabric


def scaler_of(fabric: Fabric) -> torch.amp.GradScaler | None:
    """What keeps fp16 gradients from vanishing; None in other precisions."""
    precision = fabric.strategy.precision
    return precision.scaler if isinstance(precision, MixedPrecision) else None


@contextmanager
def arithmetic(model: nn.Module, fabric: Fabric) -> Iterator[None]:
    """While the block runs, the model computes as a stage wants it to.

    Weights lie channels last (measured on a CPU: 1.07 to 1.28 times faster, in float32 and bf16,
    for the U-Net, both generators and under QAT); in mixed precision the convolutions at both ends
    compute in float32; with several processes, batch norm takes the statistics of the whole batch.
    Enter it before `Fabric.setup`: DDP remembers how the weights lie.
    """
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    swapped: list[nn.Module] = []
    if isinstance(fabric.strategy.precision, MixedPrecision):
        for convolution in _ends(model):
            _swap(convolution, _in_float, swapped)
    if fabric.world_size > 1:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                _swap(module, _over_all_processes, swapped)
    try:
        yield
    finally:
        for module in swapped:
            vars(module).pop("forward", None)
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def _ends(model: nn.Module) -> list[nn.Conv2d]:
    """The convolutions that read the image, which has one channel, and the last one."""
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    readers = [one for one in convolutions if one.in_channels == 1]
    return readers + [one for one in convolutions[-1:] if one not in readers]


def _swap(module: nn.Module, forward: Any, swapped: list[nn.Module]) -> None:
    # Bound methods, so that a deep copy of the model (the averaged one) runs its own weights.
    module.forward = MethodType(forward, module)
    swapped.append(module)


def _in_float(self: nn.Conv2d, image: Tensor) -> Tensor:
    with torch.autocast(image.device.type, enabled=False):
        return nn.Conv2d.forward(self, image.float())


def _over_all_processes(self: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Batch norm (S. Ioffe and C. Szegedy, 2015) over the shares of all processes.

    torch.nn.SyncBatchNorm does this on GPUs only. The deviation is taken about the common mean, so
    that nothing cancels.
    """
    if not self.training:
        return nn.BatchNorm2d.forward(self, x)
    values = x.float()
    rows = values.new_full((1,), float(values[:, 0].numel()))
    sums = _total(torch.cat([values.sum((0, 2, 3)), rows]))
    count = sums[-1].detach()
    mean = sums[:-1] / count
    centred = values - mean[:, None, None]
    variance = _total(centred.square().sum((0, 2, 3))) / count
    if self.running_mean is not None and self.running_var is not None:
        momentum = self.momentum if self.momentum is not None else 0.1
        with torch.no_grad():
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * count / (count - 1), momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
    scale = torch.rsqrt(variance + self.eps) * self.weight
    normalised: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
    return normalised.to(x.dtype)


class _Total(torch.autograd.Function):
    """The sum over all processes; its gradient is summed likewise."""

    @staticmethod
    def forward(context: Any, share: Tensor) -> Tensor:
        whole = share.clone()
        distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        whole = gradients[0].clone()
        distributed.all_reduce(whole)
        return whole


def _total(share: Tensor) -> Tensor:
    whole: Tensor = _Total.apply(share)  # type: ignore[no-untyped-call]
    return whole


def take_share(batch: Batch, fabric: Fabric, together: int = 1) -> tuple[Batch, float]:
    """This process's rows of the batch, on its device, and the factor that makes the mean over all
    processes the mean over the batch. together: so many rows that follow each other stay so."""
    rows, world = len(batch.image), fabric.world_size
    if rows < world * together:
        raise TrainingError(
            f"a batch of {rows} cannot be shared by {world} processes",
            next_step="start fewer with torchrun, or raise batch in the recipe",
        )
    chosen = torch.arange(rows).view(-1, together)[fabric.global_rank :: world].flatten()
    mine = Batch(*(fabric.to_device(one[chosen]) for one in batch))
    return mine, len(mine.image) * world / rows


def descend(fabric: Fabric, model: Any, optimiser: Any, loss: Tensor, rate: float) -> float:
    """One optimiser step down the mean of all processes' losses, which is returned.

    Raises FloatingPointError before anything is applied when it, or its gradient, is not finite.
    """
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    fabric.backward(loss)
    norm = fabric.clip_gradients(model, optimiser, max_norm=CLIP_NORM, error_if_nonfinite=False)
    assert norm is not None
    # One look at both: it waits for the GPU.
    both = fabric.all_reduce(torch.stack([loss.detach(), norm]), reduce_op="mean")
    value, size = both.tolist()  # type: ignore[union-attr]
    scaler = scaler_of(fabric)
    # In fp16 a gradient may overflow: the scaler skips the step and scales less, down to a limit.
    forgiven = scaler is not None and scaler.get_scale() > 1
    if not math.isfinite(value) or not (math.isfinite(size) or forgiven):
        raise FloatingPointError
    optimiser.step()
    return float(value)
