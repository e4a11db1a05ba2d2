r"""Climbing where the score has kinks or φ is constrained, by sequential quadratic programming.

.. math::
    \max_{\varphi, t}\; t \;\text{ with }\; s_g(\varphi) \ge t \;\;\forall g, \qquad
    \max_\varphi\; s(\varphi) \;\text{ with }\; q_g(\varphi) \ge 0 \;\;\forall g

The first is the least of several scores :math:`s_g` without its kinks (the epigraph form). Where
settings are discrete or constrained, every start keeps its discrete settings and the linear
constraints of the process.

References:
    A software package for sequential quadratic programming (Kraft, 1988): SLSQP, here SciPy's
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize

from ..errors import InputError
from ..io.validation import check_whole
from .chances import Chance
from .optimisers import LBFGS, Climb, Optimiser, Problem
from .within import linear_constraints

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
    linear: Sequence[dict[str, Any]] = (),
) -> Any:
    """SciPy's SLSQP on a function from a point to `Numbers`, each point looked at once.

    Arguments:
        numbers: The function.
        first: Where to start.
        bounds: The bounds of each variable, as SciPy takes them.
        iterations: The largest number of iterations.
        tolerance: It has arrived where the goal changes by less.
        linear: Further constraints, as SciPy takes them.
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
        constraints=[
            {
                "type": "ineq",
                "fun": lambda point: at(point).slack,
                "jac": lambda point: at(point).slopes,
            },
            *linear,
        ],
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
        check_whole(iterations=self.iterations)
        chance = problem.objective
        if not isinstance(chance, Chance):
            raise InputError(
                f"'optimiser' is SLSQP, which climbs the probability of regions, not {chance}; "
                "use LBFGS or Adam for this objective."
            )
        near = LBFGS(self.iterations).climb(replace(problem, objective=chance.relaxed()), first)
        alike, ends, settled = _alike(near.unit, problem.held(near.unit)), {}, {}
        for i in np.unique(alike):
            end, result = self._solve(problem, chance, near.unit[i])
            both = np.stack([near.unit[i], problem.unit(problem.settings(end[None]))[0]])
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

    def _solve(self, problem: Problem, chance: Chance, start: Array) -> tuple[Array, Any]:
        """The end in the unit cube, and what SciPy says of it."""
        epigraph = chance.program(*_inputs(problem, start))[0] is None
        free = ~problem.held(start[None])[0]
        linear = linear_constraints(problem, start, free)
        bounds = [(0.0, 1.0)] * int(free.sum())
        stop = self.iterations, float(torch.finfo(problem.model.m_loc.dtype).eps ** 0.75)

        def whole(u: Array) -> Array:
            unit = start.copy()
            unit[free] = np.clip(u[: len(bounds)], 0, 1)
            return unit

        def numbers(u: Array) -> Numbers:
            found = _numbers(problem, chance, whole(u))
            return replace(found, slope=found.slope[free], slopes=found.slopes[:, free])

        def raised(point: Array) -> Numbers:
            found, t = numbers(point), point[-1]
            slope = np.append(np.zeros(len(bounds)), 1.0)
            slopes = np.hstack([found.slopes, -np.ones((len(found.slack), 1))])
            return Numbers(t, slope, found.slack - t, slopes)

        if not bounds:
            return start, OptimizeResult(success=True, status=0)
        if not epigraph:
            result = sequential(numbers, start[free], bounds, *stop, linear)
        else:
            first = np.append(start[free], problem.score(start[None])[0])
            above = [_beside(one) for one in linear]
            result = sequential(raised, first, [*bounds, (None, None)], *stop, above)
        return whole(result.x), result


def _beside(constraint: dict[str, Any]) -> dict[str, Any]:
    """A linear constraint that leaves the last variable out."""
    value, slope = constraint["fun"], constraint["jac"]
    return {
        "type": constraint["type"],
        "fun": lambda point: value(point[:-1]),
        "jac": lambda point: np.append(slope(point[:-1]), 0.0),
    }


def _alike(units: Array, held: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each start the first one that is as good as the same, with shape `(starts)`; what is
    held must be the same."""
    apart = np.abs(units[:, None] - units[None])
    near = np.where(held[:, None] | held[None], apart == 0, apart < _SAME).all(axis=-1)
    return near.argmax(axis=1)


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
