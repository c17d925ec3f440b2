"""Figures as part of a page, which then needs no network and no other file."""

from __future__ import annotations

import base64
import io

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure


def png_uri(figure: Figure, dpi: int = 100) -> str:
    """For the `src` of an image."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def svg(figure: Figure) -> Markup:
    """An <svg> element, its text as text; equal figures are equal bytes."""
    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "scanside"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    # Matplotlib's own: names of the figure's making, and nothing from outside.
    return Markup(text[text.index("<svg") :])
