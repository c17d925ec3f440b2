"""The bare ONNX file, and a card beside it that tells how to feed it."""

from __future__ import annotations

from pathlib import Path

from scanside.compile.formats.usage import usage_of
from scanside.runtime.bundle import Bundle
from scanside.runtime.errors import OutputExistsError
from scanside.runtime.files import replace_file

CARD_SUFFIX = ".json"


def write_onnx(bundle: Bundle, member: str, out: Path, force: bool) -> Path:
    """`out`, the verified bytes of a network, and `out`.json, its card; returns `out`.

    Both are written whole before either takes its name. Raises OutputExistsError unless `force`.
    """
    card = out.with_name(out.name + CARD_SUFFIX)
    for one in (out, card):
        if one.is_dir() or (one.exists() and not force):
            raise OutputExistsError(
                f"{one} exists already", next_step="choose another --out, or add --force"
            )
    usage = usage_of(bundle, member)
    out.parent.mkdir(parents=True, exist_ok=True)
    # The card takes its name first: a network never lies there without one.
    with replace_file(out) as model, replace_file(card) as text:
        model.write(bundle.member(member))
        text.write(usage.encode())
    return out
