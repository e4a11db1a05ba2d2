r"""Whether the training data say anything about a target.

.. math::
    n(\mathcal{M}_d) = \#\{ i : m_i \in \textstyle\bigcup_b B_b^+ \}, \qquad
    B^+ = \prod_j \left[c_j - \tfrac{w_j}{2},\, c_j + \tfrac{w_j}{2}\right], \quad
    w_j = \max(b_j - a_j,\, \tfrac{1}{20}\, r_j)

counts the training properties in the target, the centre :math:`c_j` of every interval kept and its
width raised to a twentieth of the range :math:`r_j` between the 5 % and the 95 % quantile of
:math:`m_j`, so that a narrow target is judged by its neighbourhood. With fewer than five, a
relative error of nearly a half, a model's P there is extrapolation: the target is *unsupported*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from .target import Box, Target

__all__ = ["NOT_CHECKED", "UNRESOLVED", "Support"]

UNRESOLVED = (
    "unsupported: the model gives this target no probability that its sample resolves; choose a "
    "target nearer to the training data, or simulate there"
)
NOT_CHECKED = "whether training data support the target was not checked, give 'support'"
_LEAST, _MOST, _SHARE = 5, 20_000, 0.05


@dataclass(frozen=True, eq=False)
class Support:
    """The properties that a model learned from.

    Arguments:
        m: Properties of training materials, all or an even sample, with shape `(N, K)`.

    Raises:
        InputError: If `m` has another number of dimensions, no row, or a value that is not finite.

    Example:
        >>> support = Support(np.random.default_rng(0).normal(size=(1000, 2)))
        >>> support.verdict(Box((-1, -1), (1, 1)))
        ''
        >>> support.verdict(Box((7, 7), (8, 8))).split(",")[0]
        'unsupported: 0 of 1000 training materials lie in or near this target'
    """

    m: NDArray[np.float64]

    def __post_init__(self) -> None:
        m = np.asarray(self.m, dtype=np.float64)
        if m.ndim != 2 or not m.size or not np.isfinite(m).all():
            raise InputError(
                f"'m' has shape {m.shape} or values that are not finite; give the training "
                "properties with shape (N, K)."
            )
        object.__setattr__(self, "m", m)

    @classmethod
    def from_dataset(cls, triads: xr.Dataset) -> Support:
        """The properties of the training fold; of more than 20,000, an even sample.

        Raises:
            InputError: If the fold has no property that is known.
        """
        m = triads["m"].values[triads["fold"].values == 0]
        m = m[np.isfinite(m).all(axis=-1)]
        return cls(m[:: max(1, -(-len(m) // _MOST))])

    def count(self, target: Target) -> int:
        """How many of the properties lie in the target or, where it is narrow, around it."""
        low, high = np.quantile(self.m, [_SHARE, 1 - _SHARE], axis=0)
        wide = np.zeros(len(self.m), dtype=bool)
        for box in target.boxes:
            wide |= _widened(box, _SHARE * (high - low)).contains(self.m)
        return int(wide.sum())

    def verdict(self, target: Target) -> str:
        """Why the target is unsupported and what to try; empty if it is not.

        Raises:
            InputError: If the target has another dimension than m.
        """
        target.check_against(self.m.shape[1])
        count = self.count(target)
        if count >= _LEAST:
            return ""
        return (
            f"unsupported: {count} of {len(self.m)} training materials lie in or near this "
            "target, so its P is extrapolation; simulate there and train again, or choose a "
            "target nearer to the training data"
        )


def _widened(box: Box, least: NDArray[np.float64]) -> Box:
    """The box with no interval narrower than `least`, with shape `(K)`."""
    lower, upper = np.array(box.lower), np.array(box.upper)
    extra = np.maximum(0.0, least - (upper - lower)) / 2
    return Box(tuple(lower - extra), tuple(upper + extra))
