"""The SOUP list of a device as a page: docs/soup.md, which a test compares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scanside.jetson.inventory.parts import OURS, Known, Part, known
from scanside.runtime.platforms import Release, releases

HEAD = """\
# SOUP: what the device's software is made of, beside our own

Software of unknown provenance in the sense of IEC 62304. Written by `make soup` from the pinned
versions and from metadata: that of the packages installed where it is run (for NumPy and ONNX
Runtime on JetPack 6 a newer version's), and for the GPU's and what JetPack 6 alone needs, which
are not, what PyPI's said in November 2026. A test compares this page. `make sbom` writes the same
as CycloneDX, one file per JetPack. What a certain device has is what lies in its offline package:
`python -m scanside.jetson.inventory sbom --jetpack 6.2 --wheels PACKAGE/wheels --out FILE`.

Nobody has judged the anomalies of these versions for a medical purpose: the last column says where
they are listed, and whoever places a device on the market has to judge them.

## Python packages: all that the offline package brings, with pycuda in it

"""
BETWEEN = """
## What JetPack brings

Not part of the offline package, never updated by Scanside. Known anomalies: NVIDIA's release notes
of each version, and <https://www.nvidia.com/en-us/security/>; Ubuntu's are at
<https://ubuntu.com/security/notices>. Cells that were never settled bear a question mark.

"""


def soup_page(lists: Mapping[str, Mapping[str, Part]]) -> str:
    """lists: of each release, by what heads its column."""
    rows = known()
    names = sorted({name for parts in lists.values() for name in parts} - {OURS})
    body = [_row(name, rows[name], lists) for name in names]
    head = ["package", *lists, "licence", "what for", "carries", "known anomalies"]
    system = [_system(one) for one in releases().values() if not one.refused]
    platform = ["JetPack", "L4T", "Ubuntu", "Python", "CUDA", "cuDNN", "TensorRT"]
    return HEAD + _table(head, body) + BETWEEN + _table(platform, system)


def _row(name: str, row: Known, lists: Mapping[str, Mapping[str, Part]]) -> list[str]:
    found = [parts.get(name) for parts in lists.values()]
    licence = next(part.licence for part in found if part)
    versions = [part.version if part else "-" for part in found]
    return [name, *versions, licence, row.purpose, row.carries or "-", f"<{row.anomalies}>"]


def _system(one: Release) -> list[str]:
    cells = {name: getattr(one, name) for name in ("ubuntu", "python", "cuda", "cudnn", "tensorrt")}
    unsure = {name: f"{text}?" if name in one.uncertain else text for name, text in cells.items()}
    return [one.jetpack, ", ".join(one.l4t), *unsure.values()]


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
