r"""Are ranks uniform, and if not, which way do they lean?

The test combines the two-sided tail probabilities of all order statistics into one p-value. At a
point :math:`x` the count :math:`n F(x)` of :math:`n` independent uniform values is
Binomial(n, x), and the band of its central intervals of one local level holds the empirical
distribution :math:`F` at all points at once with the probability wanted; the local level is found
by simulation (ArviZ). Two moments tell the direction, each standard normal for uniform ranks: the
mean of :math:`u`, and the mean of :math:`(2u - 1)^2`, large where truths fall into the tails of
draws that are too narrow.

References:
    Graphical test for discrete uniformity and its applications in goodness-of-fit evaluation and
    multiple sample comparison (Säilynoja, Bürkner & Vehtari, 2022)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..plots import PALETTE, panels

__all__ = ["Uniformity", "plot_ranks", "simultaneous_band", "uniformity"]

_REPLICATES = 4000
_POINTS = 200


@dataclass(frozen=True)
class Uniformity:
    """How uniform ranks are.

    Arguments:
        p_value: The p-value of uniformity.
        inside: Whether the empirical distribution stays inside the simultaneous 99 % band.
        shift: The mean rank minus ½, in standard errors; positive where truths exceed the draws.
        spread: The mean of (2u − 1)² minus ⅓, in standard errors; positive where the draws are
            too narrow.
        gap: The largest distance between the empirical and the uniform distribution: how much it
            matters, where `p_value` tells how sure it is.
        count: How many ranks.
    """

    p_value: float
    inside: bool
    shift: float
    spread: float
    gap: float
    count: int

    def verdict(self, level: float = 0.01) -> str:
        """ "uniform", or which way the ranks lean, at a false alarm rate of `level`."""
        if self.p_value >= level:
            return "uniform"
        if abs(self.spread) >= abs(self.shift):
            return "overconfident" if self.spread > 0 else "timid"
        return "draws too low" if self.shift > 0 else "draws too high"

    def to_json(self) -> dict[str, Any]:
        """The fields and the verdict as plain values."""
        return {
            "p_value": self.p_value,
            "inside_99_percent_band": self.inside,
            "shift": self.shift,
            "spread": self.spread,
            "gap": self.gap,
            "count": self.count,
            "verdict": self.verdict(),
        }


def uniformity(ranks: ArrayLike) -> Uniformity:
    """Tests ranks in [0, 1] for uniformity.

    Arguments:
        ranks: Independent ranks, with shape `(N)`.

    Raises:
        InputError: If there are fewer than ten, or one lies outside [0, 1].

    Example:
        >>> rng = np.random.default_rng(0)
        >>> uniformity(rng.random(300)).verdict()
        'uniform'
        >>> uniformity(rng.beta(0.5, 0.5, 300)).verdict()
        'overconfident'
    """
    from arviz_stats.base.array import array_stats

    u = np.asarray(ranks, dtype=float).ravel()
    if len(u) < 10 or not ((u >= 0) & (u <= 1)).all():
        raise InputError(
            f"'ranks' holds {len(u)} values; give at least 10, every one between 0 and 1."
        )
    points, lower, upper = simultaneous_band(len(u))
    ordered, scale = np.sort(u), len(u) ** 0.5
    share = np.searchsorted(ordered, points, side="right") / len(u)
    above = np.arange(1, len(u) + 1) / len(u) - ordered
    return Uniformity(
        p_value=float(array_stats.uniformity_test(u)[0]),
        inside=bool(((share >= lower) & (share <= upper)).all()),
        shift=float((u.mean() - 0.5) * scale * 12**0.5),
        spread=float((((2 * u - 1) ** 2).mean() - 1 / 3) * scale * (45 / 4) ** 0.5),
        gap=float(max(above.max(), 1 / len(u) - above.min())),
        count=len(u),
    )


@lru_cache(maxsize=32)
def simultaneous_band(
    count: int, level: float = 0.99
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The band that holds the empirical distribution of uniform values with probability `level`.

    Arguments:
        count: How many values.
        level: The probability.

    Returns:
        Points in (0, 1), and the lower and the upper ends there, with shape `(*)` each.
    """
    from arviz_stats.ecdf_utils import get_pointwise_confidence_band, simulate_confidence_bands

    cells, rng = min(count, _POINTS), np.random.default_rng(0)
    points = np.arange(1, cells) / cells
    local = simulate_confidence_bands(count, 1, points, level, _REPLICATES, rng)
    return points, *get_pointwise_confidence_band(local, count, points)


def plot_ranks(ranks: Mapping[str, ArrayLike], *, columns: int = 4, level: float = 0.99) -> Figure:
    """The empirical distribution of ranks minus the uniform one, with the simultaneous band.

    Arguments:
        ranks: Ranks by the title of their panel, with shape `(N)` each.

    Other arguments:
        columns: Panels a row.
        level: The probability of the band.

    Raises:
        InputError: If there are no ranks.
    """
    if not ranks:
        raise InputError("'ranks' is empty; give the ranks of at least one quantity.")
    width = min(columns, len(ranks))
    rows = -(-len(ranks) // width)
    figure, grid = panels(rows, width, (2.7 * width + 0.4, 2.2 * rows + 0.2), sharex=True)
    for ax, (title, values) in zip(grid.flat, ranks.items(), strict=False):
        ordered = np.sort(np.asarray(values, dtype=float).ravel())
        n = len(ordered)
        points, lower, upper = simultaneous_band(n, level)
        share = np.arange(1, n + 1) / n
        found = uniformity(ordered)
        colour = PALETTE["blue" if found.inside else "vermilion"]
        ax.fill_between(
            points, lower - points, upper - points, color=PALETTE["grey"], alpha=0.3, lw=0
        )
        ax.axhline(0, color=PALETTE["grey"], lw=1)
        ax.step(ordered, share - ordered, where="mid", color=colour)
        ax.set_title(f"{title}: p = {found.p_value:.2g}", fontsize="small")
    for ax in grid.flat[len(ranks) :]:
        ax.remove()
    for row in grid:
        row[0].set_ylabel("share below − rank")
    for ax in grid[-1]:
        ax.set_xlabel("rank")
    return figure
