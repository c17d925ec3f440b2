"""Frames over PyTriton: ``python -m ... BUNDLE ENGINE THREADS HOST:HTTP:GRPC:METRICS``.

HTTP and gRPC at once, as Triton has it. No batching, for the engine takes one frame at a time, and
no metrics, which would only cost. Runs in an environment of its own (`make peers`): PyTriton wants
NumPy 1.
"""

import sys
from pathlib import Path

import numpy as np
from pytriton.model_config import ModelConfig, Tensor
from pytriton.proxy.types import Request
from pytriton.triton import Triton, TritonConfig, TritonSecurityConfig

from scanside.benchmarks.serving.frames import FACTS
from scanside.runtime.allocator import keep_freed_memory
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.frame import Pixels

bundle, name, threads, address = sys.argv[1:]
engine = open_engine(Bundle.open(Path(bundle)), name, int(threads))
keep_freed_memory()


def enhance(requests: list[Request]) -> list[dict[str, Pixels]]:
    return [{"pixels": engine.run(one["words"][np.newaxis], [FACTS])[0]} for one in requests]


if __name__ == "__main__":
    host, http, grpc, metrics = address.split(":")
    listen = {"http_address": host, "grpc_address": host, "metrics_address": host}
    ports = {"http_port": int(http), "grpc_port": int(grpc), "metrics_port": int(metrics)}
    frame = {"dtype": np.uint16, "shape": (-1, -1)}
    # Loopback only: clients may register shared memory without a token.
    free = TritonSecurityConfig(restricted_endpoints=[])
    config = TritonConfig(**listen, **ports, allow_metrics=False)
    with Triton(config=config, security_config=free) as triton:
        triton.bind(
            model_name="enhance",
            infer_func=enhance,
            inputs=[Tensor(name="words", **frame)],
            outputs=[Tensor(name="pixels", **frame)],
            config=ModelConfig(batching=False),
        )
        triton.serve()
