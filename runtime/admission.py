"""Whether a model may touch a frame at all, decided in one place for the daemon and for files."""

from __future__ import annotations

import math

from scanside.runtime.errors import RefusedFrameError
from scanside.runtime.frame import PIXEL_DTYPES, FrameFacts
from scanside.runtime.manifest import Manifest


def admit(manifest: Manifest, facts: FrameFacts, shape: tuple[int, int], dtype: str) -> None:
    """Return if the model may enhance this frame, else raise RefusedFrameError.

    shape: (rows, columns). dtype: NumPy's name of the container. The error's `reason` is one of
    `malformed`, `wrong modality`, `too large`: the same words as on the wire.
    """
    rows, columns = shape
    container_bits = {"uint8": 8, "int8": 8, "uint16": 16, "int16": 16}
    if dtype not in PIXEL_DTYPES:
        raise RefusedFrameError("malformed", f"pixels of type {dtype} are not served")
    if not 1 <= facts.bits_stored <= container_bits[dtype]:
        raise RefusedFrameError(
            "malformed", f"{facts.bits_stored} bits stored do not fit into {dtype}"
        )
    if facts.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise RefusedFrameError("malformed", "only MONOCHROME1 and MONOCHROME2 are served")
    if not (math.isfinite(facts.slope) and facts.slope != 0 and math.isfinite(facts.intercept)):
        raise RefusedFrameError("malformed", "slope or intercept is not a usable number")
    if facts.modality not in manifest.modality:
        raise RefusedFrameError(
            "wrong modality",
            f"the model is for {'/'.join(manifest.modality)}, the frame says otherwise",
            next_step="use a model made for this modality",
        )
    if rows < 1 or columns < 1 or min(rows, columns) < manifest.sizes.minimum:
        raise RefusedFrameError("malformed", f"a frame of {rows} x {columns} is too small")
    if max(rows, columns) > manifest.sizes.maximum:
        raise RefusedFrameError(
            "too large", f"a frame of {rows} x {columns} is over {manifest.sizes.maximum} a side"
        )
