r"""Finding :math:`\varphi^*`: from many starts, on a fixed Sobol sample of z0.

.. math:: \varphi^* = \arg\max_{\varphi \in U_\varphi} s(\varphi)

with the score :math:`s` of an objective (for a region :math:`\log P(m \in \mathcal{M}_d \mid
\varphi)`). Scouts look first, on a small sample (`scouting`); the starts climb together; the value
at :math:`\varphi^*` is estimated afresh, on points other than those optimised on, and what the
search itself puts on a P is taken off it (`optimism`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError
from ..io.validation import check_instance, check_seed, check_whole
from ..model import PSPGen
from ..model.ensemble import Ensemble
from ..process import ProcessSpace
from .cautious import Cautious, Derived
from .chances import Chance, Probability, least_of
from .constrained import SLSQP
from .estimates import Estimate
from .objectives import Objective
from .optimisers import LBFGS, Climb, Optimiser, Problem
from .optimism import optimism, sobered
from .parsing import Requirement
from .priced import Cheapest, Priced
from .scouting import ascent_starts, scouted
from .support import NOT_CHECKED, UNRESOLVED, Support
from .target import Target
from .tolerance import Tolerance

__all__ = ["Design", "maximise"]

_SCOUT_DRAWS = 64
_FRESH, _SCRAMBLINGS = 1024, 8
_AGREE = 0.05
_RARE = 1e-4
_MOST_STARTS = 10_000


@dataclass(frozen=True)
class Design:
    r"""The answer to one design question.

    Arguments:
        objective: What was asked.
        phi: The settings :math:`\varphi^*`, with shape `(P)`.
        value: The objective's value at :math:`\varphi^*`, from points other than those optimised
            on; of regions their P without the optimism of the search, with a 90 % interval.
        starts: Where each start ended, with shape `(starts, P)`.
        scores: The score of each on the optimised sample, with shape `(starts)`.
        agreed: Which starts ended within 0.05 of the best score, for a region within 5 % of the
            best P.
        active_bounds: The parameters that sit on a bound, as "name = value", and the inequalities
            that are met with equality.
        gradient: The slope of the score at :math:`\varphi^*`, with shape `(P)`, per process unit;
            where a cost counts, of the score of the probability alone.
        curvature: Its second derivatives, with shape `(P, P)`, per process unit squared.
        share: For a region, the model's probability that a material made at settings drawn from
            :math:`p(\varphi)`, as the training data were, lies in it.
        history: The best score after every iteration; of `LBFGS`, those on the small sample first.
        status: "converged", or what went wrong and what to try: "unsupported: …" where P at
            :math:`\varphi^*` is below what its sample resolves or the training data say nothing,
            "converged, but outside the data: …" where they are far from :math:`\varphi^*`.
        seconds: CPU time.
        parts: Of several regions, the P of each, likewise; of one that is `value`.
        cost: What :math:`\varphi^*` costs, if that was asked.
    """

    objective: Objective
    phi: NDArray[np.float64]
    value: Estimate
    starts: NDArray[np.float64]
    scores: NDArray[np.float64]
    agreed: NDArray[np.bool_]
    active_bounds: tuple[str, ...]
    gradient: NDArray[np.float64]
    curvature: NDArray[np.float64]
    share: float | None
    history: NDArray[np.float64]
    status: str
    seconds: float
    parts: tuple[Estimate, ...] = ()
    cost: float | None = None

    @property
    def target(self) -> Target:
        """The region that was asked for.

        Raises:
            InputError: If the objective asks for none, or for several.
        """
        if not self.targets:
            raise InputError(f"this design was for {self.objective}, which asks for no region.")
        if len(self.targets) > 1:
            raise InputError(
                f"this design was for {len(self.targets)} targets; give one of them, or read "
                "'targets'."
            )
        return next(iter(self.targets))

    @property
    def targets(self) -> tuple[Target, ...]:
        """The regions that were asked for."""
        return self.objective.regions

    @property
    def tolerance(self) -> Tolerance | None:
        r"""How well :math:`\varphi^*` is held; exactly if None."""
        return self.objective.tolerance if isinstance(self.objective, Chance) else None

    @property
    def cautious(self) -> bool:
        """Whether the lower end of the interval of P counted."""
        asked = self.objective
        while isinstance(asked, Derived) and not isinstance(asked, Cautious):
            asked = asked.of
        return isinstance(asked, Cautious)

    @property
    def probability(self) -> Estimate:
        r"""P at :math:`\varphi^*`; of several targets their product or the least of them.

        Raises:
            InputError: If the objective asks for no region.
        """
        if not self.targets:
            raise InputError(
                f"this design was for {self.objective}, not for the probability of a region; read "
                "'value' instead."
            )
        return self.value

    def __str__(self) -> str:
        phi = ", ".join(f"{value:.3f}" for value in self.phi)
        told = [f"φ* = ({phi}): {self.objective} = {self.value}"]
        if len(self.parts) > 1:
            told += [f"P({t.event}) = {p}" for t, p in zip(self.targets, self.parts, strict=True)]
        if self.cost is not None:
            told.append(f"cost {self.cost:.6g}")
        told.append(f"{self.agreed.sum()} of {len(self.agreed)} starts agree")
        return "; ".join([*told, self.status])


def maximise(
    model: PSPGen | Ensemble,
    target: Target | Requirement | Objective,
    *,
    optimiser: Optimiser | None = None,
    starts: int = 8,
    draws: int = 512,
    iterations: int = 200,
    support: Support | None = None,
    seed: int = 0,
) -> Design:
    r"""Maximises :math:`P(m \in \mathcal{M}_d \mid \varphi)`, or another objective, over the
    process space.

    Arguments:
        model: The trained model, or an ensemble, which is climbed as one model is.
        target: The region, what is wanted by the properties' names, or an objective, such as
            `Cautious`.

    Other arguments:
        optimiser: How to climb; `LBFGS(iterations)` if None, `SLSQP(iterations)` for `Least` and
            `Cheapest`.
        starts: How many starts climb together: the better half of them from the best of 256
            scouts, the others from scouts spread over the process space.
        draws: Sobol points of the fixed sample.
        iterations: The largest number of iterations of the default optimiser.
        support: The properties that the model learned from, as `Run.support` holds them; without
            them the model's own share of the target stands in, and the status says so.
        seed: Seeds the scouts, the sample and the optimiser.

    Raises:
        InputError: If the target has another dimension than m, a number is not positive, or an
            ensemble is given an objective of one model.
    """
    if isinstance(target, Requirement):
        target = target.resolve(model.schema)
    objective = Probability(target) if isinstance(target, Target) else target
    check_instance(Objective, "a target or an objective", target=objective)
    objective.check(model)
    check_whole(starts=starts, most=_MOST_STARTS)
    check_whole(draws=draws, iterations=iterations)
    check_seed(seed)
    if support is not None:
        check_instance(Support, "a Support, such as `run.support`", support=support)
    if optimiser is not None:
        check_instance(Optimiser, "an LBFGS, an Adam, an SGD or an SLSQP", optimiser=optimiser)
    chosen = _chosen(objective, optimiser, iterations)
    begin = time.process_time()
    regions = objective.regions
    doubts = [] if support is None else [support.verdict(region) for region in regions]
    for member in model.members:
        member.eval()
    noise = objective.sample(model, draws, seed)
    objective = objective.prepared(model, noise[:_SCOUT_DRAWS])
    problem = Problem(model, objective, noise, seed)
    scouts, scores = scouted(problem, starts)
    share = _share(problem, regions, scouts, draws)
    climb = chosen.climb(problem, ascent_starts(problem, scouts, scores, starts))
    scores = problem.score(climb.unit)
    best = int(np.argmax(scores))
    phi = problem.settings(climb.unit)
    value, parts, doubtful = _value(problem, phi[best], scouts, share)
    here = (model, model.tensor(phi[best : best + 1]), noise)
    gradient, curvature = _sensitivity(problem, phi[best])
    cost = objective.cost if isinstance(objective, (Priced, Cheapest)) else None
    return Design(
        objective=objective,
        phi=phi[best],
        value=value,
        starts=phi,
        scores=scores,
        agreed=scores > scores[best] + np.log1p(-_AGREE),
        active_bounds=_active(problem.space, phi[best]),
        gradient=gradient,
        curvature=curvature,
        share=share,
        history=climb.history,
        status=objective.unmet(*here)
        or next(filter(None, doubts), "")
        or doubtful
        or _unfinished(climb, value, gradient)
        or _unchecked(regions, support, share)
        or (support.outside(phi[best], model.process) if regions and support else "")
        or "converged",
        seconds=time.process_time() - begin,
        parts=parts,
        cost=None if cost is None else float(cost(torch.tensor(phi[best : best + 1]))[0]),
    )


def _chosen(objective: Objective, optimiser: Optimiser | None, iterations: int) -> Optimiser:
    if optimiser is None:
        return LBFGS(iterations) if objective.smooth else SLSQP(iterations)
    if not (objective.smooth or isinstance(optimiser, SLSQP)):
        raise InputError(
            f"'optimiser' is {type(optimiser).__name__}, which cannot climb a score with kinks or "
            f"constraints as this {type(objective).__name__} has; leave it out."
        )
    return optimiser


def _share(
    problem: Problem, regions: Sequence[Target], scouts: NDArray[np.float64], draws: int
) -> float | None:
    """The model's probability, for the rarest of the regions, of a material at settings like the
    training data's."""
    shares = []
    for region in regions:
        alone = Probability(region)
        noise = alone.sample(problem.model, min(draws, _SCOUT_DRAWS), problem.seed)
        whole = replace(problem, objective=alone, noise=noise)
        shares.append(float(np.exp(whole.score(scouts)).mean()))
    return min(shares, default=None)


def _value(
    problem: Problem, phi: NDArray[np.float64], scouts: NDArray[np.float64], share: float | None
) -> tuple[Estimate, tuple[Estimate, ...], str]:
    """The value at φ*, that of each target, and whether the model gives it any P to speak of."""
    model, fresh = problem.model, {"draws": _FRESH, "replicates": _SCRAMBLINGS}
    fresh["seed"] = problem.seed + 1
    if not isinstance(problem.objective, Chance):
        value = problem.objective.estimate(model, phi, **fresh)
        return value, (), _lost(value, share)
    groups, parts = problem.objective.estimates(model, phi, **fresh)
    doubtful = _lost(least_of(groups), share)
    if len(groups[0].members) > 1:
        off = optimism(problem, scouts)
        groups = [sobered(p, o) for p, o in zip(groups, off.groups, strict=True)]
        parts = [sobered(p, o) for p, o in zip(parts, off.parts, strict=True)]
    return least_of(groups), tuple(parts), doubtful


def _sensitivity(
    problem: Problem, phi: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The gradient and the second derivatives of the score at one φ, in process units."""
    inputs = problem.model.tensor(phi).requires_grad_()
    score = problem.objective.told(problem.model, inputs.unsqueeze(0), problem.noise).sum()
    (gradient,) = torch.autograd.grad(score, inputs, create_graph=True)
    rows = [torch.autograd.grad(slope, inputs, retain_graph=True)[0] for slope in gradient]
    hessian = torch.stack(rows)
    return (
        gradient.detach().double().cpu().numpy(),
        (0.5 * (hessian + hessian.mT)).double().cpu().numpy(),
    )


def _active(process: ProcessSpace, phi: NDArray[np.float64]) -> tuple[str, ...]:
    """The bounds and the inequalities that φ sits on."""
    found = []
    for name, setting, value in zip(process.names, process.settings, phi, strict=True):
        low, high = setting.bounds
        if setting.levels is None and min(value - low, high - value) < 1e-6 * (high - low):
            found.append(f"{name} = {low if value - low < high - value else high:g}")
    return (*found, *process.feasible.met(phi))


def _lost(value: Estimate, share: float | None) -> str:
    """Whether the model gives the target no probability to speak of."""
    p, least = float(value.value), 1 / (_FRESH * _SCRAMBLINGS)
    lost = share is not None and p < max(3 * float(value.standard_error), least)
    return UNRESOLVED if lost else ""


def _unfinished(climb: Climb, value: Estimate, gradient: NDArray[np.float64]) -> str:
    """Why the climb is no answer, if it is none."""
    if not np.isfinite([float(value.value), *gradient]).all():
        return (
            "not converged: the value or its slope is not finite here; check the model's weights, "
            "or work in double precision"
        )
    return "" if climb.converged else climb.message


def _unchecked(regions: Sequence[Target], support: Support | None, share: float | None) -> str:
    """What can be said of the regions' support without the training properties."""
    if not regions or support is not None:
        return ""
    if share is not None and share < _RARE:
        return (
            f"unsupported: by the model {share:.1g} of the materials made at settings like the "
            "training data's lie in this target, so hardly any was learned from; simulate at φ* "
            "before you trust its P"
        )
    return f"converged; {NOT_CHECKED}"
