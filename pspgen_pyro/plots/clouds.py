"""Pictures of properties: triads and simulated materials, with the outlines of targets.

Of one property a picture is a histogram, of several a cloud a pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from ..structure import phase_names
from .style import CYCLE, PALETTE, panel, panels, property_labels

if TYPE_CHECKING:
    from ..data.triads import Triads
    from ..design import Target
    from ..schema import Schema

__all__ = ["property_cloud", "simulated_cloud"]

_PLAIN = {"fontsize": "small", "frameon": False, "alignment": "left"}
_BESIDE = _PLAIN | {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
_ABOVE = _PLAIN | {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": 2}
_FIRST = 4

_Branches = list[tuple[str, NDArray[np.bool_]]]


def property_cloud(
    triads: Triads, boxes: Mapping[str, Target] | None = None, *, points: int = 10_000
) -> Figure:
    """The properties of triads on their scales; where the data say so, by the directions in which
    the last phase (void) percolates.

    Of more than four properties only the pairs of the first four are drawn.

    Arguments:
        triads: The triads; of one some of whose properties are unknown, the others are drawn.
        boxes: Targets by name.

    Other arguments:
        points: The largest number of triads drawn, evenly spread over the data.
    """
    part = triads.data.isel(sample=slice(None, None, -(-len(triads) // points)))
    m, labels = part["m"].values, property_labels(triads.schema)
    branches, title = [("triads", np.ones(len(m), dtype=bool))], None
    images = triads.schema.microstructure
    if "percolates" in part and images is not None and not images.grey:
        branches = _branches(part["percolates"].values, images.directions)
        title = f"{phase_names(int(images.phases))[-1]} percolates"
    branches = [(_share(label, chosen), chosen) for label, chosen in branches]
    pairs = list(combinations(range(min(m.shape[1], _FIRST)), 2))
    columns = max(1, len(pairs))
    figure, axes = panels(1, columns, (7.0 * columns, 4.6))
    if not pairs:
        _histogram(axes[0, 0], m[:, 0], branches, boxes or {}, labels[0])
        axes[0, 0].legend(title=title, **_BESIDE)
        return figure
    # a hundred points are to be seen as well as ten thousand
    size, alpha = np.clip(8_000 / len(m), 5, 30), np.clip(500 / len(m), 0.35, 0.8)
    for ax, (i, j) in zip(axes[0], pairs, strict=True):
        for (label, chosen), colour in zip(branches, CYCLE, strict=False):
            style = {"s": size, "alpha": alpha, "lw": 0, "color": colour, "rasterized": True}
            ax.scatter(*m[chosen][:, (i, j)].T, label=label, **style)
        _boxes(ax, boxes or {}, i, j)
        ax.set(xlabel=labels[i], ylabel=labels[j])
        legend = ax.legend(title=title, markerscale=(45 / size) ** 0.5, **_BESIDE)
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1)
    return figure


def _share(label: str, chosen: NDArray[np.bool_]) -> str:
    return f"{label} ({100 * chosen.mean():.0f} %)" if not chosen.all() else label


def _histogram(
    ax: Axes,
    values: NDArray[np.float64],
    branches: _Branches,
    targets: Mapping[str, Target],
    label: str,
) -> None:
    known = values[np.isfinite(values)]
    edges = np.histogram_bin_edges(known, 40).tolist() if len(known) else [0.0, 1.0]
    for (name, chosen), colour in zip(branches, CYCLE, strict=False):
        some = values[chosen & np.isfinite(values)]
        ax.hist(some, edges, color=colour, alpha=0.6, label=name)
    _intervals(ax, targets)
    ax.set(xlabel=label, ylabel="materials")


def _intervals(ax: Axes, targets: Mapping[str, Target]) -> None:
    """Lines at the ends of the targets of one property, and their names."""
    edge = plt.rcParams["text.color"]
    for name, target in targets.items():
        for box in target.boxes:
            for end in (box.lower[0], box.upper[0]):
                if np.isfinite(end):
                    ax.axvline(end, color=edge, lw=1.6)
            left, right = ax.get_xlim()
            corner = max(_drawn(box.lower[0], left), left), ax.get_ylim()[1]
            if corner[0] < right:
                ax.annotate(
                    name, corner, (4, -3), textcoords="offset points", va="top", weight="bold"
                )


def _branches(open_: NDArray[np.bool_], names: Sequence[str]) -> _Branches:
    """The triads by the directions that are open: of one alone by its name."""
    count = open_.sum(axis=1)
    branches = [("in every direction", count == len(names))]
    branches += [(f"in {n} directions", count == n) for n in range(len(names) - 1, 1, -1)]
    branches += [(f"only {name}", (count == 1) & open_[:, j]) for j, name in enumerate(names)]
    branches.append(("in none", count == 0))
    return [(label, chosen) for label, chosen in branches if chosen.any()]


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
    target: Target,
    schema: Schema,
    *,
    background: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Simulated properties at one φ*, inside and outside the target.

    Of more than two properties the first two are drawn that the target bounds, or the first ones
    where it bounds fewer.

    Arguments:
        m: The properties on their scales, with shape `(N, K)`.
        target: The target.
        schema: What the properties are.

    Other arguments:
        background: Other properties, such as the training data, drawn faintly behind.
        ax: The axes; new ones if None.
    """
    ax = ax or panel(4.0, 4.1)[1]
    values, labels = np.asarray(m, dtype=float), property_labels(schema)
    inside = target.contains(values)
    kinds = ((inside, "blue", "o", "inside"), (~inside, "vermilion", "x", "outside"))
    title = f"{len(values)} simulated"
    if values.shape[1] == 1:
        parts = [(f"{word}: {chosen.sum()}", chosen) for chosen, _, _, word in kinds]
        _histogram(ax, values[:, 0], parts, {"": target}, labels[0])
        ax.legend(title=title, **_ABOVE)
        return ax
    pair = _bounded(target)
    if background is not None:
        behind = np.asarray(background)[:, pair]
        ax.scatter(*behind.T, s=3, alpha=0.25, lw=0, color=PALETTE["grey"], rasterized=True)
    for chosen, colour, marker, word in kinds:
        style = {"s": 16, "alpha": 0.7, "color": PALETTE[colour], "marker": marker, "lw": 0.9}
        ax.scatter(*values[chosen][:, pair].T, label=f"{word}: {chosen.sum()}", **style)
    _boxes(ax, {"": target}, *pair)
    ax.set(xlabel=labels[pair[0]], ylabel=labels[pair[1]])
    ax.legend(title=title, **_ABOVE)
    return ax


def _bounded(target: Target) -> list[int]:
    """Two properties, those that the target bounds first, in their order."""
    ends = np.array([[box.lower, box.upper] for box in target.boxes])
    free = np.isinf(ends).all(axis=(0, 1))
    return sorted(np.argsort(free, kind="stable")[:2].tolist())
