"""NVIDIA's own client over HTTP: one connection that stays open, tensors in binary both ways."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from scanside.runtime.frame import Pixels


class TritonHttp:
    def __init__(self, client: InferenceServerClient) -> None:
        self._client = client
        self._outputs = [InferRequestedOutput("pixels", binary_data=True)]

    def ask(self, words: Pixels) -> Pixels:
        frame = InferInput("words", list(words.shape), "UINT16")
        frame.set_data_from_numpy(words, binary_data=True)
        answer = self._client.infer("enhance", [frame], outputs=self._outputs)
        return np.asarray(answer.as_numpy("pixels"))


@contextmanager
def connect(address: str) -> Iterator[TritonHttp]:
    host, http, _grpc, _metrics = address.split(":")
    client = InferenceServerClient(f"{host}:{http}")
    yield TritonHttp(client)
    client.close()
