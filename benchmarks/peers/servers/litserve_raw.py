"""Frames over LitServe, raw bytes in and out: ``python -m ... BUNDLE ENGINE THREADS ADDRESS``.

LitServe's own way takes JSON or a form. What FastAPI resolves for a parameter is open to its users,
so the body comes in as bytes. One worker and one API server, a thread: there is one engine.
`fast_queue` answers over ZeroMQ in place of multiprocessing's queue.
"""

import sys
from pathlib import Path
from typing import Annotated

import litserve
import numpy as np
from fastapi import Depends, Request, Response

from scanside.benchmarks.serving.frames import FACTS
from scanside.runtime.allocator import keep_freed_memory
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.frame import Pixels


async def frame(request: Request, rows: int, columns: int) -> tuple[bytes, int, int]:
    return await request.body(), rows, columns


class Enhancer(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:
        bundle, name, threads = sys.argv[1:4]
        self.engine = open_engine(Bundle.open(Path(bundle)), name, int(threads))
        keep_freed_memory()

    def decode_request(self, request: Annotated[tuple[bytes, int, int], Depends(frame)]) -> Pixels:
        body, rows, columns = request
        return np.frombuffer(body, np.uint16).reshape(1, rows, columns)

    def predict(self, words: Pixels) -> Pixels:
        return self.engine.run(words, [FACTS])

    def encode_response(self, pixels: Pixels) -> Response:
        return Response(pixels.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    host, _, port = sys.argv[4].partition(":")
    api = Enhancer(api_path="/enhance")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    one = {"num_api_servers": 1, "api_server_worker_type": "thread", "generate_client_file": False}
    quiet = {"log_level": "warning", "access_log": False, "timeout_keep_alive": 3600}
    server.run(host=host, port=int(port), **one, **quiet)
