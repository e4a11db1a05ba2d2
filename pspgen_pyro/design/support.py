r"""Whether the training data say anything about a target.

.. math::
    n(\mathcal{M}_d) = \#\{ i : m_i \in \textstyle\bigcup_b B_b^+ \}, \qquad
    B^+ = \prod_j \left[c_j - \tfrac{w_j}{2},\, c_j + \tfrac{w_j}{2}\right], \quad
    w_j = \max(b_j - a_j,\, \tfrac{1}{20}\, r_j)

counts the training properties in the target, the centre :math:`c_j` of every interval kept and its
width raised to a twentieth of the range :math:`r_j` between the 5 % and the 95 % quantile of
:math:`m_j`, so that a narrow target is judged by its neighbourhood. With fewer than five, a
relative error of nearly a half, a model's P there is extrapolation: the target is *unsupported*.

A material some of whose properties are unknown counts for a box where every property that the box
bounds is known: one that it leaves free may be anything. Materials whose bounded properties were
never measured together say nothing of how the properties go together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ..errors import InputError
from .target import Box, Target

if TYPE_CHECKING:
    from ..data.triads import Triads
    from ..process import ProcessSpace

__all__ = ["NOT_CHECKED", "UNRESOLVED", "Support"]

UNRESOLVED = (
    "unsupported: the model gives this target no probability that its sample resolves; choose a "
    "target nearer to the training data, or simulate there"
)
NOT_CHECKED = "whether training data support the target was not checked, give 'support'"
_LEAST, _MOST, _SHARE, _NEAREST, _OUTSIDE = 5, 20_000, 0.05, 5000, 2.0


@dataclass(frozen=True, eq=False)
class Support:
    """The properties that a model learned from, and their settings.

    Arguments:
        m: Properties of training materials, all or an even sample, with shape `(N, K)`; NaN where
            one is unknown.
        phi: Their settings, with shape `(N, P)`; None if they were not kept.

    Raises:
        InputError: If `m` has another number of dimensions, an infinite value, or a row of which
            nothing is known, or there is no row.

    Example:
        >>> support = Support(np.random.default_rng(0).normal(size=(1000, 2)))
        >>> support.verdict(Box((-1, -1), (1, 1)))
        ''
        >>> support.verdict(Box((7, 7), (8, 8))).split(",")[0]
        'unsupported: 0 of 1000 training materials lie in or near this target'
    """

    m: NDArray[np.float64]
    phi: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        m = np.asarray(self.m, dtype=np.float64)
        if m.ndim != 2 or not m.size or np.isinf(m).any() or np.isnan(m).all(axis=-1).any():
            raise InputError(
                f"'m' has shape {m.shape}, infinite values or rows of which nothing is known; "
                "give the training properties with shape (N, K)."
            )
        object.__setattr__(self, "m", m)
        if self.phi is not None:
            phi = np.asarray(self.phi, dtype=np.float64)
            if phi.shape[:1] != m.shape[:1] or phi.ndim != 2:
                raise InputError(
                    f"'phi' has shape {phi.shape} but m {m.shape}; give one setting a row of m."
                )
            object.__setattr__(self, "phi", phi)

    @classmethod
    def of(cls, triads: Triads) -> Support:
        """The known properties of the training fold; of more than 20,000 rows, an even sample.

        Raises:
            InputError: If the fold has no property that is known.
        """
        train = triads.data["fold"].values == 0
        m, phi = (triads.data[name].values[train] for name in ("m", "phi"))
        known = np.flatnonzero(np.isfinite(m).any(axis=-1) & ~np.isinf(m).any(axis=-1))
        known = known[:: max(1, -(-len(known) // _MOST))]
        return cls(m[known], phi[known])

    def remoteness(self, phi: NDArray[np.float64], process: ProcessSpace) -> float | None:
        """The share of the training settings that are nearer to their nearest neighbour than a
        setting with shape `(P)` is to its own; None if the settings were not kept or there is one.

        Distances are those of `process.coordinates`.
        """
        found = self._distances(phi, process)
        return None if found is None else float((found[1] < found[0]).mean())

    def outside(self, phi: NDArray[np.float64], process: ProcessSpace) -> str:
        """How far a setting with shape `(P)` is from the training data; empty if it is not
        farther than twice any of them from its next (a corner of a box with uniform settings is,
        for 20 to 200 of them in one to ten parameters, in 0 to 4 % of draws)."""
        found = self._distances(phi, process)
        if found is None or found[0] <= _OUTSIDE * (most := float(found[1].max())):
            return ""
        return (
            f"converged, but outside the data: φ* is {found[0] / most:.1f} times as far from the "
            "nearest training setting as any of those from its next, so its P is extrapolation; "
            "bind the settings as the data are, or test φ* before you believe it"
        )

    def _distances(
        self, phi: NDArray[np.float64], process: ProcessSpace
    ) -> tuple[float, NDArray[np.float64]] | None:
        """How far a setting is from the nearest of the training, and each of those from its
        next."""
        if self.phi is None:
            return None
        # stored in single precision, and sorted
        settings = np.unique(self.phi.astype(np.float32), axis=0).astype(np.float64)
        settings = settings[:: -(-len(settings) // _NEAREST)]
        if len(settings) < 2:
            return None
        tree = KDTree(process.coordinates(settings))
        apart = tree.query(tree.data, k=2)[0][:, 1]
        return float(tree.query(process.coordinates(phi))[0]), apart

    def count(self, target: Target) -> int:
        """How many of the properties lie in the target or, where it is narrow, around it."""
        least = _SHARE * self._ranges()
        wide = np.zeros(len(self.m), dtype=bool)
        for box in target.boxes:
            wide |= _widened(box, least).contains(np.where(_free(box), 0.0, self.m))
        return int(wide.sum())

    def _known(self, target: Target) -> int:
        """How many rows know every property that some box of the target bounds."""
        known = [(_free(box) | ~np.isnan(self.m)).all(axis=-1) for box in target.boxes]
        return int(np.logical_or.reduce(known).sum())

    def _ranges(self) -> NDArray[np.float64]:
        """The range of each property between its outer quantiles, with shape `(K)`; 0 where it
        is never known."""
        found = np.zeros(self.m.shape[1])
        for j, column in enumerate(self.m.T):
            if len(known := column[~np.isnan(column)]):
                low, high = np.quantile(known, [_SHARE, 1 - _SHARE])
                found[j] = high - low
        return found

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
            f"unsupported: {count} of {self._known(target)} training materials lie in or near "
            "this target, so its P is extrapolation; simulate there and train again, or choose "
            "a target nearer to the training data"
        )


def _free(box: Box) -> NDArray[np.bool_]:
    """Which properties the box does not bound, with shape `(K)`."""
    return np.isinf(box.lower) & np.isinf(box.upper)


def _widened(box: Box, least: NDArray[np.float64]) -> Box:
    """The box with no interval narrower than `least`, with shape `(K)`."""
    lower, upper = np.array(box.lower), np.array(box.upper)
    extra = np.maximum(0.0, least - (upper - lower)) / 2
    return Box(tuple(lower - extra), tuple(upper + extra))
