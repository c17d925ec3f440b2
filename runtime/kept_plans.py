"""A folder of TensorRT plans: FOLDER/<key>.plan, each vouched for by its evidence, <key>.json."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from scanside.runtime.bundle import Bundle
from scanside.runtime.files import LEFTOVERS, remove_files, replace_file
from scanside.runtime.plans import SOURCES, Evidence


def keep_plan(folder: Path, plan: bytes, evidence: Evidence) -> Path:
    """Put a plan and its evidence, which were checked, into a folder; returns the plan's file."""
    path = folder / f"{evidence.key}.plan"
    # The evidence last: a plan without it is not looked at.
    with replace_file(path) as stream:
        stream.write(plan)
    with replace_file(path.with_suffix(".json")) as stream:
        stream.write(evidence.encode())
    return path


def prune_plans(folder: Path, bundles: Iterable[Bundle]) -> None:
    """Remove the plans of none of these bundles' networks, and what is half done."""
    networks = {
        members[source].sha256
        for members in (bundle.manifest.members for bundle in bundles)
        for source in SOURCES
        if source in members
    }
    remove_files(folder.glob(LEFTOVERS))
    for path in folder.glob("*.json"):
        if _network_of(path) not in networks:
            remove_files([path])
    remove_files(path for path in folder.glob("*.plan") if not path.with_suffix(".json").exists())


def _network_of(evidence: Path) -> str:
    """sha256 of the file that a plan was built from; empty where its evidence is none."""
    try:
        return msgspec.json.decode(evidence.read_bytes(), type=Evidence).onnx
    except (OSError, ValueError):
        return ""
