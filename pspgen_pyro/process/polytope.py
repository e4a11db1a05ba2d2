r"""A convex polytope, and uniform draws from it.

.. math:: \{x \in \mathbb{R}^d : A x = b,\ G x \le h\}

On the affine space of the equalities hit-and-run draws a direction, and a point that is uniform on
the chord through the present one. Directions are drawn from the ellipsoid

.. math:: \mathcal{N}(0, H^{-1}), \qquad H = \sum_i g_i g_i^\top / s_i(x_c)^2,

with the slacks :math:`s_i` at the analytic centre :math:`x_c`, so that a thin polytope is left as
fast as a round one.

References:
    Efficient Monte Carlo procedures for generating points uniformly distributed over bounded
        regions (Smith, 1984)
    Random walks on polytopes and an affine interior point method (Kannan & Narayanan, 2012)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Polytope"]

Array = NDArray[np.float64]
_EXACT = 1e-9
_NEWTON = 50


@dataclass(frozen=True, eq=False)
class Polytope:
    """A bounded polytope whose entries are of the order of one.

    Arguments:
        equal: The matrix :math:`A`, with shape `(E, d)`.
        equal_to: The vector :math:`b`, with shape `(E)`.
        less: The matrix :math:`G`, with shape `(I, d)`.
        less_than: The vector :math:`h`, with shape `(I)`.
    """

    equal: Array
    equal_to: Array
    less: Array
    less_than: Array

    @cached_property
    def centre(self) -> Array | None:
        """The analytic centre, with shape `(d)`; None if the polytope is empty."""
        return None if self._inner is None else self._inner[0]

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Uniform draws, each at the end of a chain of its own, with shape `(count, d)`.

        Arguments:
            count: How many; the polytope must not be empty.
            rng: The source of randomness.
        """
        assert self._inner is not None
        centre, basis, walls, room, root = self._inner
        size = basis.shape[1]
        y, slack = np.zeros((count, size)), np.tile(room, (count, 1))
        for _ in range(30 + 10 * size if size else 0):
            step = rng.standard_normal((count, size)) @ root.T
            rate = step @ walls.T
            with np.errstate(divide="ignore", invalid="ignore"):
                reach = slack / rate
            ahead = np.where(rate > 0, reach, np.inf).min(axis=1)
            behind = np.where(rate < 0, reach, -np.inf).max(axis=1)
            t = behind + (ahead - behind) * rng.uniform(size=count)
            y += t[:, None] * step
            slack = (slack - t[:, None] * rate).clip(0)
        return centre + y @ basis.T

    @property
    def rounded(self) -> tuple[Array, Array, Array]:
        """The analytic centre, with shape `(d)`; a basis in which the polytope is about as wide in
        every direction, with shape `(d, k)`; and its inequalities :math:`w_i^\top y \\le 1` in it,
        with shape `(I, k)`. The polytope must not be empty."""
        assert self._inner is not None
        centre, basis, walls, room, root = self._inner
        kept = room > _EXACT
        return centre, basis @ root, (walls @ root)[kept] / room[kept, None]

    @cached_property
    def _inner(self) -> tuple[Array, ...] | None:
        """The analytic centre, a basis of the equalities' null space, the inequalities in that
        basis, their slacks at the centre, and the root of the inverse of H."""
        found = self._widest()
        if found is None:
            return None
        centre, radius = found
        if radius < _EXACT and centre.size:
            tight = self._always_tight()
            if tight.any():
                return Polytope(
                    np.concatenate([self.equal, self.less[tight]]),
                    np.concatenate([self.equal_to, self.less_than[tight]]),
                    self.less[~tight],
                    self.less_than[~tight],
                )._inner
        return self._centred(centre, self._basis())

    def _basis(self) -> Array:
        from scipy.linalg import null_space

        size = self.equal.shape[1]
        return null_space(self.equal, rcond=1e-12) if len(self.equal) else np.eye(size)

    def _slack(self, x: Array) -> Array:
        return (self.less_than - self.less @ x).clip(0)

    def _widest(self) -> tuple[Array, float] | None:
        """The centre of the largest ball inside, and its radius."""
        size = self.equal.shape[1]
        if not size:
            empty = (np.abs(self.equal_to) > _EXACT).any() or (self.less_than < -_EXACT).any()
            return None if empty else (np.zeros(0), 0.0)
        basis = self._basis()
        norms = np.linalg.norm(self.less @ basis, axis=1)
        found = self._solve(
            np.append(np.zeros(size), -1.0),
            np.column_stack([self.less, norms]),
            np.column_stack([self.equal, np.zeros(len(self.equal))]),
            [(None, None)] * size + [(0, 1)],
        )
        if found is None:
            return None
        x, radius = found[:-1], float(found[-1])
        if len(self.equal):
            # the solver is exact to seven digits
            x = x - np.linalg.pinv(self.equal) @ (self.equal @ x - self.equal_to)
        off = np.abs(self.equal @ x - self.equal_to).max(initial=0.0)
        beyond = (self.less @ x - self.less_than).max(initial=0.0)
        return None if max(off, beyond) > _EXACT else (x, radius if basis.shape[1] else 0.0)

    def _always_tight(self) -> NDArray[np.bool_]:
        """Which inequalities are equalities everywhere in the polytope."""
        size = self.equal.shape[1]
        tight = []
        for row, bound in zip(self.less, self.less_than, strict=True):
            x = self._solve(row, self.less, self.equal, [(None, None)] * size)
            tight.append(x is not None and bound - row @ x < _EXACT)
        return np.array(tight)

    def _solve(self, cost: Array, less: Array, equal: Array, bounds: Any) -> Array | None:
        from scipy.optimize import linprog

        found = linprog(
            cost,
            less if len(less) else None,
            self.less_than if len(less) else None,
            equal if len(equal) else None,
            self.equal_to if len(equal) else None,
            bounds,
        )
        return None if found.x is None else np.asarray(found.x)

    def _centred(self, x: Array, basis: Array) -> tuple[Array, ...]:
        """Newton's method for the largest product of the slacks, from a point inside."""
        walls, size = self.less @ basis, basis.shape[1]
        hessian = np.eye(size)
        for _ in range(_NEWTON):
            scaled = walls / self._slack(x).clip(1e-12)[:, None]
            gradient, hessian = scaled.sum(axis=0), scaled.T @ scaled + 1e-12 * np.eye(size)
            step = -np.linalg.solve(hessian, gradient)
            decrement = float(-gradient @ step) ** 0.5
            if decrement < 1e-6:
                break
            # the damped step stays inside
            x = x + basis @ step / (1 + decrement)
        root = np.linalg.cholesky(np.linalg.inv(hessian)) if size else np.zeros((0, 0))
        return x, basis, walls, self._slack(x), root
