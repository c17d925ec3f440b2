"""Structured pruning to a MAC budget with torch-pruning's dependency graph.

The share of channels to remove is bisected on the MACs that are left: asked-for ratios and removed
MACs are different things once channel counts are rounded. Fine-tuning afterwards is part of it:
one-shot pruning alone costs more than 10 dB.

Channels that an addition or a concatenation ties together go together (DepGraph: G. Fang et al.,
CVPR 2023). The ranking over all groups is ours: torch-pruning's keeps no lower bound per layer when
it prunes in one step.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
import torch_pruning as tp
from torch import Tensor, nn

from scanside.runtime.errors import TrainingError
from scanside.train.models.network import Network

ROUND_TO = 4
"""Channels. For a CPU: multiples of 8 were up to 10% faster there, but the narrow layers then come
in steps so coarse that the pruned network was 0.2 dB below the whole one. TensorRT's INT8 kernels
work on 16 or 32 channels at a time and pad what lies between."""
EXAMPLE_SIDE = 32
"""Of the image that is traced: a multiple of every network's `multiple_of`."""
BISECTIONS = 12
MOST_PER_LAYER = 0.75
"""Layers compete for the channels that stay, but none may lose more than this of its own: a layer
of a few channels would throttle all that comes after it."""
RANDOM_SEED = 0

Gradients = Callable[[nn.Module], None]


def macs(model: nn.Module, side: int = 512) -> int:
    """Multiply-accumulates for one input image of side x side."""
    count, _ = tp.utils.count_ops_and_params(
        copy.deepcopy(model).eval(), torch.zeros(1, 1, EXAMPLE_SIDE, EXAMPLE_SIDE)
    )
    return int(count * (side / EXAMPLE_SIDE) ** 2)


def prune(
    model: Network,
    budget: float,
    importance: str = "l2",
    *,
    gradients: Gradients | None = None,
    round_to: int = ROUND_TO,
) -> Network:
    """A copy, in evaluation mode, with at most `budget` (0..1) of the model's MACs.

    importance, each divided by its mean over the channels that compete within a layer:

    - "l1", "l2": norm of the filters that make a channel (H. Li et al., ICLR 2017);
    - "group": mean squared norm of every weight that a channel touches, in the layers that make it
      and in those that read it (DepGraph's group norm);
    - "taylor": what the loss would change by, to first order (P. Molchanov et al., CVPR 2019);
      `gradients` back-propagates a few batches on the model that it is given;
    - "random": the control that any of them has to beat.

    round_to: channel counts become multiples of it, where a layer has as many.
    Raises TrainingError when no pruning reaches the budget, or for an unknown importance.
    """
    groups = _ranked(model, importance, gradients)
    most = budget * macs(model)

    @cache
    def left(counts: tuple[int, ...]) -> int:
        return macs(_pruned(model, groups, counts))

    low, high = 0.0, 1.0
    best = _counts(groups, high, round_to)
    if left(best) > most:
        raise TrainingError(
            f"pruning cannot reach {budget:.0%} of the MACs: with every layer as narrow as it may "
            f"become {left(best) / macs(model):.0%} are left",
            next_step="raise mac_budget, or take narrower layers from the start",
        )
    for _ in range(BISECTIONS):
        ratio = (low + high) / 2
        counts = _counts(groups, ratio, round_to)
        if left(counts) <= most:
            best, high = counts, ratio
        else:
            low = ratio
    return _pruned(model, groups, best)


class Ranked(NamedTuple):
    """Channels that go together. root: module path of one layer that makes them; scores: (C,)."""

    root: str
    scores: Tensor


def _filter_norm(p: int) -> Callable[[Any], Tensor]:
    """Importance that looks at the filters which make a channel, over all layers tied together."""

    def score(group: Any) -> Tensor:
        total = torch.zeros(len(group[0].idxs))
        for item in group:
            layer = item.dep.target.module
            makes = item.dep.handler == tp.prune_conv_out_channels
            if makes and isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                first = layer.weight.detach().transpose(0, int(layer.transposed))
                norms = first.flatten(1).norm(p, dim=1)
                total[torch.tensor(item.root_idxs)] += norms[torch.tensor(item.idxs)]
        return total / total.mean()

    return score


_SCORES: dict[str, Callable[[], Callable[[Any], Tensor]]] = {
    "l1": lambda: _filter_norm(1),
    "l2": lambda: _filter_norm(2),
    "group": lambda: tp.importance.GroupMagnitudeImportance(p=2),
    "taylor": lambda: tp.importance.GroupTaylorImportance(),
    "random": lambda: tp.importance.RandomImportance(),
}
IMPORTANCES: Sequence[str] = tuple(_SCORES)


def _ranked(model: Network, importance: str, gradients: Gradients | None) -> list[Ranked]:
    if importance not in _SCORES:
        near = difflib.get_close_matches(importance, IMPORTANCES, n=1, cutoff=0)
        raise TrainingError(
            f"there is no importance '{importance}' to prune by",
            next_step=f"the nearest is '{near[0]}'; there are {', '.join(IMPORTANCES)}",
        )
    candidate = copy.deepcopy(model).eval()
    if importance == "taylor":
        if gradients is None:
            raise TrainingError("importance 'taylor' needs gradients", next_step="pass `gradients`")
        gradients(candidate)
    names = {module: name for name, module in candidate.named_modules()}
    score = _SCORES[importance]()
    ranked = []
    with torch.random.fork_rng():
        torch.manual_seed(RANDOM_SEED)
        for group in _graph(candidate).get_all_groups(
            ignored_layers=candidate.fixed_layers(),
            root_module_types=[nn.Conv2d, nn.ConvTranspose2d],
        ):
            # A layer without a gradient, or of zeros, has no mean to be divided by.
            scores = score(group).nan_to_num()
            ranked.append(Ranked(names[group[0].dep.target.module], scores))
    return ranked


def _graph(model: Network) -> Any:
    example = torch.zeros(1, 1, EXAMPLE_SIDE, EXAMPLE_SIDE)
    return tp.DependencyGraph().build_dependency(model, example_inputs=example)


def _counts(groups: Sequence[Ranked], ratio: float, round_to: int) -> tuple[int, ...]:
    """Channels that stay in each group when the lowest `ratio` of all go, as far as they may."""
    threshold = torch.quantile(torch.cat([group.scores for group in groups]), ratio)
    return tuple(
        kept(int((scores > threshold).sum()), len(scores), round_to) for _, scores in groups
    )


def _pruned(model: Network, groups: Sequence[Ranked], counts: Sequence[int]) -> Network:
    candidate = copy.deepcopy(model).eval()
    graph = _graph(candidate)
    for (root, scores), count in zip(groups, counts, strict=True):
        if count < len(scores):
            indices = scores.argsort()[: len(scores) - count].sort().values.tolist()
            layer = candidate.get_submodule(root)
            graph.get_pruning_group(layer, tp.prune_conv_out_channels, indices).prune()
    return candidate


def kept(wanted: int, channels: int, round_to: int) -> int:
    """Channels that stay of a layer's: the multiple of `round_to` nearest to those wanted.

    At least a quarter (1 - `MOST_PER_LAYER`) and one multiple; a layer of fewer channels than one
    multiple stays whole.
    """
    least = max(round_to, -(-channels * (1 - MOST_PER_LAYER) // round_to) * round_to)
    nearest = (wanted + round_to // 2) // round_to * round_to
    return int(min(channels, max(least, nearest)))
