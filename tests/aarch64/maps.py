"""The intensity map alone over every form of pixel words: `python maps.py` prints a hash of each.

No network is in it, so that every processor must give the very same words.
"""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
from msgspec.structs import replace

from scanside.runtime.frame import PIXEL_DTYPES, FrameFacts
from scanside.runtime.intensity import apply_residual, to_unit
from scanside.runtime.manifest import Percentiles, StoredRange

SIDES = ((5, 7), (64, 67))
"""A few words, and enough of them for a processor's wide instructions."""
MAPS = (StoredRange(), Percentiles(lower=1.0, upper=99.0, margin=0.05))


def hashes() -> dict[str, str]:
    found = {}
    rng = np.random.default_rng(6)
    for dtype, signed, scale, side in itertools.product(PIXEL_DTYPES, (False, True), (1, 2), SIDES):
        container = 8 * np.dtype(dtype).itemsize
        for bits in sorted({container, container - 4, container - 1}):
            plain = FrameFacts(modality="MR", bits_stored=bits, signed=signed)
            # Inverted, and with a padding that a little of the noise hits.
            odd = {"photometric": "MONOCHROME1", "slope": 0.37, "padding": (-1, bits)}
            raw = rng.integers(0, 1 << container, side).astype(f"u{container // 8}")
            residual = rng.normal(0, 0.3, [scale * one for one in side]).astype(np.float32)
            words = raw.view(dtype)
            form = f"{dtype} {'signed' if signed else 'unsigned'} {bits} bits x{scale} {side}"
            digest = hashlib.sha256()
            for one, facts in itertools.product(MAPS, (plain, replace(plain, **odd))):
                unit = to_unit(words, facts, one, scale)
                digest.update((unit + np.float32(0)).tobytes())  # -0 is as good as 0
                digest.update(apply_residual(words, residual, facts, one, scale).tobytes())
            found[form] = digest.hexdigest()
    return found


if __name__ == "__main__":
    for form, digest in hashes().items():
        print(f"{digest} {form}")  # noqa: T201
