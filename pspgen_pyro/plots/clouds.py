"""Pictures of properties: triads and simulated materials, with the outlines of targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..structure import phase_names
from .style import PALETTE, panel, property_labels

if TYPE_CHECKING:
    from ..design import Target

__all__ = ["property_cloud", "simulated_cloud"]

_CYCLE = ("blue", "vermilion", "green", "pink", "orange", "sky")
_PLAIN = {"fontsize": "small", "frameon": False, "alignment": "left"}
_BESIDE = _PLAIN | {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
_ABOVE = _PLAIN | {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": 2}


def property_cloud(
    triads: xr.Dataset, boxes: Mapping[str, Target] | None = None, *, points: int = 10_000
) -> Figure:
    """The properties of triads, by the directions in which the last phase (void) percolates.

    Arguments:
        triads: Triads with the variables `m` and `percolates`.
        boxes: Targets by name.

    Other arguments:
        points: The largest number of triads drawn, evenly spread over the data.
    """
    part = triads.isel(sample=slice(None, None, -(-triads.sizes["sample"] // points)))
    m, open_ = part["m"].values, part["percolates"].values
    names = [str(name) for name in triads["property"].values]
    labels = property_labels(names)
    pairs = list(combinations(range(len(names)), 2))
    if not pairs:
        raise InputError("'triads' has one property; a cloud needs at least two.")
    figure, axes = plt.subplots(
        1, len(pairs), figsize=(7.0 * len(pairs), 4.6), squeeze=False, layout="constrained"
    )
    for ax, (i, j) in zip(axes[0], pairs, strict=True):
        for (label, chosen), colour in zip(_branches(open_, names), _CYCLE, strict=False):
            share = f"{label} ({100 * chosen.mean():.0f} %)"
            ax.scatter(
                *m[chosen][:, (i, j)].T,
                s=5,
                alpha=0.35,
                lw=0,
                color=PALETTE[colour],
                label=share,
                rasterized=True,
            )
        _boxes(ax, boxes or {}, i, j)
        ax.set(xlabel=labels[i], ylabel=labels[j])
        last = phase_names(triads.attrs.get("phases", 2))[-1]
        legend = ax.legend(title=f"{last} percolates", markerscale=3, **_BESIDE)
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1)
    return figure


def _branches(
    open_: NDArray[np.bool_], names: Sequence[str]
) -> list[tuple[str, NDArray[np.bool_]]]:
    count = open_.sum(axis=1)
    branches = [("in every direction", count == len(names))]
    branches += [(f"only {name}", (count == 1) & open_[:, j]) for j, name in enumerate(names)]
    rest = [("in several directions", (count > 1) & (count < len(names))), ("in none", count == 0)]
    return [(label, chosen) for label, chosen in branches + rest if chosen.any()]


def _boxes(ax: Axes, targets: Mapping[str, Target], i: int, j: int) -> None:
    """Outlines the targets and writes their names at their upper left corners, inside.

    An open side is drawn where the axes end, and a name stands where its box is in view.
    """
    edge = plt.rcParams["text.color"]
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    for name, target in targets.items():
        for box in target.boxes:
            a, c = _drawn(box.lower[i], left), _drawn(box.lower[j], bottom)
            b, d = _drawn(box.upper[i], right), _drawn(box.upper[j], top)
            ax.add_patch(Rectangle((a, c), b - a, d - c, fill=False, ec=edge, lw=1.6))
            corner = max(a, left), min(d, top)
            ax.annotate(name, corner, (4, -3), textcoords="offset points", va="top", weight="bold")


def _drawn(end: float, limit: float) -> float:
    return end if np.isfinite(end) else limit


def simulated_cloud(
    m: ArrayLike,
    box: Target,
    names: Sequence[str],
    *,
    background: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Simulated properties at one φ*, inside and outside the target (the first two properties).

    Arguments:
        m: The properties, with shape `(N, K)`.
        box: The target.
        names: The names of the K properties.

    Other arguments:
        background: Other properties, such as the training data, drawn faintly behind.
        ax: The axes; new ones if None.
    """
    ax = ax or panel(4.0, 4.1)[1]
    values, labels = np.asarray(m, dtype=float), property_labels(names)
    if background is not None:
        behind = np.asarray(background)[:, :2]
        ax.scatter(*behind.T, s=3, alpha=0.25, lw=0, color=PALETTE["grey"], rasterized=True)
    inside = box.contains(values)
    for chosen, colour, marker, word in (
        (inside, "blue", "o", "inside"),
        (~inside, "vermilion", "x", "outside"),
    ):
        style = {"s": 16, "alpha": 0.7, "color": PALETTE[colour], "marker": marker, "lw": 0.9}
        ax.scatter(*values[chosen][:, :2].T, label=f"{word}: {chosen.sum()}", **style)
    _boxes(ax, {"": box}, 0, 1)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    ax.legend(title=f"{len(values)} simulated", **_ABOVE)
    return ax
