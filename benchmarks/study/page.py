"""The readers' page: one file of HTML that holds its pixels and asks for nothing else."""

from __future__ import annotations

import hashlib
import secrets
import zlib
from base64 import b64encode
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup

from scanside.benchmarks.study.pictures import Pair, Words
from scanside.benchmarks.study.plan import Showing
from scanside.benchmarks.study.records import ShownPair, Side


class Embedded(NamedTuple):
    """A pair as text in the page. a, b: `encode`d. picture: how the page shows its words."""

    a: str
    b: str
    picture: dict[str, Any]


def embed(pair: Pair) -> Embedded:
    rows, columns = pair.a.shape
    picture = {
        "rows": rows,
        "columns": columns,
        "slope": pair.slope,
        "intercept": pair.intercept,
        "inverted": pair.inverted,
        "level": pair.level,
        "width": pair.width,
        "ct": pair.modality == "CT",
    }
    return Embedded(encode(pair.a), encode(pair.b), picture)


def encode(words: Words) -> str:
    """(R, C) uint16 -> base64 of zlib: without loss.

    All low bytes before all high bytes: a fifth smaller on CT than the words themselves, and
    differences along rows gain nothing more. Level 9 takes ten times longer for 1%.
    """
    planes = words.astype("<u2").reshape(-1, 1).view(np.uint8).T
    return b64encode(zlib.compress(planes.tobytes(), 6)).decode()


def render(
    study: str, question: str, cases: list[Embedded], showings: Iterable[Showing]
) -> tuple[str, list[ShownPair]]:
    """The page, and what each of its pairs is.

    The page tells nothing of the sides: identifiers are drawn from the system's random source,
    images stand in the order of their identifiers, and of one pair only `picture`, which both
    sides share, is told.
    """
    images: dict[str, str] = {}
    names = []
    for case in cases:
        name_a, name_b = identifier(), identifier()
        names.append((name_a, name_b))
        images |= {name_a: case.a, name_b: case.b}
    blocks: list[list[dict[str, Any]]] = [[], [], []]
    shown = []
    for one in showings:
        name = identifier()
        a, b = names[one.case]
        left, right = (b, a) if one.b_left else (a, b)
        blocks[one.block].append(
            {"pair": name, "left": left, "right": right} | cases[one.case].picture
        )
        side: Side = "left" if one.b_left else "right"
        shown.append(ShownPair(pair=name, case=one.case, b_side=side, repeat=one.repeat))
    script, style = _asset("viewer.js") + _asset("page.js"), _asset("page.css")
    page = (
        jinja2.Environment(
            loader=jinja2.PackageLoader("scanside.benchmarks.study", "."), autoescape=True
        )
        .get_template("page.html.j2")
        .render(
            study={"study": study, "blocks": [block for block in blocks if block]},
            question=question,
            images=sorted(images.items()),
            script=Markup(script),
            style=Markup(style),
            script_hash=_hash(script),
            style_hash=_hash(style),
        )
    )
    return page, shown


def identifier() -> str:
    """16 random hex digits."""
    return secrets.token_hex(8)


def _asset(name: str) -> str:
    return files("scanside.benchmarks.study").joinpath(name).read_text("utf-8")


def _hash(content: str) -> str:
    """As a Content-Security-Policy names an inline element it allows."""
    return f"sha256-{b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
