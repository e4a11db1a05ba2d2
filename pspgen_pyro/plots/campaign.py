"""Pictures of a campaign of experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .style import PALETTE, panel

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["campaign_progress"]


def campaign_progress(history: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """P at the present φ* and its 90 % interval, over the experiments so far.

    Arguments:
        history: One row a table of results, with the columns `experiments`, `P`, `low` and
            `high`, as `Campaign.history` returns it.

    Other arguments:
        ax: The axes; new ones if None.
    """
    ax = ax or panel()[1]
    told, blue = history["experiments"], PALETTE["blue"]
    ax.fill_between(told, history["low"], history["high"], color=blue, alpha=0.25, lw=0)
    ax.plot(told, history["P"], color=blue, marker="o", ms=4, label="P at φ*, 90 % interval")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="experiments", ylabel="P(m in target)", ylim=(0, 1))
    ax.legend(fontsize="small")
    return ax
