"""What a bundle's installation showed: which engine ran it, its golden frames, how long one takes.

Kept as STORE/evidence/<sha256>.json; nothing is decided by it but whether it is measured again.
"""

from __future__ import annotations

import contextlib
import math
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import msgspec

from scanside.jetson.verify.latency import Latency, time_engine
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.errors import StoreError
from scanside.runtime.files import LEFTOVERS, make_folder, remove_files, replace_file
from scanside.runtime.golden import check_engine

FOLDER = "evidence"
FRAMES = 20


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """sha256: of the bundle's file. asked: the engine that was asked for; engine: which it was,
    with its version and device. plan: its key, or empty. largest, p999, psnr: the worst golden
    frame, in modality units and dB (null where it was equal)."""

    sha256: str
    identity: str
    name: str
    version: str
    serial: int
    signer: str
    asked: str
    engine: str
    device: str
    plan: str
    golden_frames: int
    largest: float
    p999: float
    psnr: float | None
    latency: Latency
    scanside: str
    time: str

    @property
    def said(self) -> str:
        return (
            f"{self.engine}: {self.golden_frames} golden frames passed; a frame of "
            f"{self.latency.side} x {self.latency.side} takes {self.latency.median_ms:.1f} ms, "
            f"p99 {self.latency.p99_ms:.1f} ms"
        )


def take(
    bundle: Bundle, sha256: str, *, asked: str, threads: int | None, plans: Path, plan: str
) -> Installation:
    """Open the engine, test it on the golden frames and time it; raises EngineError."""
    engine = open_engine(bundle, asked, threads, [plans])
    try:
        report = check_engine(engine, bundle)
        latency = time_engine(engine, bundle, FRAMES)
        spec = engine.spec
    finally:
        engine.close()
    worst, manifest = report.worst, bundle.manifest
    return Installation(
        sha256=sha256,
        identity=bundle.identity,
        name=manifest.name,
        version=manifest.version,
        serial=manifest.serial,
        signer=bundle.signer,
        asked=asked,
        engine=f"{spec.name} {spec.version}",
        device=spec.device,
        plan=plan,
        golden_frames=len(report.frames),
        largest=worst.largest,
        p999=worst.p999,
        psnr=worst.psnr if math.isfinite(worst.psnr) else None,
        latency=latency,
        scanside=version("scanside"),
        time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def keep(store: Path, found: Installation) -> None:
    """Raises StoreError where it cannot be written."""
    path = store / FOLDER / f"{found.sha256}.json"
    try:
        make_folder(path.parent)
        with replace_file(path) as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    except OSError as error:
        raise StoreError(
            f"the store {store} cannot be changed: {error.strerror}",
            next_step="run it again with sudo; check the room on its disk",
        ) from error


def read(store: Path, sha256: str) -> Installation | None:
    """None where there is none, or it cannot be read: it is measured again then."""
    with contextlib.suppress(OSError, ValueError):
        raw = (store / FOLDER / f"{sha256}.json").read_bytes()
        return msgspec.json.decode(raw, type=Installation)
    return None


def surplus(store: Path, kept: tuple[str, ...]) -> list[Path]:
    """Files of bundles that the store does not hold, and what a killed process left."""
    folder = store / FOLDER
    if not folder.is_dir():
        return []
    gone = [path for path in sorted(folder.glob("*.json")) if path.stem not in kept]
    return [*gone, *folder.glob(LEFTOVERS)]


def prune(store: Path, kept: tuple[str, ...]) -> None:
    remove_files(surplus(store, kept))
