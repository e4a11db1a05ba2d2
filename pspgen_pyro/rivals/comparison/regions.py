r"""The posterior of the settings given that m lies in a region,
:math:`p(\varphi \mid m \in \mathcal{M}_d)`, by four rules.

Pairs (φ, m) of a pool are drawn from the prior of φ and the Gaussian processes.

* **R1**, exact: :math:`\mathbb{E}_{p(m \mid m \in \mathcal{M}_d)}[p(\varphi \mid m)]`, over the m
  of the pool in the region, each through the flow.
* **R2**, uniform: the same over m uniform in the region, which weighs R1 by
  :math:`1 / p(m)`.
* **R3**, centre: :math:`p(\varphi \mid m)` at the centre of the region.
* **R5**, no flow: the φ of the pool whose m lies in the region.

Where fewer than 200 pairs of the pool lie in the region, R1 becomes R2 and R5 weighs the φ of the
pool by their :math:`P(m \in \mathcal{M}_d \mid \varphi)`; the answer says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...design import Box, Target
from ...errors import InputError

if TYPE_CHECKING:
    from .method import ComparisonMethod

__all__ = ["ENOUGH", "RULES", "RegionPosterior", "region_posterior"]

RULES = ("R1", "R2", "R3", "R5")
ENOUGH = 200
"""The pairs of the pool in the region below which a rule falls back."""
# φ of the pool that are weighed where too few of its pairs lie in the region
_WEIGHED = 2048


@dataclass(frozen=True)
class RegionPosterior:
    """Draws of the settings given that m lies in a region.

    Arguments:
        phi: The draws, with shape `(S, P)`.
        m: The properties each was drawn for, with shape `(S, K)`; None without a flow.
        asked: The rule that was asked for.
        rule: The rule that was used.
        hits: The pairs of the pool in the region.
        note: Why another rule was used; empty if it was not.
    """

    phi: NDArray[np.float64]
    m: NDArray[np.float64] | None
    asked: str
    rule: str
    hits: int
    note: str = ""


def region_posterior(
    method: ComparisonMethod, target: Target, rule: str, draws: int, seed: int
) -> RegionPosterior:
    """Draws by a rule; arguments as of `ComparisonMethod.posterior`.

    Raises:
        InputError: If the rule is unknown.
    """
    if rule not in RULES:
        raise InputError(f"'rule' is {rule!r}; choose among {', '.join(RULES)}.")
    pool_phi, pool_m = method.pool
    inside = np.flatnonzero(target.contains(pool_m))
    rng = np.random.default_rng(seed)
    scarce = len(inside) < ENOUGH and rule in ("R1", "R5")
    note = f"only {len(inside)} of {len(pool_m)} pairs lie in the region" if scarce else ""
    if rule == "R5":
        weight = method.probability(target, pool_phi[:_WEIGHED]) if scarce else None
        chosen = _weighed(weight, draws, rng) if weight is not None else rng.choice(inside, draws)
        instead = "are weighed by their probability instead"
        if weight is not None and not weight.sum() > 0:
            instead = "have no probability anywhere, so these are drawn from the prior"
        note = note and f"{note}; settings {instead}"
        return RegionPosterior(pool_phi[chosen], None, rule, rule, len(inside), note)
    used = "R2" if scarce else rule
    note = note and f"{note}; m is uniform in it instead"
    if used == "R1":
        m = pool_m[rng.choice(inside, draws, replace=len(inside) < draws)]
    else:
        m = _placed(target, pool_m, draws, rng if used == "R2" else None)
    generator = torch.Generator().manual_seed(seed)
    scaled: Tensor = method.scaling.m(torch.tensor(m))
    phi = method.flow.sample(scaled, generator)
    return RegionPosterior(phi, m, rule, used, len(inside), note)


def _weighed(
    weight: NDArray[np.float64], draws: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows drawn with these weights; with equal ones if all are zero."""
    p = weight if weight.sum() > 0 else np.ones_like(weight)
    return rng.choice(len(p), draws, p=p / p.sum())


def _placed(
    target: Target, pool: NDArray[np.float64], draws: int, rng: np.random.Generator | None
) -> NDArray[np.float64]:
    """Points m uniform in the region, or at the centre of its largest box without `rng`; an end
    that is infinite is where the pool ends."""
    ends = np.array([_finite(box, pool) for box in target.boxes])
    volumes = np.ptp(ends, axis=1).prod(axis=-1)
    if rng is None:
        return np.repeat(ends[volumes.argmax()].mean(axis=0)[None], draws, axis=0)
    lower, upper = ends[rng.choice(len(ends), draws, p=volumes / volumes.sum())].swapaxes(0, 1)
    return rng.uniform(lower, upper)


def _finite(box: Box, pool: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """The ends of a box, an infinite one at the pool's own, and beyond the other end at least a
    standard deviation of the pool."""
    lower, upper, spread = np.array(box.lower), np.array(box.upper), pool.std(axis=0)
    low = np.minimum(pool.min(axis=0), np.where(np.isfinite(upper), upper, np.inf) - spread)
    high = np.maximum(pool.max(axis=0), np.where(np.isfinite(lower), lower, -np.inf) + spread)
    return np.where(np.isfinite(lower), lower, low), np.where(np.isfinite(upper), upper, high)
