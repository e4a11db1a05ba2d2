"""Pictures of the chain, each from labelled data: structures, properties, probabilities, training.

A function with one panel takes `ax` and returns the Axes; one with several returns the Figure.
Text, ticks and backgrounds come from matplotlib's settings, so a style sheet changes them; the
data are in the Okabe-Ito colours, which stay apart under every common colour blindness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .structure import phase_names

if TYPE_CHECKING:
    from .checkpoint import History
    from .design import Target

__all__ = [
    "PALETTE",
    "panel",
    "parameter_labels",
    "probability_difference",
    "probability_slices",
    "probability_surface",
    "property_cloud",
    "property_labels",
    "show_microstructures",
    "simulated_cloud",
    "training_curves",
]

PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermilion": "#D55E00",
    "sky": "#56B4E9",
    "pink": "#CC79A7",
    "grey": "#8A8F98",
}
"""The colours of the data (Okabe and Ito, 2008)."""

_CYCLE = ("blue", "vermilion", "green", "pink", "orange", "sky")
_PHASES = LinearSegmentedColormap.from_list("phases", ["#3B4252", "#8FA0B0", "#EDE6D6"])
_PLAIN = {"fontsize": "small", "frameon": False, "alignment": "left"}
_BESIDE = _PLAIN | {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
_ABOVE = _PLAIN | {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": 2}
_FOUND = {"marker": "*", "color": "white", "markeredgecolor": "black", "markersize": 16}


def parameter_labels(process: Any) -> list[str]:
    """The axis label of each process parameter, with its unit.

    Example:
        >>> from pspgen_pyro import case
        >>> parameter_labels(case("case1").process)[0]
        'phi1 (dimensionless)'
    """
    return [
        f"{name} ({'dimensionless' if unit == '1' else unit})"
        for name, unit in zip(process.names, process.units, strict=True)
    ]


def property_labels(names: Sequence[str]) -> list[str]:
    """The axis label of each property m = ln k; k is an area, in unit cells."""
    return [f"m {name} = ln(k / cell area)" for name in names]


def panel(width: float = 4.6, height: float = 3.8) -> tuple[Figure, Axes]:
    """A figure with one panel, in inches."""
    return plt.subplots(figsize=(width, height), layout="constrained")


def show_microstructures(
    rows: Mapping[str, NDArray[Any]],
    *,
    notes: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Microstructures side by side, one labelled row each; the lighter, the higher the label.

    Arguments:
        rows: Images of phase labels by the label of their row, each with shape `(N, H, W)`.

    Other arguments:
        notes: A short text below every image, by the label of the row.

    Raises:
        InputError: If there is no image.

    Example:
        >>> noise = np.random.default_rng(0).integers(0, 2, (3, 8, 8))
        >>> len(show_microstructures({"noise": noise}).axes)
        3
    """
    columns = max((len(images) for images in rows.values()), default=0)
    if not columns:
        raise InputError("'rows' holds no image; give at least one row of shape (N, H, W).")
    last = max(1, *(int(np.max(images, initial=0)) for images in rows.values()))
    height = 1.08 + 0.2 * bool(notes)
    figure, grid = plt.subplots(
        len(rows),
        columns,
        figsize=(1.03 * columns + 0.85, height * len(rows) + 0.1),
        squeeze=False,
        layout="constrained",
    )
    colours = _PHASES.resampled(last + 1)
    for axes, (label, images) in zip(grid, rows.items(), strict=True):
        texts = (notes or {}).get(label, [""] * len(images))
        for ax, image, text in zip(axes, images, texts, strict=False):
            ax.imshow(image, cmap=colours, vmin=0, vmax=last, interpolation="nearest")
            ax.set_xlabel(text, fontsize=7.5, labelpad=3)
        axes[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize="small")
        for ax in axes[len(images) :]:
            ax.remove()
    for ax in figure.axes:
        ax.set(xticks=[], yticks=[])
    return figure


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


def probability_surface(
    surface: xr.DataArray,
    *,
    phi: ArrayLike | None = None,
    ax: Axes | None = None,
    vmax: float = 1.0,
) -> Axes:
    """P(m in target) over a process space of two parameters, from 0 to `vmax`.

    Arguments:
        surface: Probabilities over two dimensions whose coordinates are the parameters' values;
            the coordinates' attribute `units` goes to the labels.

    Other arguments:
        phi: A setting to mark with a star, such as φ*.
        ax: The axes; new ones if None.
        vmax: The top of the colour scale.
    """
    return _map(surface, phi, ax, {"cmap": "viridis", "vmin": 0, "vmax": vmax})


def probability_difference(
    difference: xr.DataArray, *, phi: ArrayLike | None = None, ax: Axes | None = None
) -> Axes:
    """Model minus simulation: blue where the model promises too little, red where too much."""
    top = max(0.1, float(np.abs(difference).max()))
    return _map(difference, phi, ax, {"cmap": "RdBu_r", "vmin": -top, "vmax": top})


def _map(
    surface: xr.DataArray, phi: ArrayLike | None, ax: Axes | None, style: Mapping[str, Any]
) -> Axes:
    if surface.ndim != 2:
        raise InputError(f"'surface' has {surface.ndim} dimension(s); give one of two.")
    ax = ax or panel()[1]
    first, second = (surface[dim] for dim in surface.dims)
    image = ax.pcolormesh(
        first, second, surface.values.T, shading="nearest", rasterized=True, **style
    )
    ax.figure.colorbar(
        image, ax=ax, label=str(surface.attrs.get("long_name", "P(m in target)")), shrink=0.9
    )
    if phi is not None:
        ax.plot(*np.asarray(phi, dtype=float), clip_on=False, zorder=5, **_FOUND)
    ax.set(xlabel=_label(first), ylabel=_label(second))
    return ax


def _label(coordinate: xr.DataArray) -> str:
    unit = str(coordinate.attrs.get("units", "1"))
    return f"{coordinate.name} ({'dimensionless' if unit == '1' else unit})"


def probability_slices(
    slices: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]],
    phi: Mapping[str, float],
    *,
    columns: int = 5,
) -> Figure:
    """P(m in target) along each parameter through φ*, the others held there, ± 2 standard errors.

    Arguments:
        slices: Values of the parameter, probabilities and standard errors, by the parameter's
            label.
        phi: φ* by the same labels.

    Other arguments:
        columns: Panels a row.
    """
    rows = -(-len(slices) // columns)
    width = min(columns, len(slices))
    size = (2.1 * width + 0.5, 1.9 * rows + 0.3)
    figure, grid = plt.subplots(
        rows, width, figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for ax, (label, (values, p, error)) in zip(grid.flat, slices.items(), strict=False):
        ax.plot(values, p, color=PALETTE["blue"])
        ax.fill_between(
            values, p - 2 * error, p + 2 * error, color=PALETTE["blue"], alpha=0.25, lw=0
        )
        ax.axvline(phi[label], color=PALETTE["vermilion"], ls="--", lw=1.2)
        ax.set(xlabel=label, ylim=(0, None))
    for ax in grid.flat[len(slices) :]:
        ax.remove()
    for row in grid:
        row[0].set_ylabel("P(m in target)")
    return figure


def training_curves(history: History) -> Figure:
    """The terms of the objective in every epoch, by fold; a line marks the weights kept."""
    titles = {
        "x": "log p(x | z): microstructure",
        "m": "log p(m | z): property",
        "kl": "KL(q(z0) ‖ p(z0))",
    }
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.1), layout="constrained")
    epochs = np.arange(1, len(history) + 1)
    for ax, (name, title) in zip(axes, titles.items(), strict=True):
        for fold, colour, style in (("train", "blue", "-"), ("validation", "vermilion", "--")):
            ax.plot(
                epochs,
                history.epochs[f"{fold}_{name}"],
                color=PALETTE[colour],
                ls=style,
                label=fold,
            )
        ax.axvline(history.best_epoch + 1, color=PALETTE["grey"], lw=1, label="weights kept")
        ax.set(title=title, xlabel="epoch", ylabel="nats a sample")
        ax.title.set_fontsize("medium")
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend(fontsize="small")
    return figure
