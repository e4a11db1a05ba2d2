r"""Where a climb starts: scouts all over the process space, and the best of them.

In a box scouts are Sobol points. Elsewhere they are draws from the prior, some for every feasible
combination of the discrete settings (a slice), since a climb moves real settings alone: the best
few of every slice, and as many others, climb on a small sample, and the best ends go on. Of more
than 4,096 slices a random choice is looked at, and then whatever can be reached from the best by
changing one or two discrete settings, as long as that helps.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray

from ..process import ProcessSpace
from .optimisers import LBFGS, Problem

__all__ = ["ascent_starts", "scouted"]

Array = NDArray[np.float64]
_SCOUTS, _DRAWS = 256, 64
_EACH, _MANY, _ROUNDS = 16, 2048, 20
_SCATTERED, _NEAR = 32, 32
_CLIMBING, _BOUND = 512, 128


def scouted(problem: Problem, starts: int) -> tuple[Array, Array]:
    """Scouts in the unit cube, with shape `(N, P)`, and their scores on a small sample."""
    process = problem.space
    count = max(_SCOUTS, 2 * starts)
    if process.boxed:
        engine = torch.quasirandom.SobolEngine(len(process), scramble=True, seed=problem.seed)
        scouts = engine.draw(count, dtype=torch.float64).numpy()
    else:
        rng = np.random.default_rng(problem.seed)
        scouts = problem.unit(_drawn(process, rng))
    return scouts, problem.coarse(_DRAWS).score(scouts)


def ascent_starts(problem: Problem, scouts: Array, scores: Array, starts: int) -> Array:
    """The starts of the climb, with shape `(starts, P)`: the better half the best scouts, the
    others spread; where settings are discrete, the best ends of a first climb in every slice."""
    process = problem.space
    if process.feasible.discrete.any() or process.feasible.supports > 1:
        return _of_slices(problem, scouts, scores, starts)
    order = np.argsort(-scores)
    best = order[: (starts + 1) // 2]
    spread = np.setdiff1d(np.arange(len(scores)), best)[: starts - len(best)]
    return scouts[np.concatenate([best, spread])]


def _drawn(process: ProcessSpace, rng: np.random.Generator) -> Array:
    """Some 2,048 draws from the prior, at least 32 in every slice that can be listed."""
    feasible = process.feasible
    if not feasible.discrete.any() or (listed := feasible.slices) is None:
        return process.sample(_MANY, rng)
    return feasible.sample_each(max(_SCATTERED, -(-_MANY // len(listed))), rng)


def _of_slices(problem: Problem, scouts: Array, scores: Array, starts: int) -> Array:
    coarse = problem.coarse(_DRAWS)
    most = _BOUND if problem.space.constraints else _CLIMBING
    slices = problem.space.feasible.slices
    each = 1 if slices is None else int(np.clip(most // len(slices), 1, _EACH))
    chosen = _chosen_of_each(problem, scouts, scores, each)
    unit, score = _climbed(coarse, scouts[chosen], scores[chosen])
    if problem.space.feasible.slices is None:
        for _ in range(_ROUNDS):
            near = _neighbours(problem, unit[np.argsort(-score)[:_NEAR]])
            found, value = _climbed(coarse, near, coarse.score(near))
            if value.max() <= score.max() + 1e-9:
                break
            unit, score = np.concatenate([found, unit]), np.concatenate([value, score])
    best = _chosen_of_each(problem, unit, score, 1)
    unit, score = unit[best], score[best]
    return unit[np.argsort(-score, kind="stable")[:starts]]


def _chosen_of_each(problem: Problem, unit: Array, scores: Array, count: int) -> NDArray[np.int64]:
    """The numbers of some scouts of every slice: the better half the best ones, the others as they
    come."""
    held = np.where(problem.held(unit), unit, -1.0)
    _, slices = np.unique(held, axis=0, return_inverse=True)
    best = _first_of_each(slices.ravel(), np.argsort(-scores, kind="stable"), (count + 1) // 2)
    rest = np.setdiff1d(np.arange(len(scores)), best)
    return np.concatenate([best, _first_of_each(slices.ravel(), rest, count // 2)])


def _first_of_each(
    slices: NDArray[np.int64], order: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """The first few of every slice in some order of all."""
    by_slice = np.argsort(slices[order], kind="stable")
    sizes = np.bincount(slices[order])
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[np.sort(by_slice[rank < count])]


def _climbed(problem: Problem, unit: Array, scores: Array) -> tuple[Array, Array]:
    """The ends of a climb from the best, and their scores."""
    most = _BOUND if problem.space.constraints else _CLIMBING
    best = unit[np.argsort(-scores, kind="stable")[:most]]
    ends = LBFGS(60).climb(problem, best).unit
    return ends, problem.score(ends)


def _neighbours(problem: Problem, unit: Array) -> Array:
    """What differs from some settings in one discrete setting, or from the best two in two, and is
    allowed; the settings themselves if nothing is."""
    process = problem.space
    levels = {j: one.levels for j, one in enumerate(process.settings) if one.levels is not None}
    found = []
    for rank, phi in enumerate(problem.settings(unit)):
        for count in (1, 2) if rank < 2 else (1,):
            for columns in itertools.combinations(levels, count):
                every = np.array([*itertools.product(*(levels[j] for j in columns))])
                moved = np.tile(phi, (len(every), 1))
                moved[:, columns] = every
                found.append(moved)
    near = np.unique(np.concatenate(found), axis=0)
    if process.constraints:
        near = process.feasible.placed(near)
        near = near[~process.feasible.violated(near).any(axis=-1)]
    return problem.unit(near) if len(near) else unit
