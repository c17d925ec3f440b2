"""Streams a bundle's golden frames, and some noise, through a daemon: on whichever processor.

`python stream.py URL BUNDLE OUT.npz (shm|inline)`. Knows the runtime alone, so that it runs where
the device's wheels are and nothing else is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from scanside.runtime import Client, FrameFacts
from scanside.runtime.bundle import GOLDEN, Bundle
from scanside.runtime.frame import Pixels
from scanside.runtime.golden import decode_golden

NOISE_SIDES = ((64, 64), (96, 131), (160, 160))


def frames_of(bundle: Bundle) -> list[tuple[Pixels, FrameFacts]]:
    """Golden frames first, then noise over the whole stored range."""
    manifest = bundle.manifest
    found = [(frame.words, frame.facts) for frame in decode_golden(bundle.member(GOLDEN), manifest)]
    rng = np.random.default_rng(20)
    facts = FrameFacts(
        modality=manifest.modality[0], bits_stored=12, signed=False, intercept=-1024.0
    )
    for side in NOISE_SIDES:
        found.append((rng.integers(0, 4096, side).astype(np.uint16), facts))
    return found


def main(url: str, bundle: Path, out: Path, shared: bool) -> None:
    frames = frames_of(Bundle.open(bundle))
    with Client(url, timeout=120, shared_memory=shared) as client:
        results = list(client.stream(frames))
        told = {
            "outcomes": [str(result.outcome.value) for result in results],
            "engine": results[0].engine,
            "transport": client.transport,
            "ms": [result.timings.inference for result in results],
        }
    arrays = {f"frame_{number}": result.pixels for number, result in enumerate(results)}
    np.savez(out, told=np.array(json.dumps(told)), **arrays)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4] == "shm")
