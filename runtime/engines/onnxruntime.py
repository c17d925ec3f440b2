"""Networks on ONNX Runtime's CPU kernels: the portable engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scanside.runtime.errors import EngineUnavailableError
from scanside.runtime.tiling import Float, Network

_ERRORS_ONLY = 3


def version() -> str:
    """The library's version. Raises EngineUnavailableError where it cannot be imported."""
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineUnavailableError(
            "ONNX Runtime is not installed, or does not load",
            next_step="pip install 'scanside[cpu]'",
        ) from error
    return str(onnxruntime.__version__)


def load_network(model: bytes, threads: int, *, as_written: bool = False) -> Network:
    """A network from an ONNX file's bytes. Raises EngineUnavailableError when it does not load.

    as_written: every operator by itself. ONNX Runtime (1.31) rewrites INT8 convolutions with FP16
    around them into something else: 20% of the residual, where the file as it is gives 1%.
    """
    run = load_outputs(model, threads, as_written=as_written)

    def network(image: Float) -> Float:
        return np.asarray(run(image)[0], dtype=np.float32)

    return network


def load_outputs(
    model: bytes, threads: int = 1, *, as_written: bool = True
) -> Callable[[Float], Sequence[Any]]:
    """Like `load_network`, for all that the file gives out, in its order."""
    version()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ERRORS_ONLY
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # session.qdqisint8allowed stays unset: on x64 it makes INT8 2 to 3 times slower than float.
    try:
        session = onnxruntime.InferenceSession(
            model, sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its types derive from Exception alone
        raise EngineUnavailableError(
            f"ONNX Runtime cannot load the model: {type(error).__name__}",
            next_step="choose another engine, or compile the bundle again",
        ) from error
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image})
