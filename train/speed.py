"""Whether pruning made a network faster, not only smaller.

MACs are what is removed, time is what was wanted: narrow layers are bound by memory, and channel
counts that the hardware does not like cost more than they save.
"""

from __future__ import annotations

import copy
import time

import numpy as np
import torch

from scanside.train.models import fuse_batch_norm
from scanside.train.models.network import Network

SIDE = 256
WARM_UP = 3


def speedup(whole: Network, pruned: Network, *, rounds: int = 15, side: int = SIDE) -> float:
    """How many times faster `pruned` is than `whole`: median of the rounds' ratios, in turn.

    Eager PyTorch on this machine, batch norm folded, channels last, one image of side x side. What
    an engine makes of it stands in the benchmarks; a network that is no faster here has no business
    going there.
    """
    networks = [_ready(one) for one in (whole, pruned)]
    image = torch.rand(1, 1, side, side).contiguous(memory_format=torch.channels_last)
    ratios = []
    with torch.inference_mode():
        for round_ in range(-WARM_UP, rounds):
            spent = []
            for network in networks:
                started = time.perf_counter()
                network(image)
                spent.append(time.perf_counter() - started)
            if round_ >= 0:
                ratios.append(spent[0] / spent[1])
    return float(np.median(ratios))


def _ready(model: Network) -> torch.nn.Module:
    ready: torch.nn.Module = fuse_batch_norm(copy.deepcopy(model).eval())
    for weight in ready.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return ready
