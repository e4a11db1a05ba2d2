r"""Finding :math:`\varphi^*`: multi-start, bounded L-BFGS-B on a fixed Sobol sample.

All starts are stacked in one problem, :math:`\min \sum_i -\log P(m \in \mathcal{M}_d \mid
\varphi_i)`, whose gradient is one backward pass; the bounds are those of the process space, mapped
to the unit cube.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from ..errors import InputError
from ..model import PSPGen
from .probability import Estimate, log_probability, probability, sobol_normal
from .target import Box

__all__ = ["Design", "maximise"]

_SCOUTS = 256
_AGREE = 0.05


@dataclass(frozen=True)
class Design:
    r"""The answer to one design question.

    Arguments:
        target: What was asked.
        phi: The settings :math:`\varphi^*`, with shape `(P)`.
        probability: The model's P at :math:`\varphi^*`, from points other than those optimised on.
        starts: Where each start ended, with shape `(starts, P)`.
        log_probabilities: The log P of each on the optimised sample, with shape `(starts)`.
        agreed: Which starts ended within 5 % of the best P.
        active_bounds: The parameters that sit on a bound, as "name = value".
        status: "converged", or what went wrong and what to try.
        seconds: CPU time.
    """

    target: Box
    phi: NDArray[np.float64]
    probability: Estimate
    starts: NDArray[np.float64]
    log_probabilities: NDArray[np.float64]
    agreed: NDArray[np.bool_]
    active_bounds: tuple[str, ...]
    status: str
    seconds: float

    def __str__(self) -> str:
        phi = ", ".join(f"{value:.3f}" for value in self.phi)
        return (
            f"φ* = ({phi}): P(m ∈ {self.target}) = {self.probability}; {self.agreed.sum()} of "
            f"{len(self.agreed)} starts agree; {self.status}"
        )


def maximise(
    model: PSPGen,
    target: Box,
    *,
    starts: int = 8,
    draws: int = 512,
    iterations: int = 200,
    seed: int = 0,
) -> Design:
    r"""Maximises :math:`P(m \in \mathcal{M}_d \mid \varphi)` over the process space.

    Arguments:
        model: The trained model.
        target: The box.

    Other arguments:
        starts: How many starts climb together: the better half of them from the best of 256
            scouts, the others from scouts spread over the process space.
        draws: Sobol points of the fixed sample.
        iterations: The largest number of L-BFGS-B iterations.
        seed: Seeds the scouts and the sample.

    Raises:
        InputError: If the target has another dimension than m, or a number is not positive.
    """
    target.check_against(model.dims.properties)
    if min(starts, draws, iterations) < 1:
        raise InputError(
            f"'starts' {starts}, 'draws' {draws} and 'iterations' {iterations} must all be at "
            "least 1."
        )
    begin = time.process_time()
    model.eval()
    noise = sobol_normal(draws, model.dims.latent, seed, model.m_loc.dtype).to(model.m_loc.device)
    low = np.array(model.process.lower)
    span = np.array(model.process.upper) - low

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        unit = torch.tensor(flat.reshape(-1, len(low)), requires_grad=True)
        phi = (torch.tensor(low) + torch.tensor(span) * unit).to(model.m_loc)
        value = -log_probability(model, target, phi, noise).double().sum()
        (gradient,) = torch.autograd.grad(value, unit)
        return value.item(), gradient.numpy().ravel()

    def log_p(unit: NDArray[np.float64]) -> NDArray[np.float64]:
        with torch.no_grad():
            phi = torch.tensor(low + span * unit).to(model.m_loc)
            return log_probability(model, target, phi, noise).double().cpu().numpy()

    scouts = (
        torch.quasirandom.SobolEngine(len(low), scramble=True, seed=seed).draw(_SCOUTS).numpy()
    )
    first = scouts.astype(float)[_choose(log_p(scouts), starts)]
    result = minimize(
        objective,
        first.ravel(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, 1.0)] * first.size,
        options={"maxiter": iterations, "maxcor": 20, "ftol": 1e-10, "gtol": 1e-5},
    )
    ends = result.x.reshape(first.shape)
    values = log_p(ends)
    best = int(np.argmax(values))
    phi = np.clip(low + span * ends[best], model.process.lower, model.process.upper)
    estimate = probability(model, target, phi, seed=seed + 1)
    return Design(
        target=target,
        phi=phi,
        probability=estimate,
        starts=low + span * ends,
        log_probabilities=values,
        agreed=values > values[best] + np.log1p(-_AGREE),
        active_bounds=_active(model, ends[best]),
        status=_status(result, estimate),
        seconds=time.process_time() - begin,
    )


def _choose(values: NDArray[np.float64], starts: int) -> NDArray[np.intp]:
    order = np.argsort(-values)
    best = order[: (starts + 1) // 2]
    spread = np.setdiff1d(np.arange(len(values)), best)[: starts - len(best)]
    return np.concatenate([best, spread])


def _active(model: PSPGen, unit: NDArray[np.float64]) -> tuple[str, ...]:
    process = model.process
    ends = zip(process.names, process.lower, process.upper, unit, strict=True)
    return tuple(
        f"{name} = {low if u < 0.5 else high:g}"
        for name, low, high, u in ends
        if min(u, 1 - u) < 1e-6
    )


def _status(result: object, estimate: Estimate) -> str:
    if float(estimate.value) < 3 * float(estimate.standard_error) or float(estimate.value) < 1e-4:
        return (
            "unsupported: the model gives this target no probability that its sample resolves; "
            "choose a target "
            "nearer to the training data, or simulate there"
        )
    if not getattr(result, "success", False):
        return f"not converged ({getattr(result, 'message', '')}); try more iterations"
    return "converged"
