r"""Climbing where the score has kinks or φ is constrained, by sequential quadratic programming.

.. math::
    \max_{\varphi, t}\; t \;\text{ with }\; s_g(\varphi) \ge t \;\;\forall g, \qquad
    \max_\varphi\; s(\varphi) \;\text{ with }\; q_g(\varphi) \ge 0 \;\;\forall g

The first is the least of several scores :math:`s_g` without its kinks (the epigraph form).

References:
    A software package for sequential quadratic programming (Kraft, 1988): SLSQP, here SciPy's
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from ..errors import InputError
from ..io.validation import check_positive
from .chances import Chance
from .optimisers import LBFGS, Climb, Optimiser, Problem, check_boxed

__all__ = ["SLSQP", "Numbers", "sequential"]

Array = NDArray[np.float64]
_SAME = 1e-2


@dataclass(frozen=True)
class Numbers:
    """A goal to be large and what must not be negative, with their slopes, at one point.

    Arguments:
        goal: The goal.
        slope: Its gradient, with shape `(V)`.
        slack: What must not be negative, with shape `(G)`.
        slopes: Their gradients, with shape `(G, V)`.
    """

    goal: float
    slope: Array
    slack: Array
    slopes: Array


def sequential(
    numbers: Callable[[Array], Numbers],
    first: Array,
    bounds: Any,
    iterations: int,
    tolerance: float,
) -> Any:
    """SciPy's SLSQP on a function from a point to `Numbers`, each point looked at once.

    Arguments:
        numbers: The function.
        first: Where to start.
        bounds: The bounds of each variable, as SciPy takes them.
        iterations: The largest number of iterations.
        tolerance: It has arrived where the goal changes by less.
    """
    seen: list[tuple[Array, Numbers]] = []

    def at(point: Array) -> Numbers:
        if not seen or not np.array_equal(seen[0][0], point):
            seen[:] = [(point.copy(), numbers(point))]
        return seen[0][1]

    return minimize(
        lambda point: -at(point).goal,
        first,
        jac=lambda point: -at(point).slope,
        method="SLSQP",
        bounds=bounds,
        constraints={
            "type": "ineq",
            "fun": lambda point: at(point).slack,
            "jac": lambda point: at(point).slopes,
        },
        options={"maxiter": iterations, "ftol": tolerance},
    )


@dataclass(frozen=True)
class SLSQP(Optimiser):
    """Sequential quadratic programming from every start, where `LBFGS` on a relaxed score brings
    it; what `Least` and `Cheapest` take.

    Arguments:
        iterations: The largest number of iterations of either.
    """

    iterations: int = 200

    def climb(self, problem: Problem, first: Array) -> Climb:
        check_positive(iterations=self.iterations)
        chance = problem.objective
        if not isinstance(chance, Chance):
            raise InputError(
                f"'optimiser' is SLSQP, which climbs the probability of regions, not {chance}; "
                "use LBFGS or Adam for this objective."
            )
        check_boxed(problem, "SLSQP on the least of several scores, or on a cost,")
        near = LBFGS(self.iterations).climb(replace(problem, objective=chance.relaxed()), first)
        alike, ends, settled = _alike(near.unit), {}, {}
        for i in np.unique(alike):
            result = self._solve(problem, chance, near.unit[i])
            both = np.stack([near.unit[i], np.clip(result.x[: near.unit.shape[1]], 0, 1)])
            # a linearisation may end where the penalty says it is worse
            scores = problem.score(both)
            ends[i] = both[int(scores[1] >= scores[0])]
            # 8: a line search that finds no descent beyond rounding has arrived
            settled[i] = result.success or result.status == 8
        units = np.stack([ends[i] for i in alike])
        scores = problem.score(units)
        return Climb(
            units,
            np.maximum.accumulate(scores),
            bool(settled[alike[int(np.argmax(scores))]]),
            f"not converged after {self.iterations} iterations; raise 'iterations' or choose "
            "other 'starts'",
        )

    def _solve(self, problem: Problem, chance: Chance, start: Array) -> Any:
        epigraph = chance.program(*_inputs(problem, start))[0] is None
        bounds = [(0.0, 1.0)] * len(start)
        stop = self.iterations, float(torch.finfo(problem.model.m_loc.dtype).eps ** 0.75)
        if not epigraph:
            return sequential(lambda unit: _numbers(problem, chance, unit), start, bounds, *stop)
        level = float(problem.score(start[None])[0])

        def raised(point: Array) -> Numbers:
            unit, t = point[:-1], point[-1]
            found = _numbers(problem, chance, unit)
            slope = np.append(np.zeros(len(unit)), 1.0)
            slopes = np.hstack([found.slopes, -np.ones((len(found.slack), 1))])
            return Numbers(t, slope, found.slack - t, slopes)

        first = np.append(start, level)
        return sequential(raised, first, [*bounds, (None, None)], *stop)


def _alike(units: Array) -> NDArray[np.int64]:
    """For each start the first one that is as good as the same, with shape `(starts)`."""
    apart = np.abs(units[:, None] - units[None]).max(axis=-1)
    return (apart < _SAME).argmax(axis=1)


def _inputs(problem: Problem, unit: Array) -> tuple[Any, torch.Tensor, torch.Tensor]:
    return problem.model, problem.process(torch.tensor(unit[None])), problem.noise


def _numbers(problem: Problem, chance: Chance, unit: Array) -> Numbers:
    """The program at one point of the unit cube; its goal is 0 in the epigraph form."""
    inputs = torch.tensor(unit[None], requires_grad=True)
    goal, slack = chance.program(problem.model, problem.process(inputs), problem.noise)
    rows = [one.sum() for one in slack]
    slopes = [torch.autograd.grad(row, inputs, retain_graph=True)[0][0].numpy() for row in rows]
    value, slope = 0.0, np.zeros(len(unit))
    if goal is not None:
        (gradient,) = torch.autograd.grad(goal.sum(), inputs)
        value, slope = float(goal.detach()), gradient[0].numpy()
    return Numbers(value, slope, slack[:, 0].detach().double().cpu().numpy(), np.stack(slopes))
