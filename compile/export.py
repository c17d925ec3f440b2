"""PyTorch -> one self-contained ONNX file, and the proof that both compute the same."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import torch
from torch import nn

from scanside.runtime.engines import onnxruntime
from scanside.runtime.errors import CompileError
from scanside.runtime.tiling import Float
from scanside.train.qat import as_network, dynamic_shapes

OPSET = 20  # the last that TensorRT 10.3 parses
INPUT, OUTPUT = "image", "residual"
PARITY_SHAPES = ((1, 64, 64), (2, 96, 160), (1, 256, 224))
"""(batch, H, W): three shapes that export did not see, H and W unequal."""
PARITY_LIMIT = 0.1
"""Root mean square of the difference over that of the residual. Integers whose rounding falls on
the other side of a tie give 0.03; a wrong operator or unfused batch norm gives 1 and more."""
PATCH = 16


def export_onnx(model: nn.Module, multiple_of: int) -> bytes:
    """ONNX bytes of a float or Q/DQ model: `image` (N, 1, H, W) -> `residual`, as large or twice as
    large, all dynamic.

    Source paths that the exporter notes on every node are removed: a bundle says nothing of the
    machine it was made on.
    """
    with _quietly():
        program = torch.onnx.export(
            model,
            (torch.rand(1, 1, 64, 64),),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=dynamic_shapes(multiple_of),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    del proto.metadata_props[:]
    proto.doc_string = ""
    graph = proto.graph
    for item in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
    for tensor in graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    try:
        onnx.checker.check_model(proto, full_check=True)
    except onnx.checker.ValidationError as error:
        raise CompileError("the exported graph is not valid ONNX") from error
    exported: bytes = proto.SerializeToString(deterministic=True)
    return exported


def check_parity(model: nn.Module, exported: bytes, seed: int = 0) -> float:
    """Run eager PyTorch and ONNX Runtime on `PARITY_SHAPES`; returns the largest difference found.

    As a share of the residual: see `PARITY_LIMIT`. Raises CompileError when shapes or values
    disagree.
    """
    eager = as_network(model)
    served = onnxruntime.load_network(exported, torch.get_num_threads())
    rng = np.random.default_rng(seed)
    worst = 0.0
    for shape in PARITY_SHAPES:
        image = _image(rng, *shape)
        expected, found = eager(image), served(image)
        if expected.shape != found.shape:
            raise _disagree(f"shape {found.shape} instead of {expected.shape}")
        share = float(np.sqrt(np.square(expected - found).mean() / np.square(expected).mean()))
        if not share <= PARITY_LIMIT:
            raise _disagree(f"{share:.0%} of the residual at {shape[1]} x {shape[2]}")
        worst = max(worst, share)
    return worst


def _image(rng: np.random.Generator, batch: int, rows: int, columns: int) -> Float:
    """Flat patches with sharp edges over the whole range, and noise of 40 HU in a CT window."""
    patches = rng.random((batch, 1, -(-rows // PATCH), -(-columns // PATCH)))
    flat = patches.repeat(PATCH, 2).repeat(PATCH, 3)[..., :rows, :columns]
    noisy = flat + rng.normal(0, 0.015, flat.shape)
    return np.clip(noisy, 0, 1).astype(np.float32)


def _disagree(what: str) -> CompileError:
    return CompileError(
        f"ONNX Runtime and PyTorch disagree on the exported network: {what}",
        next_step="compare the versions of torch, torchao and onnxscript with constraints.txt",
    )


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporter warns about its own internals; errors still raise."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
