"""What the figures share: marks of φ*, clouds of m with boxes, and writing to disk."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from ...design import Box
from ...plots import PALETTE, property_labels
from ...schema import Schema
from ..steps import Folder
from ..view import COMPARED, PROPOSED, View

__all__ = ["Drawn", "MARKS", "boxes", "cloud", "letter", "mark", "write"]

MARKS = {"φ_comp": ("blue", "s"), "φ_prop": ("vermilion", "o"), "φ_ref": ("grey", "*")}
"""Colour and marker of each φ*."""

_LIMIT, _FINEST = 150_000, 130
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "study", "font.size": 9.0}


@dataclass(frozen=True, eq=False)
class Drawn:
    """A figure and its words.

    Arguments:
        name: The name of its files.
        figure: The figure.
        caption: What it shows; the labels of its axes stand in it between “ and ”.
    """

    name: str
    figure: Figure
    caption: str


def write(folder: Folder, drawn: Drawn) -> dict[str, str]:
    """Writes a figure as SVG and as PNG of at most 150 kB, closes it, and returns what the results
    say of it."""
    with plt.rc_context(_STYLE):  # type: ignore[arg-type]
        folder.write(f"figures/{drawn.name}.svg", _rendered(drawn.figure, "svg", 100))
        for dpi in range(_FINEST, 30, -10):
            png = _rendered(drawn.figure, "png", dpi)
            if len(png) <= _LIMIT:
                break
        folder.write(f"figures/{drawn.name}.png", png)
    plt.close(drawn.figure)
    return {"file": f"figures/{drawn.name}.png", "caption": drawn.caption}


def _rendered(figure: Figure, kind: str, dpi: int) -> bytes:
    buffer = io.BytesIO()
    quiet: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, dpi=dpi, metadata=quiet)
    return buffer.getvalue()


def letter(axes: Any) -> None:
    """Numbers the panels (a), (b), …"""
    for ax, name in zip(np.ravel(axes), "abcdefgh", strict=False):
        old = ax.get_title()
        ax.set_title(f"({name}) {old}".strip(), loc="left", fontsize="medium")
        if old:
            ax.set_title("")


def mark(ax: Axes, view: View, target: str) -> None:
    """Marks φ_ref, φ_comp and φ_prop of a target on the process space."""
    best = view.found["reference"]["best"].get(target)
    places = {} if best is None else {"φ_ref": best["phi"]}
    for name, chosen in (("φ_comp", COMPARED), ("φ_prop", PROPOSED)):
        if (found := view.answer(chosen, target)) is not None:
            places[name] = found[1]["phi"]
    for name, phi in places.items():
        colour, shape = MARKS[name]
        size = 13 if shape == "*" else 7
        style: dict[str, Any] = {"ms": size, "mec": "white", "mew": 1.0, "ls": ""}
        ax.plot(
            *phi[:2], shape, color=PALETTE[colour], label=name, clip_on=False, zorder=5, **style
        )


def boxes(ax: Axes, targets: Mapping[str, Box]) -> None:
    """Outlines targets of two properties with their names."""
    ink = plt.rcParams["text.color"]
    for name, box in targets.items():
        (a, c), (b, d) = box.lower, box.upper
        ax.add_patch(Rectangle((a, c), b - a, d - c, fill=False, ec=ink, lw=1.4))
        ax.annotate(name, (a, d), (3, -3), textcoords="offset points", va="top", weight="bold")
    ax.autoscale_view()


def cloud(
    ax: Axes,
    m: ArrayLike,
    schema: Schema,
    targets: Mapping[str, Box],
    colour: str | NDArray[Any] = "sky",
) -> Any:
    """Properties as dots, and the outlines of targets."""
    values = np.asarray(m)
    paint = PALETTE[colour] if isinstance(colour, str) else colour
    dots = ax.scatter(*values[:, :2].T, s=4, lw=0, alpha=0.6, c=paint, rasterized=True)
    boxes(ax, targets)
    labels = property_labels(schema)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    return dots
