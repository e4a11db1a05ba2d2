r"""The search for a window: how far along each setting, and the largest box of all.

Each alone is found on 256 steps to either side and refined between two of them, so a dip narrower
than a step is not seen. The box of all is found by sequential quadratic programming on a growing
set of its points: those where P was found too low join the set, until none are (an exchange method
for semi-infinite programs). It is a local maximum of the volume. At the end the corners (at most
1,024), a Sobol sample of 1,024 points and the lowest points that descents from the worst of them
reach are looked at, and the box shrinks until P is large enough at all of them.

References:
    Semi-infinite programming: theory, methods, and applications (Hettich & Kortanek, 1993)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..process import ProcessSpace
from .chances import Chance
from .constrained import Numbers, sequential
from .estimates import link, unlink
from .objectives import Objective
from .optimisers import LBFGS, Problem

__all__ = ["StrayingProblem", "WindowSearch"]

Array = NDArray[np.float64]
_STEPS, _POINTS, _ROUNDS, _WORST = 256, 1024, 12, 8
_CORNERS = 64
_ABOVE, _TINY = 1e-4, 1e-6
_SHRINK = (1.0, 0.999, 0.995, 0.98, 0.95, 0.9, 0.8, 0.65, 0.5, 0.3, 0.1, 0.0)


@dataclass(frozen=True, eq=False)
class StrayingProblem(Problem):
    """A problem in a box of the coordinates that stray, from 0 to 1 along each of its sides.

    Arguments:
        around: The problem of all settings.
        at: The setting around which they stray, in the unit cube, with shape `(P)`.
        strays: Which of its coordinates do, with shape `(P)`.
        box: The ends of the box in the unit cube, with shape `(V, 2)`.
    """

    around: Problem = field(kw_only=True)
    at: Array = field(kw_only=True)
    strays: NDArray[np.bool_] = field(kw_only=True)
    box: Array = field(kw_only=True)

    @property
    def space(self) -> ProcessSpace:
        size = int(self.strays.sum())
        names = tuple(f"u{j}" for j in range(size))
        return ProcessSpace(names, (0.0,) * size, (1.0,) * size)

    def process(self, unit: Tensor) -> Tensor:
        low, high = torch.tensor(self.box.T)
        whole = torch.tensor(self.at).expand(*unit.shape[:-1], -1)
        place = torch.tensor(np.flatnonzero(self.strays))
        whole = whole.index_copy(-1, place, low + (high - low) * unit)
        return self.around.process(whole)

    def phi(self, unit: Array) -> Array:
        """The settings at points of the box, with shape `(N, P)`."""
        with torch.no_grad():
            return self.process(torch.tensor(unit)).double().numpy()

    def held(self, unit: Array) -> NDArray[np.bool_]:
        return np.zeros(unit.shape, dtype=bool)


class WindowSearch:
    """What a window asks of P, in the unit cube of the settings that stray; of the boxes in it,
    points have coordinates from 0 to 1 too."""

    def __init__(
        self, problem: StrayingProblem, chance: Chance, least: float, margin: float
    ) -> None:
        self.problem, self.chance, self.margin = problem, chance, margin
        self.score = problem.score
        self.level = chance.level(float(unlink(link(least) + margin)))
        size = int(problem.strays.sum())
        engine = torch.quasirandom.SobolEngine(size, scramble=True, seed=problem.seed)
        corners = np.array(list(product((0.0, 1.0), repeat=min(size, 10))))
        if size > 10:
            rest = (engine.draw(len(corners)).numpy() > 0.5).astype(float)
            corners = np.hstack([corners, rest[:, 10:]])
        self.corners = corners
        inside = engine.draw(_POINTS, dtype=torch.float64).numpy()
        self.places = np.concatenate([corners, inside])

    def p(self, score: float) -> float:
        """What a score is as a probability, less the margin."""
        promised = float(self.chance.promise(torch.tensor(float(score))))
        return float(unlink(link(np.clip(promised, 0, 1)) - self.margin))

    def along(self, unit: Array, j: int) -> tuple[float, float]:
        """The ends of one parameter, the others held."""
        return self._end(unit, j, 0.0), self._end(unit, j, 1.0)

    def _end(self, unit: Array, j: int, bound: float) -> float:
        inside, outside, steps = unit[j], bound, _STEPS
        for _ in range(5):
            line = np.linspace(inside, outside, steps + 1)
            points = np.tile(unit, (len(line), 1))
            points[:, j] = line
            low = self.score(points[1:]) < self.level
            if not low.any():
                return outside
            first = int(np.argmax(low))
            inside, outside, steps = line[first], line[first + 1], 32
        return inside

    def box(self, unit: Array, alone: Array) -> tuple[Array, float]:
        """The ends of the largest box that was found, with shape `(P, 2)`, and the lowest score
        in it."""
        size = 1.0
        while size > 1e-3 and self._worst(_scaled(unit, alone, size))[1] < self.level:
            size /= 1.5
        found = [self._grown(unit, alone, _scaled(unit, alone, s)) for s in (size, size / 3)]
        return max(found, key=lambda one: np.log(one[0][:, 1] - one[0][:, 0] + _TINY).sum())

    def _grown(self, unit: Array, alone: Array, box: Array) -> tuple[Array, float]:
        points = self.corners[:: max(1, len(self.corners) // _CORNERS)]
        bounds = [*zip(alone[:, 0], unit, strict=True), *zip(unit, alone[:, 1], strict=True)]
        for _ in range(_ROUNDS):
            first = np.clip(box.T.ravel(), *np.array(bounds).T)
            result = sequential(
                lambda ends, points=points: self._numbers(ends, points),
                first,
                bounds,
                100,
                1e-7,
            )
            box = np.clip(result.x, *np.array(bounds).T).reshape(2, -1).T
            box = np.where(np.abs(box - alone) < 1e-9, alone, box)
            worst, lowest = self._worst(box)
            if lowest >= self.level:
                break
            points = np.concatenate([points, worst])
        for size in _SHRINK:
            shrunk = _scaled(unit, box, size)
            lowest = self._worst(shrunk)[1]
            if lowest >= self.level:
                return shrunk, lowest
        return shrunk, lowest

    def _numbers(self, ends: Array, points: Array) -> Numbers:
        """The logarithm of the volume, and by how much P is large enough at points of the box."""
        low, high = ends.reshape(2, -1)
        scores, slopes = self.problem.score_and_gradient(low + points * (high - low))
        width = high - low + _TINY
        return Numbers(
            float(np.log(width).sum()),
            np.concatenate([-1 / width, 1 / width]),
            scores - self.level - _ABOVE,
            np.hstack([slopes * (1 - points), slopes * points]),
        )

    def _worst(self, box: Array) -> tuple[Array, float]:
        """Points of a box where P is lowest, and the lowest score."""
        low, width = box[:, 0], box[:, 1] - box[:, 0]
        scores = self.score(low + self.places * width)
        worst = self.places[np.argsort(scores)[:_WORST]]
        inside = replace(self.problem, objective=_Lowest(self.chance), box=box)
        ends = LBFGS(50).climb(inside, worst).unit
        points = np.concatenate([worst, ends])
        there = self.score(low + points * width)
        return points[there < self.level + _ABOVE], float(min(scores.min(), there.min()))


def _scaled(unit: Array, box: Array, size: float) -> Array:
    return unit[:, None] + size * (box - unit[:, None])


@dataclass(frozen=True, eq=False)
class _Lowest(Objective):
    """Minus the score of a chance."""

    of: Chance

    def check(self, model: Any) -> None:
        self.of.check(model)

    def score(self, model: Any, phi: Tensor, noise: Tensor) -> Tensor:
        return -self.of.score(model, phi, noise)
