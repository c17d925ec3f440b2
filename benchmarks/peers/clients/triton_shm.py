"""NVIDIA's own client over gRPC with pixels in system shared memory: one region for the frame and
one for the result, registered once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import shared_memory

from scanside.runtime.frame import Pixels


class TritonShared:
    def __init__(self, client: InferenceServerClient) -> None:
        self._client = client
        self._size = 0
        self._regions: dict[str, object] = {}

    def ask(self, words: Pixels) -> Pixels:
        if self._size != words.nbytes:
            self.close()
            self._share(words.nbytes)
        frame = InferInput("words", list(words.shape), "UINT16")
        result = InferRequestedOutput("pixels")
        shared_memory.set_shared_memory_region(self._regions["words"], [words])
        frame.set_shared_memory(self._name("words"), words.nbytes)
        result.set_shared_memory(self._name("pixels"), words.nbytes)
        self._client.infer("enhance", [frame], outputs=[result])
        region = self._regions["pixels"]
        return np.asarray(shared_memory.get_contents_as_numpy(region, np.uint16, words.shape))

    def _name(self, role: str) -> str:
        return f"{role}-{os.getpid()}"

    def _share(self, size: int) -> None:
        for role in ("words", "pixels"):
            name = self._name(role)
            region = shared_memory.create_shared_memory_region(name, f"/{name}", size)
            self._regions[role] = region
            self._client.register_system_shared_memory(name, f"/{name}", size)
        self._size = size

    def close(self) -> None:
        for role, region in self._regions.items():
            shared_memory.destroy_shared_memory_region(region)
            self._client.unregister_system_shared_memory(self._name(role))
        self._regions = {}
        self._size = 0


@contextmanager
def connect(address: str) -> Iterator[TritonShared]:
    host, _http, grpc, _metrics = address.split(":")
    with InferenceServerClient(f"{host}:{grpc}") as client:
        shared = TritonShared(client)
        try:
            yield shared
        finally:
            shared.close()
