"""The networks that can be trained: built from a shape, or rebuilt from a checkpoint.

`scanside.train.recipe` says which shapes there are.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import pairwise

import msgspec
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from scanside.runtime.errors import ArchitectureError
from scanside.train.models.network import Network
from scanside.train.models.srgan import SRGAN
from scanside.train.models.srnet import SRNet
from scanside.train.models.unet import UNet
from scanside.train.recipe import MonaiUNetShape, Shape, SRGANShape, SRNetShape, UNetShape

__all__ = ["Network", "build", "fuse_batch_norm", "rebuild"]

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def build(shape: Shape) -> Network:
    """The untrained network of a shape, initialised from torch's global generator."""
    if isinstance(shape, UNetShape):
        return UNet(shape.widths)
    if isinstance(shape, MonaiUNetShape):
        from scanside.train.models.monai_unet import MonaiUNet  # MONAI takes two seconds to import

        return MonaiUNet(shape.widths, shape.units)
    if isinstance(shape, SRNetShape):
        return SRNet(shape.width, shape.blocks)
    return SRGAN(shape.width, shape.blocks, prelu=shape.prelu)


def rebuild(shape: Shape, state: Mapping[str, Tensor]) -> Network:
    """The network that a state dict belongs to, pruned or fused as it may be, with its weights.

    Widths are the state's: of `shape` only what is no channel count matters (levels, blocks,
    activation). A convolution's shape is its weight's; one without a batch norm after it was fused.
    Raises ArchitectureError when the state is another architecture's.
    """
    model = build(shape)
    for name, module in list(model.named_modules()):
        replacement = _with_shape_of(module, name, state)
        if replacement is not module:
            model.set_submodule(name, replacement)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ArchitectureError(
            f"the checkpoint holds {_architecture(state, shape)}, not {_named(shape)}",
            next_step="train into another folder, or give the recipe the network it began with",
        ) from error
    return model


def _with_shape_of(module: nn.Module, name: str, state: Mapping[str, Tensor]) -> nn.Module:
    """The module, or one of its kind with as many channels as the state has for it.

    Where the state has nothing that fits the module is returned: loading then fails.
    """
    weight, bias = state.get(f"{name}.weight"), f"{name}.bias" in state
    if isinstance(module, nn.BatchNorm2d):
        return nn.Identity() if weight is None else nn.BatchNorm2d(len(weight))
    if not isinstance(module, _CONVOLUTIONS) or weight is None or weight.ndim != 4:
        return module
    if weight.shape[2:] != module.weight.shape[2:]:
        return module
    first, second = weight.shape[:2]
    if isinstance(module, nn.ConvTranspose2d):
        return nn.ConvTranspose2d(
            first,
            second,
            module.kernel_size,  # type: ignore[arg-type]
            module.stride,  # type: ignore[arg-type]
            module.padding,  # type: ignore[arg-type]
            module.output_padding,  # type: ignore[arg-type]
            bias=bias,
        )
    return nn.Conv2d(
        second,
        first,
        module.kernel_size,  # type: ignore[arg-type]
        module.stride,  # type: ignore[arg-type]
        module.padding,  # type: ignore[arg-type]
        bias=bias,
    )


def _named(shape: Shape) -> str:
    return f"the network '{msgspec.to_builtins(shape)['type']}'"


def _architecture(state: Mapping[str, Tensor], expected: Shape) -> str:
    """What a state dict is a state of, told by the names of its parts."""
    parts = {key.split(".")[0] for key in state}
    for other in (UNetShape(), MonaiUNetShape(), SRNetShape(), SRGANShape()):
        if parts == {name for name, _ in build(other).named_children()}:
            same = type(other) is type(expected)
            return f"{_named(other)} of other layers" if same else _named(other)
    return "an unknown network"


def fuse_batch_norm(model: Network) -> Network:
    """A copy in evaluation mode whose batch norms are folded into the convolutions before them.

    Must happen before export: unfused, the quantised graph differed from eager by 0.029.
    """
    fused = copy.deepcopy(model).eval()
    # Modules are registered in the order in which they run, at least within a block: a batch norm
    # comes right after its convolution.
    leaves = [(name, part) for name, part in fused.named_modules() if not any(part.children())]
    for (before, convolution), (after, norm) in pairwise(leaves):
        if isinstance(convolution, _CONVOLUTIONS) and isinstance(norm, nn.BatchNorm2d):
            transposed = isinstance(convolution, nn.ConvTranspose2d)
            fused.set_submodule(before, fuse_conv_bn_eval(convolution, norm, transpose=transposed))
            fused.set_submodule(after, nn.Identity())
    return fused
