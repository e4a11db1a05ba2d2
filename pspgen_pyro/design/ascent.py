r"""Finding :math:`\varphi^*`: from many starts, on a fixed Sobol sample of z0.

.. math:: \varphi^* = \arg\max_{\varphi \in U_\varphi} s(\varphi)

with the score :math:`s` of an objective (for a region :math:`\log P(m \in \mathcal{M}_d \mid
\varphi)`). Scouts look first, on a small sample (`scouting`); the starts climb together; the value
at :math:`\varphi^*` is estimated afresh, on points other than those optimised on, and what the
search itself puts on a P is taken off it (`optimism`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError
from ..model import PSPGen
from ..model.ensemble import Ensemble
from ..process import ProcessSpace
from .estimates import EnsembleEstimate, Estimate
from .objectives import Objective, Probability
from .optimisers import LBFGS, Climb, Optimiser, Problem
from .optimism import optimism, sobered
from .parsing import Requirement
from .probability import sobol_normal
from .scouting import ascent_starts, scouted
from .support import NOT_CHECKED, UNRESOLVED, Support
from .target import Target

__all__ = ["Design", "maximise"]

_SCOUT_DRAWS = 64
_FRESH, _SCRAMBLINGS = 1024, 8
_AGREE = 0.05
_RARE = 1e-4


@dataclass(frozen=True)
class Design:
    r"""The answer to one design question.

    Arguments:
        objective: What was asked.
        phi: The settings :math:`\varphi^*`, with shape `(P)`.
        value: The objective's value at :math:`\varphi^*`, from points other than those optimised
            on; of a region its P without the optimism of the search, with a 90 % interval.
        starts: Where each start ended, with shape `(starts, P)`.
        scores: The score of each on the optimised sample, with shape `(starts)`.
        agreed: Which starts ended within 0.05 of the best score, for a region within 5 % of the
            best P.
        active_bounds: The parameters that sit on a bound, as "name = value", and the inequalities
            that are met with equality.
        gradient: The slope of the score at :math:`\varphi^*`, with shape `(P)`, per process unit.
        curvature: Its second derivatives, with shape `(P, P)`, per process unit squared.
        share: For a region, the model's probability that a material made at settings drawn from
            :math:`p(\varphi)`, as the training data were, lies in it.
        history: The best score after every iteration; of `LBFGS`, those on the small sample first.
        status: "converged", or what went wrong and what to try: "unsupported: …" where P at
            :math:`\varphi^*` is below what its sample resolves or the training data say nothing.
        seconds: CPU time.
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

    @property
    def target(self) -> Target:
        """The region that was asked for.

        Raises:
            InputError: If the objective asks for none.
        """
        if (region := self.objective.region) is None:
            raise InputError(f"this design was for {self.objective}, which asks for no region.")
        return region

    @property
    def probability(self) -> Estimate:
        r"""P at :math:`\varphi^*`.

        Raises:
            InputError: If the objective asks for no region.
        """
        if self.objective.region is None:
            raise InputError(
                f"this design was for {self.objective}, not for the probability of a region; read "
                "'value' instead."
            )
        return self.value

    def __str__(self) -> str:
        phi = ", ".join(f"{value:.3f}" for value in self.phi)
        return (
            f"φ* = ({phi}): {self.objective} = {self.value}; {self.agreed.sum()} of "
            f"{len(self.agreed)} starts agree; {self.status}"
        )


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
        optimiser: How to climb; `LBFGS(iterations)` if None.
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
    objective.check(model)
    if min(starts, draws, iterations) < 1:
        raise InputError(
            f"'starts' {starts}, 'draws' {draws} and 'iterations' {iterations} must all be at "
            "least 1."
        )
    begin = time.process_time()
    region = objective.region
    doubt = support.verdict(region) if support is not None and region is not None else ""
    for member in model.members:
        member.eval()
    noise = sobol_normal(draws, model.dims.latent, seed, model.m_loc.dtype).to(model.m_loc.device)
    objective = objective.prepared(model, noise[:_SCOUT_DRAWS])
    problem = Problem(model, objective, noise, seed)
    scouts, scores = scouted(problem, starts)
    first, share = ascent_starts(problem, scouts, scores, starts), None
    if region is not None:
        whole = replace(problem, objective=Probability(region)).coarse(_SCOUT_DRAWS)
        share = float(np.exp(whole.score(scouts)).mean())
    climb = (optimiser or LBFGS(iterations)).climb(problem, first)
    scores = problem.score(climb.unit)
    best = int(np.argmax(scores))
    phi = problem.settings(climb.unit)
    fresh = {"draws": _FRESH, "replicates": _SCRAMBLINGS, "seed": seed + 1}
    value = objective.estimate(model, phi[best], **fresh)
    doubtful = _lost(value, share)
    if isinstance(value, EnsembleEstimate) and len(value.members) > 1:
        value = sobered(value, optimism(problem, value.target, scouts))
    gradient, curvature = _sensitivity(problem, phi[best])
    return Design(
        objective=objective,
        phi=phi[best],
        value=value,
        starts=phi,
        scores=scores,
        agreed=scores > scores[best] + np.log1p(-_AGREE),
        active_bounds=_active(model.process, phi[best]),
        gradient=gradient,
        curvature=curvature,
        share=share,
        history=climb.history,
        status=doubt
        or doubtful
        or _unfinished(climb, value, gradient)
        or _unchecked(region, support, share)
        or "converged",
        seconds=time.process_time() - begin,
    )


def _sensitivity(
    problem: Problem, phi: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The gradient and the second derivatives of the score at one φ, in process units."""
    inputs = problem.model.tensor(phi).requires_grad_()
    score = problem.objective.score(problem.model, inputs.unsqueeze(0), problem.noise).sum()
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


def _unchecked(region: Target | None, support: Support | None, share: float | None) -> str:
    """What can be said of a region's support without the training properties."""
    if region is None or support is not None:
        return ""
    if share is not None and share < _RARE:
        return (
            f"unsupported: by the model {share:.1g} of the materials made at settings like the "
            "training data's lie in this target, so hardly any was learned from; simulate at φ* "
            "before you trust its P"
        )
    return f"converged; {NOT_CHECKED}"
