"""Several processes under torchrun: who writes, and who waits."""

from __future__ import annotations

import os

import torch
from torch import nn

from scanside.train.precision import make_fabric


def is_chief() -> bool:
    """Whether this process writes and speaks: the only one, or the first."""
    return int(os.environ.get("RANK", "0")) == 0


def join() -> None:
    """Meet the other processes that torchrun started, if there are any, so that `wait` works."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        make_fabric("32", nn.Identity())


def wait() -> None:
    """Until every process is here. Nothing to wait for in a single one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
