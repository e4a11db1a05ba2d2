"""Pictures of microstructures side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..errors import InputError
from .style import panels

__all__ = ["PHASES", "show_microstructures"]

PHASES = LinearSegmentedColormap.from_list("phases", ["#3B4252", "#8FA0B0", "#EDE6D6"])
"""Phases by their label: the first dark, the last light."""


def show_microstructures(
    rows: Mapping[str, NDArray[Any]], *, notes: Mapping[str, Sequence[str]] | None = None
) -> Figure:
    """Microstructures side by side, one labelled row each; the lighter, the higher the label.

    Arguments:
        rows: Images of phase labels by the label of their row, each with shape `(N, H, W)`; of
            volumes with shape `(N, D, H, W)` the layer in the middle is shown.

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
    figure, grid = panels(len(rows), columns, (1.03 * columns + 0.85, height * len(rows) + 0.1))
    colours = PHASES.resampled(last + 1)
    for axes, (label, images) in zip(grid, rows.items(), strict=True):
        texts = (notes or {}).get(label, [""] * len(images))
        shown = images if images.ndim == 3 else images[:, images.shape[1] // 2]
        for ax, image, text in zip(axes, shown, texts, strict=False):
            ax.imshow(image, cmap=colours, vmin=0, vmax=last, interpolation="nearest")
            ax.set_xlabel(text, fontsize=7.5, labelpad=3)
        axes[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize="small")
        for ax in axes[len(images) :]:
            ax.remove()
    for ax in figure.axes:
        ax.set(xticks=[], yticks=[])
    return figure
