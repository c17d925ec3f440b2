"""Frames through a plan on the GPU: words in, words out, on one stream. Not verified on hardware.

Per frame the CPU finds the frame's range (`FrameMap`) and copies the words into mapped memory; per
tile three things are queued: the kernel that makes the network's input, the network, the kernel
that adds the residual to the words. Then the stream is waited for, once. The range stays on the CPU
because percentiles need the whole histogram before the first pixel can be mapped, and because
one implementation of them then decides for every engine; only what is done per pixel is worth a
kernel.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from scanside.runtime.engines import EngineSpec
from scanside.runtime.engines.tensorrt.buffers import Mapped, OnDevice
from scanside.runtime.engines.tensorrt.kernels import Frame, Kernels, frame_of
from scanside.runtime.engines.tensorrt.libraries import import_pycuda
from scanside.runtime.engines.tensorrt.network import PlannedNetwork
from scanside.runtime.errors import EngineError, EngineUnavailableError, NonFiniteError
from scanside.runtime.fingerprint import Fingerprint
from scanside.runtime.frame import FrameFacts, Pixels, stored_values
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import Manifest
from scanside.runtime.tiling import Tile, padded_side, tiles_of

NAME = "tensorrt"
_WORD_BYTES = 2
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: never waits for the default stream of others
_FLAW_BYTES = 4


class TensorRtEngine:
    """An `Engine` (see `scanside.runtime.engines`) around a plan.

    plan: bytes that were verified, tried in a child process and built for `device`. Any one thread
    at a time may call it: the context is pushed for each call. Raises EngineUnavailableError when
    memory is short or TensorRT does not take the plan.
    """

    def __init__(self, manifest: Manifest, plan: bytes, device: Fingerprint) -> None:
        self._manifest = manifest
        self._spec = EngineSpec(
            name=NAME, version=device.tensorrt, device=device.gpu, threads=1, scale=manifest.scale
        )
        self._cuda = import_pycuda()
        self._gpu: _OnGpu | None = None
        try:
            # The primary context, which TensorRT and cuda-bindings use too.
            self._context = self._cuda.Device(0).retain_primary_context()
        except self._cuda.Error as error:
            raise EngineUnavailableError(
                f"the GPU gives no context: {type(error).__name__}",
                next_step="stop other programs that use the GPU, or restart the machine",
            ) from error
        self._context.push()
        try:
            self._gpu = _OnGpu(self._cuda, manifest, plan)
        except Exception as error:  # pycuda and TensorRT raise types of their own
            # What was taken must be gone before the context is.
            traceback.clear_frames(error.__traceback__)
            self._detach()
            if isinstance(error, EngineUnavailableError):
                raise
            raise EngineUnavailableError(
                f"the GPU cannot be made ready: {type(error).__name__}",
                next_step="run `scanside plan --probe`; restart the machine if it answers",
            ) from error
        self._cuda.Context.pop()

    @property
    def spec(self) -> EngineSpec:
        return self._spec

    def run(self, pixels: Pixels, facts: Sequence[FrameFacts], out: Pixels | None = None) -> Pixels:
        """See `Engine.run`."""
        frames, rows, columns = pixels.shape
        if frames != len(facts):
            raise ValueError(f"{frames} frames came with the facts of {len(facts)}")
        scale = self._manifest.scale
        if out is None:
            out = np.empty((frames, rows * scale, columns * scale), dtype=pixels.dtype)
        with self._guarded():
            for words, one, result in zip(pixels, facts, out, strict=True):
                frame = FrameMap(words, one, self._manifest.intensity)
                if frame.range is None:
                    result[:] = frame.apply(None, scale)
                    continue
                unit = frame_of(
                    words.shape,
                    words.dtype,
                    one,
                    frame.range,
                    lowest=self._lowest(words, one),
                    scale=scale,
                    multiple_of=self._manifest.multiple_of,
                )
                self._enhance(words, unit)
                # A copy: the mapped memory is the next frame's.
                result[:] = self._insist().result.view(result.shape, result.dtype)
        return out

    def warm_up(self, rows: int, columns: int) -> None:
        """See `Engine.warm_up`."""
        step = self._manifest.multiple_of
        tile = _tiles(self._manifest, padded_side(rows, step), padded_side(columns, step))[0]
        with self._guarded():
            self._insist().network.prepare(tile.bottom - tile.top, tile.right - tile.left)

    def close(self) -> None:
        """Let go of the GPU; running afterwards is an EngineError. A GPU that failed is let go of
        without an error: it takes no calls any more, and the process's end frees what it holds."""
        if self._gpu is None:
            return
        try:
            self._context.push()
        except self._cuda.Error:
            self._gpu = None
            return
        with contextlib.suppress(self._cuda.Error, EngineError):
            self._gpu.stream.synchronize()
            self._gpu.network.close()
        self._gpu = None  # freed while the context is current
        with contextlib.suppress(self._cuda.Error):
            self._detach()

    def _detach(self) -> None:
        """Give the context back. It must be current: from another thread than the one that took it,
        pycuda would otherwise keep it. Until the thread ends, the driver goes on calling it
        current there, which hurts nobody."""
        self._context.detach()

    def _enhance(self, words: Pixels, frame: Frame) -> None:
        """One frame into the result's memory: queued tile by tile, then waited for."""
        gpu, size = self._insist(), words.dtype.itemsize
        gpu.source.view(words.shape, words.dtype)[:] = words
        gpu.flaw.bytes[:] = 0
        tiles = _tiles(self._manifest, frame.padded_rows, frame.padded_columns)
        rows, columns = tiles[0].bottom - tiles[0].top, tiles[0].right - tiles[0].left
        gpu.network.prepare(rows, columns)
        source = gpu.source.pointer
        if gpu.cached is not None:
            source = gpu.cached.pointer
            self._cuda.memcpy_htod_async(source, gpu.source.bytes[: words.nbytes], gpu.stream)
        for tile in tiles:
            gpu.kernels.unit(size, source, gpu.network.image.pointer, frame, tile)
            gpu.network.run(rows, columns)
            gpu.kernels.apply(
                size,
                source,
                gpu.network.residual.pointer,
                gpu.result.pointer,
                gpu.flaw.pointer,
                frame,
                tile,
            )
        gpu.stream.synchronize()
        if gpu.flaw.bytes.any():
            raise NonFiniteError("the network gave a value that is not finite")

    def _lowest(self, words: Pixels, facts: FrameFacts) -> int:
        """What padding is filled with, far from the picture: see `cubic.fill`."""
        if facts.padding is None or self._manifest.scale == 1:
            return 0
        stored = stored_values(words, facts)
        low, high = min(facts.padding), max(facts.padding)
        return int(stored[(stored < low) | (stored > high)].min())

    def _insist(self) -> _OnGpu:
        if self._gpu is None:
            raise EngineError("the engine is closed")
        return self._gpu

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """The context pushed, foreign errors turned into EngineError, and nothing left in flight:
        a run that goes on would write into the next frame."""
        gpu = self._insist()
        try:
            self._context.push()  # where an earlier error of the GPU may come up again
        except self._cuda.Error as error:
            raise _failed(error) from error
        try:
            try:
                yield
            except Exception as error:  # the libraries raise types of their own
                with contextlib.suppress(self._cuda.Error):
                    gpu.stream.synchronize()
                if isinstance(error, EngineError):
                    raise
                raise _failed(error) from error
        finally:
            self._cuda.Context.pop()


def _failed(error: Exception) -> EngineError:
    return EngineError(
        f"{NAME} failed on a frame: {type(error).__name__}",
        next_step="pass the original frame on; if it happens again, restart the daemon: a GPU "
        "error lasts as long as the process",
    )


class _OnGpu:
    """All that is taken of the GPU, for the largest frame and the largest tile, while its context
    is current."""

    def __init__(self, cuda: Any, manifest: Manifest, plan: bytes) -> None:
        pixels, scale = manifest.sizes.maximum**2, manifest.scale
        self.stream = cuda.Stream(_NON_BLOCKING)
        self.kernels = Kernels(cuda, self.stream)
        self.source = Mapped(cuda, pixels * _WORD_BYTES)
        self.result = Mapped(cuda, pixels * scale**2 * _WORD_BYTES)
        self.flaw = Mapped(cuda, _FLAW_BYTES)
        # The cubic reads every pixel sixteen times, and the GPU does not cache mapped memory.
        self.cached = OnDevice(cuda, pixels * _WORD_BYTES) if scale == 2 else None
        longest = padded_side(manifest.sizes.maximum, manifest.multiple_of)
        largest = _tiles(manifest, longest, longest)[0]
        side = largest.bottom - largest.top
        self.network = PlannedNetwork(cuda, self.stream, plan, side=side, scale=scale)


def _tiles(manifest: Manifest, rows: int, columns: int) -> list[Tile]:
    """Of a padded frame."""
    return tiles_of(
        (rows, columns),
        tile=manifest.sizes.tile,
        multiple_of=manifest.multiple_of,
        receptive_field=manifest.receptive_field,
    )
