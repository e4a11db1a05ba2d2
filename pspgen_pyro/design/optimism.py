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

The two numbers were fitted on twenty test functions of uncertainty quantification in 2 to 10
parameters (`benchmarks/doubt.py`).

References:
    An introduction to the bootstrap (Efron & Tibshirani, 1993), chapter 10: the bias of an
        estimate, and chapter 17: the optimism of an error rate
    The optimizer's curse (Smith & Winkler, 2006)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import binom
from torch import Tensor

from ..errors import InputError
from .estimates import NINETY, EnsembleEstimate, Estimate, link, reach_of, unlink
from .objectives import Objective
from .optimisers import LBFGS, Problem
from .probability import opinions
from .target import Target

__all__ = ["combined", "optimism", "sobered"]

_SHARE, _DOUBT = 0.35, 0.2
_STARTS = 4


def optimism(problem: Problem, target: Target, scouts: NDArray[np.float64]) -> float:
    """The mean over the networks of how much each promises beyond the others where it would go.

    Arguments:
        problem: What was climbed.
        target: The region.
        scouts: Where to look first, in the unit cube, with shape `(N, P)`.
    """
    own = replace(problem, objective=_Own(target))
    coarse = own.coarse(64)
    with torch.no_grad():
        phi = coarse.process(torch.tensor(scouts))
        each = opinions(coarse.model, target, phi, coarse.noise)
    best = each.topk(min(_STARTS, len(scouts)), dim=1).indices.cpu().numpy()
    # one climb of all: the starts of every network, one after the other
    first = scouts[best.T.ravel()]
    ends = LBFGS(60).climb(own, first).unit
    with torch.no_grad():
        phi = own.process(torch.tensor(ends))
        found = opinions(own.model, target, phi, own.noise).exp().double().cpu().numpy()
    count = len(each)
    alone = found.reshape(count, -1, count).diagonal(axis1=0, axis2=2)
    chosen = alone.argmax(axis=0) * count + np.arange(count)
    there = found[:, chosen]
    mine = there.diagonal()
    others = (there.sum(axis=0) - mine) / (count - 1)
    return float((link(mine) - link(others)).mean())


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

    target: Target

    def check(self, model: Any) -> None:
        self.target.check_against(model.dims.properties)

    def score(self, model: Any, phi: Tensor, noise: Tensor) -> Tensor:
        each = opinions(model, self.target, phi, noise)
        rows = torch.arange(len(phi))
        return each[rows % len(each), rows]
