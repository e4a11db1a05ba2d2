"""Figures inside a page: inline SVG whose ink and paper follow the page's theme."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib.pyplot as plt
from markupsafe import Markup
from matplotlib.figure import Figure

__all__ = ["embed", "themed"]

# placeholders that no data colour equals; `embed` turns them into the page's variables
_INK, _PAPER = "#010203", "#fdfcfb"
_DROPPED = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", re.DOTALL)
_WORD = re.compile(r"[^0-9A-Za-z]+")
_IDS = re.compile(r'(\bid="|href="#|url\(#)')


@contextmanager
def themed() -> Iterator[None]:
    """Figures drawn inside have the page's ink and paper."""
    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    settings = dict.fromkeys(inked, _INK) | {
        "axes.facecolor": _PAPER,
        "figure.facecolor": "none",
        "savefig.facecolor": "none",
        "svg.fonttype": "path",
        "svg.hashsalt": "report",
        "font.size": 10.0,
    }
    with plt.rc_context(settings):  # type: ignore[arg-type]
        yield


def embed(figure: Figure, name: str, description: str) -> Markup:
    """The figure as an SVG element, and closes it.

    Arguments:
        figure: The figure, drawn inside `themed`.
        name: A word that no other figure of the page has.
        description: What a reader who cannot see it should know.
    """
    buffer = io.StringIO()
    with plt.rc_context({"svg.fonttype": "path", "svg.hashsalt": "report"}):
        figure.savefig(buffer, format="svg", dpi=150, metadata={"Date": None})
    plt.close(figure)
    text = _DROPPED.sub("", buffer.getvalue()).strip()
    text = _IDS.sub(rf"\g<1>{_WORD.sub('-', name)}-", text)
    text = text.replace(_INK, "var(--ink)").replace(_PAPER, "var(--paper)")
    label = Markup('<svg role="img" aria-label="{}" ').format(description)
    return Markup(text.replace("<svg ", label, 1))  # noqa: S704
