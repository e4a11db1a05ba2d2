r"""What is left of a P that was chosen for its height.

At :math:`\varphi^*` a surface is highest where it errs upwards, so P there is too high on average,
and the more so the more parameters there are to err in. How much? Every network k is asked the
same question alone. Where it would go, :math:`\varphi_k`, it promises more than the others do:

.. math:: o = \frac{1}{K} \sum_k \left[ h(P_k(\varphi_k)) - h(\bar P_{-k}(\varphi_k)) \right]

with h of `probability` and :math:`\bar P_{-k}` the mean of the others. That is the bootstrap of
the whole search. The mean of all networks errs less than one of them, so a share of o is taken
off, and the correction is not known exactly either:

.. math::
    P(\varphi^*) = h^{-1}\left( h(\bar P(\varphi^*)) - 0.35\, o \right), \qquad
    \text{90 \%: } h^{-1}\left( h(\bar P(\varphi^*)) - 0.35\, o \pm \sqrt{r^2 +
    (1.645 \cdot 0.2\, o)^2} \right)

with r the reach :math:`1.4\, t\, \tilde s` of `probability`.

A search for a product, for the least of several P, for the cheapest setting or under a tolerance
is the same question with another P and another rule of where to go; each network asks it alone
too.

The two numbers were fitted on twenty test functions of uncertainty quantification in 2 to 10
parameters (`benchmarks/doubt.py`).

References:
    An introduction to the bootstrap (Efron & Tibshirani, 1993), chapter 10: the bias of an
        estimate, and chapter 17: the optimism of an error rate
    The optimizer's curse (Smith & Winkler, 2006)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import binom
from torch import Tensor

from ..errors import InputError
from ..process import ProcessSpace
from .chances import Chance
from .estimates import NINETY, EnsembleEstimate, Estimate, link, reach_of, unlink
from .objectives import Objective
from .optimisers import LBFGS, Problem
from .probability import CHUNK

__all__ = ["Optimism", "combined", "optimism", "sobered"]

_SHARE, _DOUBT = 0.35, 0.2
_STARTS, _COARSE = 4, 64


@dataclass(frozen=True)
class Optimism:
    """How much each network promises beyond the others where it would go, the mean over them.

    Arguments:
        groups: Of what counts, see `Chance.grouped`.
        parts: Of each target.
    """

    groups: tuple[float, ...]
    parts: tuple[float, ...]


def optimism(problem: Problem, scouts: NDArray[np.float64]) -> Optimism:
    """The optimism of a search for a probability, or several.

    Arguments:
        problem: What was climbed, a `Chance`.
        scouts: Where to look first, in the unit cube, with shape `(N, P)`.
    """
    asked: Any = problem.objective
    chance = asked.relaxed()
    own = replace(problem, objective=_Own(chance))
    if chance.tolerance is not None:
        # the networks are compared on the same δ, whose error is theirs alike
        own = own.coarse(_COARSE // 2)
    coarse = own.coarse(_COARSE)
    with torch.no_grad():
        phi = coarse.process(torch.tensor(scouts))
        rows = phi.split(max(1, CHUNK // len(coarse.noise)))
        each = torch.cat([_alone(chance, coarse, part) for part in rows], dim=-1)
    best = each.topk(min(_STARTS, len(scouts)), dim=1).indices.cpu().numpy()
    # one climb of all: the starts of every network, one after the other
    first = scouts[best.T.ravel()]
    ends = LBFGS(60).climb(own, first).unit
    with torch.no_grad():
        phi = own.process(torch.tensor(ends))
        logs = chance.each(own.model, phi, own.noise).double().cpu()
        alone = chance.rated(chance.grouped(logs).amin(dim=0), phi.cpu().double())
    count = len(each)
    heights = alone.numpy().reshape(count, -1, count).diagonal(axis1=0, axis2=2)
    chosen = heights.argmax(axis=0) * count + np.arange(count)
    there = logs[..., chosen]
    groups = _beyond(chance.grouped(there), chance.grouped(_others(there)))
    return Optimism(groups, _beyond(there, _others(there)))


def _alone(chance: Chance, problem: Problem, phi: Tensor) -> Tensor:
    """The score that each network alone would climb, with shape `(K, N)`."""
    logs = chance.grouped(chance.each(problem.model, phi, problem.noise))
    return chance.rated(logs.amin(dim=0), phi)


def _others(logs: Tensor) -> Tensor:
    """The logarithm of the mean of the other networks, for logarithms with shape `(J, K, K)` whose
    last axis is where each would go; only its diagonal is used, with shape `(J, K)`."""
    count = logs.shape[-1]
    own = torch.eye(count, dtype=torch.bool)
    return logs.masked_fill(own, -torch.inf).logsumexp(dim=-2) - math.log(count - 1)


def _beyond(there: Tensor, others: Tensor) -> tuple[float, ...]:
    mine = there.diagonal(dim1=-2, dim2=-1).exp()
    return tuple((link(mine) - link(others.exp())).mean(dim=-1).tolist())


def sobered(estimate: EnsembleEstimate, optimism: float) -> EnsembleEstimate:
    """P at a φ* less what the search put on, with a wider interval."""
    off = max(0.0, optimism)
    middle = link(estimate.value) - _SHARE * off
    reach = np.hypot(reach_of(estimate.members, estimate.typical), NINETY * _DOUBT * off)
    return replace(
        estimate,
        value=unlink(middle),
        low=unlink(middle - reach),
        high=unlink(middle + reach),
        promised=estimate.value,
    )


def combined(model: Estimate, hits: int, samples: int) -> Estimate:
    r"""What the model and fresh simulations say of one P together.

    .. math:: p(P \mid h) \propto \operatorname{Bin}(h \mid n, P)\,
        \mathcal{N}(\operatorname{logit} P \mid \mu, \sigma^2)

    where the model's 90 % interval is that of the normal law.

    Arguments:
        model: The model's P, with an interval.
        hits: How many simulations lay in the target.
        samples: How many there were.

    Returns:
        The posterior mean and its 90 % interval.

    Raises:
        InputError: If the model's P has no interval.

    Example:
        >>> model = Estimate(*map(np.array, (0.80, 0.0, 0.60, 0.92)))
        >>> print(combined(model, 140, 200))
        0.707 (90 %: 0.655 to 0.757)
    """
    if model.low is None or model.high is None:
        raise InputError(
            "'model' has no interval, so there is nothing to weigh it by; take the simulated one."
        )
    ends = [logit(np.clip(end, 1e-6, 1 - 1e-6)) for end in (model.low, model.high)]
    middle, spread = (ends[0] + ends[1]) / 2, max((ends[1] - ends[0]) / (2 * NINETY), 1e-3)
    # even where the two disagree, both lie on the grid
    found = logit((hits + 0.5) / (samples + 1))
    low, high = min(middle, found) - 8 * max(spread, 1), max(middle, found) + 8 * max(spread, 1)
    grid = np.linspace(low, high, 20_001)
    height = binom.logpmf(hits, samples, expit(grid)) - 0.5 * ((grid - middle) / spread) ** 2
    weight = np.exp(height - height.max())
    cumulated = np.cumsum(weight) / weight.sum()
    ends = expit(np.interp([0.05, 0.95], cumulated, grid))
    mean = float(expit(grid) @ weight / weight.sum())
    return Estimate(np.array(mean), np.array(0.0), *map(np.array, ends))


@dataclass(frozen=True)
class _Own(Objective):
    """Row i is scored by network i modulo their number."""

    of: Chance

    def space(self, process: ProcessSpace) -> ProcessSpace:
        return self.of.space(process)

    def check(self, model: Any) -> None:
        self.of.check(model)

    def score(self, model: Any, phi: Tensor, noise: Tensor) -> Tensor:
        logs = self.of.grouped(self.of.each(model, phi, noise)).amin(dim=0)
        rows = torch.arange(len(phi))
        return self.of.rated(logs, phi)[rows % len(logs), rows]
