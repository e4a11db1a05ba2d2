r"""A climb within constraints: sequential quadratic programming from every start.

.. math:: \max_{u \in [0, 1]^P} s(\varphi(u)) \quad \text{with} \quad A u = b,\ G u \le h,

over those coordinates that the start's slice leaves free.

References:
    A software package for sequential quadratic programming (Kraft, 1988): SLSQP, as in SciPy
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Condition
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

if TYPE_CHECKING:
    from .optimisers import Problem

__all__ = ["climb_within", "linear_constraints"]

Array = NDArray[np.float64]
# what rounding leaves of a score
_TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-10}


def climb_within(problem: Problem, first: Array, iterations: int) -> tuple[Array, Array, bool]:
    """The ends in the unit cube, with shape `(starts, P)`, the best score after each of them, and
    whether the best arrived.

    Arguments:
        problem: What to climb.
        first: The starts in the unit cube; each fulfils the constraints.
        iterations: The largest number of iterations of each.
    """
    free = ~problem.held(first)
    together = _Together(problem, first)
    with ThreadPoolExecutor(len(first)) as pool:
        climbs = [
            pool.submit(_from, problem, together, first[i], i, free[i], iterations)
            for i in range(len(first))
        ]
        found = [one.result() for one in climbs]
    ends = problem.unit(problem.settings(np.stack([end for end, _ in found])))
    before, after = problem.score(first), problem.score(ends)
    better = after >= before
    ends, scores = np.where(better[:, None], ends, first), np.where(better, after, before)
    return ends, np.maximum.accumulate(scores), found[int(scores.argmax())][1]


class _Together:
    """Evaluates the points of all climbs that go on in one pass, once each has asked for one; a
    climb's row stays its own, since an objective may know rows by their place."""

    def __init__(self, problem: Problem, first: Array) -> None:
        self.problem, self.rows = problem, first.copy()
        self.climbing, self.asked = len(first), 0
        self.changed, self.passes = Condition(), 0
        self.scores, self.slopes, self.failure = np.empty(0), np.empty(0), None

    def at(self, i: int, point: Array) -> tuple[float, Array]:
        """The score of row i at a point, and its slope."""
        with self.changed:
            self.rows[i] = point
            self.asked += 1
            mine = self.passes
            self._pass_if_all_asked()
            self.changed.wait_for(lambda: self.passes > mine)
            if self.failure is not None:
                raise self.failure
            return float(self.scores[i]), self.slopes[i].copy()

    def done(self) -> None:
        """One climb has ended."""
        with self.changed:
            self.climbing -= 1
            self._pass_if_all_asked()

    def _pass_if_all_asked(self) -> None:
        if not self.climbing or self.asked < self.climbing:
            return
        try:
            self.scores, self.slopes = self.problem.score_and_gradient(self.rows)
        except Exception as error:  # noqa: BLE001
            self.failure = error
        self.asked, self.passes = 0, self.passes + 1
        self.changed.notify_all()


def _from(
    problem: Problem,
    together: _Together,
    start: Array,
    i: int,
    free: NDArray[np.bool_],
    iterations: int,
) -> tuple[Array, bool]:
    """The end of one start, and whether it arrived."""
    unit = start.copy()

    def loss(u: Array) -> tuple[float, Array]:
        unit[free] = np.clip(u, 0, 1)
        score, slope = together.at(i, unit)
        return -score, -slope[free]

    try:
        if not free.any():
            return start, True
        found = minimize(
            loss,
            start[free],
            jac=True,
            method="SLSQP",
            bounds=[(0.0, 1.0)] * int(free.sum()),
            constraints=linear_constraints(problem, start, free),
            options={"maxiter": iterations, "ftol": _TOLERANCE[problem.model.m_loc.dtype]},
        )
    finally:
        together.done()
    if not np.isfinite(found.x).all():
        return start, False
    unit[free] = np.clip(found.x, 0, 1)
    return unit, bool(found.success)


def linear_constraints(
    problem: Problem, start: Array, free: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """The linear constraints of the settings on the coordinates of a start that are free, as SLSQP
    takes them."""
    feasible = problem.space.feasible
    weights, bound, equal = feasible.linear
    scaled = weights * feasible.width
    # φ = lower + width · u, and what is held goes to the other side
    rest = bound - weights @ feasible.lower - scaled[:, ~free] @ start[~free]
    scaled = scaled[:, free]
    found = []
    for row, number, is_equal in zip(scaled, rest, equal, strict=True):
        size = np.abs(row).max(initial=0.0)
        if not size:
            continue
        a, b = row / size, number / size
        found.append(
            {"type": "eq", "fun": lambda u, a=a, b=b: a @ u - b, "jac": lambda u, a=a: a}
            if is_equal
            else {"type": "ineq", "fun": lambda u, a=a, b=b: b - a @ u, "jac": lambda u, a=a: -a}
        )
    return found
