"""Pictures of reconstructed and generated microstructures beside real ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..plots import PALETTE, panels, property_labels, show_microstructures
from ..schema import Schema
from ..structure import two_point_correlation
from .generated import Generated, Reconstruction

__all__ = ["plot_generated", "plot_reconstruction", "show_generated"]

_SHOWN = 8
_COLOURS = {"real": PALETTE["blue"], "generated": PALETTE["vermilion"]}
_STYLES = (("horizontal", "-"), ("vertical", "--"), ("through", ":"))


def plot_reconstruction(found: Reconstruction) -> Figure:
    """Real images, their reconstructions, and the share of pixels right below each."""
    chosen = np.linspace(0, len(found.x) - 1, min(_SHOWN, len(found.x))).astype(int)
    real, back = found.x[chosen], found.back[chosen]
    notes = [f"{100 * (a == b).mean():.1f} %" for a, b in zip(real, back, strict=True)]
    return show_microstructures(
        {"real": real, "reconstructed": back}, notes={"reconstructed": notes}
    )


def show_generated(found: Sequence[Generated], titles: Sequence[str]) -> Figure:
    """Real and generated images of every setting."""
    rows = {}
    for one, title in zip(found, titles, strict=True):
        words = title.replace(", ", "\n")
        rows[f"{words}\nreal"] = one.real.x[:_SHOWN]
        rows[f"{words}\ngenerated"] = one.generated.x[:_SHOWN]
    return show_microstructures(rows)


def plot_generated(found: Sequence[Generated], titles: Sequence[str], schema: Schema) -> Figure:
    """Void fractions, two-point correlations along both axes, and the first two properties of real
    and generated materials; one column a setting.

    Arguments:
        found: What `generated_check` returned.
        titles: The settings in words.
        schema: What the properties are.
    """
    labels = property_labels(schema)
    solved = all(one.real.m.shape[1] >= 2 for one in found)
    figure, grid = panels(
        2 + solved, len(found), (3.0 * len(found), 2.5 * (2 + solved)), sharex="row", sharey="row"
    )
    for column, one, title in zip(grid.T, found, titles, strict=True):
        pair = {"real": one.real, "generated": one.generated}
        column[0].set_title(title, fontsize="small")
        for name, materials in pair.items():
            void = materials.x == one.void_label
            _voids(column[0], void, name)
            _correlations(column[1], void, name)
            if solved:
                column[2].scatter(
                    *materials.m[:, :2].T, s=6, alpha=0.5, lw=0, color=_COLOURS[name]
                )
        column[0].set_xlabel("void fraction")
        column[1].set_xlabel("shift r, pixels")
        if solved:
            column[2].set_xlabel(labels[0])
    words = ["density of the materials", "two-point correlation C(r)", *labels[1:2]]
    for row, label in zip(grid, words, strict=False):
        row[0].set_ylabel(label)
    for row in grid[:2]:
        row[0].legend(fontsize="x-small", frameon=False)
    return figure


def _voids(ax: Axes, void: NDArray[np.bool_], name: str) -> None:
    shares = void.reshape(len(void), -1).mean(axis=1)
    ax.hist(shares, 20, histtype="step", density=True, color=_COLOURS[name], label=name)


def _correlations(ax: Axes, void: NDArray[np.bool_], name: str) -> None:
    mean = two_point_correlation(void, dimensions=void.ndim - 1).mean(axis=0)
    for axis, (direction, style) in enumerate(_STYLES[: mean.ndim], 1):
        line = np.moveaxis(mean, -axis, 0).reshape(mean.shape[-axis], -1)[:, 0]
        values = line[: len(line) // 2 + 1]
        label = f"{name}, {direction}"
        ax.plot(np.arange(len(values)), values, style, color=_COLOURS[name], lw=1.2, label=label)
