"""Frames over FastAPI, raw bytes in and out: ``python -m ... BUNDLE ENGINE THREADS ADDRESS``.

The engine is called in the event loop: it takes one frame at a time whatever calls it, and a hop to
a thread and back cost more than it gave (docs/peers.md). uvicorn has its fast parts: uvloop,
httptools, no access log.
"""

import sys
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response

from scanside.benchmarks.serving.frames import FACTS
from scanside.runtime.allocator import keep_freed_memory
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines.choose import open_engine

bundle, name, threads, address = sys.argv[1:]
engine = open_engine(Bundle.open(Path(bundle)), name, int(threads))
keep_freed_memory()
app = FastAPI(openapi_url=None)


@app.post("/enhance")  # type: ignore[untyped-decorator]
async def enhance(request: Request, rows: int, columns: int) -> Response:
    words = np.frombuffer(await request.body(), np.uint16).reshape(1, rows, columns)
    pixels = engine.run(words, [FACTS])
    return Response(pixels.data.cast("B"), media_type="application/octet-stream")


if __name__ == "__main__":
    host, _, port = address.partition(":")
    where = {"host": host, "port": int(port)} if port else {"uds": address}
    fast = {"loop": "uvloop", "http": "httptools", "ws": "none", "access_log": False}
    uvicorn.run(app, log_level="warning", timeout_keep_alive=3600, **fast, **where)
