r"""Reliability: how often is the target met where the model says P?

The settings are put in bins by their :math:`p_g`; over the :math:`N_b` materials of bin b,

.. math:: \bar p_b = \frac{1}{N_b} \sum_{g \in b} n_g p_g, \qquad
    \hat q_b = \frac{1}{N_b} \sum_{g \in b} k_g

with :math:`k_g` of the :math:`n_g` materials in the target. The true model has equal ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..design import frequency

__all__ = ["Reliability", "reliability"]

_Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Where the model says P, how often is the target met? One entry a bin of P that is not empty.

    Arguments:
        predicted: The mean P of the bin.
        observed: The fraction of its materials in the target.
        standard_error: Of the difference of the two.
        samples: How many materials the bin has.
    """

    predicted: _Array
    observed: _Array
    standard_error: _Array
    samples: NDArray[np.int64]

    @property
    def error(self) -> float:
        """The root of the weighted mean squared difference, the noise taken off."""
        square = (self.predicted - self.observed) ** 2 - self.standard_error**2
        return max(0.0, float(np.average(square, weights=self.samples))) ** 0.5


def reliability(
    predicted: ArrayLike, hits: ArrayLike, samples: ArrayLike, *, bins: int = 10
) -> Reliability:
    """The reliability curve over bins of equal width.

    Arguments:
        predicted: The model's P at every setting, with shape `(G)`.
        hits: How many of its materials are in the target, with shape `(G)`.
        samples: How many it has, with shape `(G)`.

    Other arguments:
        bins: How many bins from 0 to 1.

    Example:
        >>> reliability([0.1, 0.9], [10, 90], [100, 100]).observed.tolist()
        [0.1, 0.9]
    """
    p, k = np.asarray(predicted, dtype=float), np.asarray(hits, dtype=float)
    n = np.asarray(samples)
    index = np.clip((p * bins).astype(int), 0, bins - 1)
    rows = []
    for chosen in (index == b for b in np.unique(index)):
        count, total = int(chosen.sum()), int(n[chosen].sum())
        mean, share = float((n * p)[chosen].sum() / total), float(k[chosen].sum() / total)
        residual = (k - n * p)[chosen] - n[chosen] * (share - mean)
        spread = (count / max(1, count - 1) * (residual**2).sum()) ** 0.5 / total
        # few settings can agree by chance: never less than independent materials would leave
        least = float(frequency(k[chosen].sum(), total).standard_error)
        rows.append((mean, share, max(spread, least), total))
    columns = (np.array(column) for column in zip(*rows, strict=True))
    return Reliability(*columns)
