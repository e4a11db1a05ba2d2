"""Pictures of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from .style import PALETTE

if TYPE_CHECKING:
    from ..training.checkpoint import History

__all__ = ["training_curves"]


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
