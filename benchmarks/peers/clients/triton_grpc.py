"""NVIDIA's own client over gRPC: one channel that stays open, raw tensors, no compression."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

from scanside.runtime.frame import Pixels


class TritonGrpc:
    def __init__(self, client: InferenceServerClient) -> None:
        self._client = client
        self._outputs = [InferRequestedOutput("pixels")]

    def ask(self, words: Pixels) -> Pixels:
        frame = InferInput("words", list(words.shape), "UINT16")
        frame.set_data_from_numpy(words)
        answer = self._client.infer("enhance", [frame], outputs=self._outputs)
        return np.asarray(answer.as_numpy("pixels"))


@contextmanager
def connect(address: str) -> Iterator[TritonGrpc]:
    host, _http, grpc, _metrics = address.split(":")
    with InferenceServerClient(f"{host}:{grpc}") as client:
        yield TritonGrpc(client)
