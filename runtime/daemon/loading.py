"""From a bundle's file to an engine that may serve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scanside.runtime.daemon.states import State
from scanside.runtime.engines import Engine
from scanside.runtime.manifest import Manifest
from scanside.runtime.wire import ModelCard

Report = Callable[[State], None]
"""Tells the daemon which state the loading has come to."""


@dataclass(frozen=True)
class Loaded:
    """check: the self-test on golden frames; raises an error of the tree when the engine fails.

    `engine`, `check` and the `Load` that made this are all called on the inference thread.
    """

    engine: Engine
    manifest: Manifest
    card: ModelCard
    check: Callable[[], object]


Load = Callable[[Report], Loaded]
"""Reports VERIFYING and BUILDING as it gets there. Any error ends the daemon."""


def bundle_loader(
    file: Path, *, engine: str = "auto", threads: int | None = None, allow_unsigned: bool = False
) -> Load:
    """Verify the bundle in `file` and open an engine for it.

    The loader raises BundleError (UnsignedBundleError unless allowed), EngineUnavailableError.
    """

    def load(report: Report) -> Loaded:
        from scanside.runtime.bundle import Bundle, insist_on_signature
        from scanside.runtime.engines.choose import open_engine
        from scanside.runtime.golden import check_engine

        report(State.VERIFYING)
        bundle = Bundle.open(file)
        if not allow_unsigned:
            insist_on_signature(bundle, file)
        report(State.BUILDING)
        opened = open_engine(bundle, engine, threads)
        card = ModelCard(
            name=bundle.manifest.name,
            version=bundle.manifest.version,
            identity=bundle.identity,
            modality=bundle.manifest.modality,
            scale=bundle.manifest.scale,
            signed=bundle.signed,
            engine=f"{opened.spec.name} {opened.spec.version}",
        )
        return Loaded(opened, bundle.manifest, card, lambda: check_engine(opened, bundle))

    return load
