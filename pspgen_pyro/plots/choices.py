"""Pictures of what there is to choose from: what every P costs, and how far settings may stray."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from .style import PALETTE, panel, parameter_labels

if TYPE_CHECKING:
    from ..design import Window

__all__ = ["pareto_front", "window_bars"]


def pareto_front(front: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """P(m in target) against its cost, with its 90 % interval.

    Arguments:
        front: What `Run.pareto` returns.

    Other arguments:
        ax: The axes; new ones if None.
    """
    ax = ax or panel()[1]
    cost, p = front["cost"].values, front["probability"].values
    ax.fill_between(cost, front["low"], front["high"], color=PALETTE["blue"], alpha=0.25, lw=0)
    # between two settings there may be nothing better than the cheaper one
    ax.step(cost, p, where="post", color=PALETTE["blue"])
    ax.plot(cost, p, "o", ms=4, color=PALETTE["blue"], clip_on=False)
    ax.set(xlabel="cost", ylabel="P(m in target)", ylim=(0, 1))
    return ax


def window_bars(window: Window, *, ax: Axes | None = None) -> Axes:
    """How far each setting that may stray does, as a share of its range: pale alone, dark all
    together.

    Arguments:
        window: What `Run.window` returns.

    Other arguments:
        ax: The axes; new ones if None.
    """
    process, kept = window.process, np.flatnonzero(window.strays)
    ax = ax or panel(height=1.2 + 0.4 * len(kept))[1]
    low = np.array(process.lower)[kept]
    width, places = np.array(process.upper)[kept] - low, np.arange(len(kept))
    for ends, alpha, label in ((window.alone, 0.35, "alone"), (window.together, 1.0, "together")):
        left, right = ((ends[kept] - low[:, None]) / width[:, None]).T
        ax.barh(places, right - left, 0.6, left, color=PALETTE["blue"], alpha=alpha, label=label)
    ax.plot(
        (window.phi[kept] - low) / width,
        places,
        "|",
        ms=14,
        color=PALETTE["vermilion"],
        label="φ*",
    )
    ax.set(xlim=(0, 1), xlabel="share of the range", yticks=places)
    labels = parameter_labels(process)
    ax.set_yticklabels([labels[j] for j in kept])
    ax.invert_yaxis()
    ax.legend()
    return ax
