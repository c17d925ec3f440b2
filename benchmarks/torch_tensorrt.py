"""A run's networks through torch-tensorrt on a workstation's own GPU: parity and latency.

Not Jetson evidence: another GPU, another TensorRT, another compiler than the device's. Not verified
on hardware: the calls are held against the signatures of torch-tensorrt 2.13 and 2.14. Both know
ModelOpt's Q/DQ and not PT2E's, so the INT8 network's rounding stays in PyTorch; the pieces are
counted, so that nobody takes its latency for INT8's.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from scanside.runtime.errors import EngineUnavailableError
from scanside.runtime.interleave import Latency, interleave
from scanside.train.models import fuse_batch_norm
from scanside.train.run import CONTROL, Run
from scanside.train.stages import load_float, load_quantised

LABEL = "not Jetson evidence: this workstation's own GPU, through torch-tensorrt"
EAGER = "PyTorch eager, float"
ENGINE, REST = "_run_on_acc", "_run_on_gpu"
"""How torch-tensorrt names the pieces of a network that TensorRT runs, and those left over."""
_NEXT_STEP = (
    "on a workstation with an NVIDIA GPU install the CUDA build of torch 2.13.0 and "
    "torch-tensorrt 2.13.0; for a Jetson's own figures build there with `scanside plan`"
)


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """One network. difference: rms of its difference from the same network on eager PyTorch on the
    same device, as a share of the residual's. engines, pieces: run by TensorRT, and by PyTorch."""

    difference: float
    engines: int
    pieces: int
    latency: Latency


def load_library() -> ModuleType:
    """torch_tensorrt. Raises EngineUnavailableError without it, without a GPU, or without its
    TensorRT."""
    if find_spec("torch_tensorrt") is None:
        raise EngineUnavailableError("torch-tensorrt is not installed", next_step=_NEXT_STEP)
    if not torch.cuda.is_available():  # asked first: the import loads native code
        raise EngineUnavailableError("PyTorch finds no NVIDIA GPU here", next_step=_NEXT_STEP)
    try:
        import torch_tensorrt
    except Exception as error:  # a plain Exception where TensorRT is missing
        raise EngineUnavailableError(
            f"torch-tensorrt does not load: {type(error).__name__}", next_step=_NEXT_STEP
        ) from error
    module: ModuleType = torch_tensorrt
    return module


def measure_gpu(
    run: Run, library: ModuleType, device: torch.device, *, side: int, rounds: int
) -> dict[str, Passage]:
    """The float control as it is and in FP16, and the INT8 network, on one side x side image.

    device: a GPU. Times are in turn, the first being eager PyTorch's.
    """
    image = np.random.default_rng(0).random((1, 1, side, side), dtype=np.float32)
    seen = torch.from_numpy(image).to(device)
    control = fuse_batch_norm(load_float(run, CONTROL)).eval().to(device)
    quantised = load_quantised(run).to(device)
    compiled = {
        "float32": (control, _compile(library, control, seen, half=False)),
        "float32, FP16 by autocast": (control, _compile(library, control, seen, half=True)),
        "INT8, rounded in PyTorch": (quantised, _compile(library, quantised, seen, half=False)),
    }
    with torch.inference_mode():
        parity = {
            name: _difference(eager(seen), made(seen)) for name, (eager, made) in compiled.items()
        }
        calls = {EAGER: _timed(control, seen)}
        calls |= {name: _timed(made, seen) for name, (_, made) in compiled.items()}
        times = interleave(calls, EAGER, rounds)
    return {
        EAGER: Passage(difference=0.0, engines=0, pieces=1, latency=times[EAGER]),
        **{
            name: Passage(
                difference=parity[name],
                engines=_children(made, ENGINE),
                pieces=_children(made, REST),
                latency=times[name],
            )
            for name, (_, made) in compiled.items()
        },
    }


def _compile(library: ModuleType, model: nn.Module, image: Tensor, *, half: bool) -> nn.Module:
    program = torch.export.export(model, (image,))
    made: nn.Module = library.dynamo.compile(
        program,
        arg_inputs=(image,),
        min_block_size=1,
        enable_autocast=half,
        autocast_low_precision_type=torch.float16 if half else None,
    )
    return made


def _timed(model: nn.Module, image: Tensor) -> Callable[[], None]:
    def call() -> None:
        model(image)
        if image.is_cuda:  # a launch is not a result
            torch.cuda.synchronize(image.device)

    return call


def _difference(expected: Tensor, found: Tensor) -> float:
    share = (found.double() - expected.double()).square().mean() / expected.double().square().mean()
    return float(share.sqrt())


def _children(made: nn.Module, kind: str) -> int:
    return sum(kind in name for name, _ in made.named_children())
