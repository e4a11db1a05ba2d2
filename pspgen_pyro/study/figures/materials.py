"""Figures 4 and 10: five materials at φ_comp and at φ_prop; images where their properties lie."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy.typing import NDArray

from ...plots import PALETTE, property_labels, show_microstructures
from ...plots.microstructures import PHASES
from ...schema import Schema
from ..view import COMPARED, PROPOSED, View
from .common import Drawn

__all__ = ["materials_at_designs", "scattered_images"]

_SHOWN, _PIXELS, _APART = 40, 36, 0.1


def materials_at_designs(view: View, number: int) -> Drawn:
    """Five materials at each φ*, their m below, framed where they miss the target."""
    rows, notes, missed = {}, {}, []
    for name, target in view.targets.items():
        for word, chosen in (("φ_comp", COMPARED), ("φ_prop", PROPOSED)):
            if (found := view.answer(chosen, name)) is None:
                continue
            x, m = view.materials(found[1]["phi"])
            rows[f"{name}: {word}"] = x
            notes[f"{name}: {word}"] = [
                ", ".join(f"{v:.2f}" for v in one).replace("-", "−") for one in m
            ]
            missed += (~target.contains(m)).tolist()
    figure = show_microstructures(rows, notes=notes)
    for ax, off in zip(figure.axes, missed, strict=True):
        for spine in ax.spines.values():
            spine.set(color=PALETTE["vermilion"] if off else "none", lw=2.5)
    labels = " and ".join(f"“{label}”" for label in rows)
    caption = (
        f"As Figure {number}: simulated materials at φ_comp ({view.who(COMPARED)}) and φ_prop "
        f"({view.who(PROPOSED)}), rows {labels}. Light is void. Below each image its m "
        f"({', '.join(property_labels(view.schema))}); those in a frame miss the target."
    )
    return Drawn(f"figure{number}-{view.problem[1]}", figure, caption)


def scattered_images(
    ax: Axes, x: NDArray[Any], m: NDArray[np.float64], schema: Schema, count: int = _SHOWN
) -> None:
    """Images where their first two properties lie, those farthest apart first."""
    chosen = _spread(m[:, :2], count)
    for i in chosen:
        shown = x[i][:: max(1, len(x[i]) // _PIXELS), :: max(1, len(x[i]) // _PIXELS)]
        image = OffsetImage(shown, zoom=20 / len(shown), cmap=PHASES, interpolation="nearest")
        place = float(m[i, 0]), float(m[i, 1])
        ax.add_artist(AnnotationBbox(image, place, frameon=False, pad=0))
    low, high = m[:, :2].min(axis=0), m[:, :2].max(axis=0)
    edge = 0.1 * (high - low)
    labels = property_labels(schema)
    ax.set(
        xlim=(low[0] - edge[0], high[0] + edge[0]),
        ylim=(low[1] - edge[1], high[1] + edge[1]),
        xlabel=labels[0],
        ylabel=labels[1],
    )


def _spread(points: NDArray[np.float64], count: int) -> list[int]:
    """Points far from each other: ever the one that is farthest from those chosen."""
    scaled = (points - points.min(axis=0)) / np.ptp(points, axis=0).clip(1e-9)
    chosen = [int(scaled.sum(axis=1).argmin())]
    distance = np.full(len(points), np.inf)
    while len(chosen) < min(count, len(points)):
        distance = np.minimum(distance, np.linalg.norm(scaled - scaled[chosen[-1]], axis=1))
        if distance.max() < _APART:
            break
        chosen.append(int(distance.argmax()))
    return chosen
