"""The floor: the engine in the client's own process. The address is ``BUNDLE|ENGINE|THREADS``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from scanside.benchmarks.serving.frames import FACTS
from scanside.runtime.allocator import keep_freed_memory
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines import Engine
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.frame import Pixels


class InProcess:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ask(self, words: Pixels) -> Pixels:
        return np.asarray(self._engine.run(words[np.newaxis], [FACTS])[0])


@contextmanager
def connect(address: str) -> Iterator[InProcess]:
    bundle, name, threads = address.split("|")
    keep_freed_memory()  # as `scanside serve` and the peers' servers do
    engine = open_engine(Bundle.open(Path(bundle)), name, int(threads))
    yield InProcess(engine)
    engine.close()
