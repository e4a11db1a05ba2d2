"""Pictures of P(m in target) over the process space: maps and slices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .style import PALETTE, panel, panels

if TYPE_CHECKING:
    from ..design import Estimate
    from ..process import Setting

__all__ = ["probability_difference", "probability_slices", "probability_surface"]

_FOUND = {"marker": "*", "color": "white", "markeredgecolor": "black", "markersize": 16}


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
    slices: Mapping[str, tuple[NDArray[np.float64], Estimate]],
    phi: Mapping[str, float],
    *,
    at: Estimate | None = None,
    settings: Mapping[str, Setting] | None = None,
    columns: int = 5,
) -> Figure:
    """P(m in target) along each parameter through φ*, the others held there, with its interval.

    Arguments:
        slices: Values of the parameter and the probabilities, by the parameter's label.
        phi: φ* by the same labels.

    Other arguments:
        at: P at φ*, which is less than the height of the surface that was searched.
        settings: What each parameter can be, by the same labels: levels are drawn as points.
        columns: Panels a row.
    """
    rows = -(-len(slices) // columns)
    width = min(columns, len(slices))
    size = (2.1 * width + 0.5, 1.9 * rows + 0.3)
    figure, grid = panels(rows, width, size, sharey=True)
    for ax, (label, (values, p)) in zip(grid.flat, slices.items(), strict=False):
        setting = (settings or {}).get(label)
        low, high = p.low, p.high
        if low is None or high is None:
            low, high = p.value - 2 * p.standard_error, p.value + 2 * p.standard_error
        if setting is None or setting.levels is None:
            ax.plot(values, p.value, color=PALETTE["blue"])
            ax.fill_between(values, low, high, color=PALETTE["blue"], alpha=0.25, lw=0)
        else:
            reach = np.array([p.value - low, high - p.value]).clip(0)
            ax.errorbar(values, p.value, reach, fmt="o", ms=4, color=PALETTE["blue"])
        if setting is not None and setting.log:
            ax.set_xscale("log")
        if setting is not None and setting.words is not None:
            ax.set_xticks(range(len(setting.words)), setting.words, rotation=30)
        ax.axvline(phi[label], color=PALETTE["vermilion"], ls="--", lw=1.2)
        if at is not None and at.low is not None and at.high is not None:
            reach = [[float(at.value - at.low)], [float(at.high - at.value)]]
            ax.errorbar(
                [phi[label]],
                [at.value],
                reach,
                fmt="o",
                ms=4,
                clip_on=False,
                color=PALETTE["vermilion"],
            )
        ax.set(xlabel=label, ylim=(0, None))
    for ax in grid.flat[len(slices) :]:
        ax.remove()
    for row in grid:
        row[0].set_ylabel("P(m in target)")
    return figure
