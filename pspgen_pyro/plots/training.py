"""Pictures of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from .style import PALETTE, panels

if TYPE_CHECKING:
    from ..training.checkpoint import History

__all__ = ["training_curves"]


def training_curves(history: History) -> Figure:
    """The terms of the objective that the history has, in every epoch, by fold; a line marks the
    weights kept."""
    titles = {
        "x": "log p(x | z): microstructure",
        "m": "log p(m | z): property",
        "kl": "KL(q(z0) ‖ p(z0))",
    }
    shown = {name: title for name, title in titles.items() if f"train_{name}" in history.epochs}
    size = (3.5 * max(1, len(shown)), 3.1)
    figure, (axes,) = panels(1, max(1, len(shown)), size)
    epochs = np.arange(1, len(history) + 1)
    for ax, (name, title) in zip(axes, shown.items(), strict=False):
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
