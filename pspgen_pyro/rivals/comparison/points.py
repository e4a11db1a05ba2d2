r"""One setting φ* from :math:`p(\varphi \mid m \in \mathcal{M}_d)`, by four rules.

* **mean**: the mean of its draws;
* **mode**: the maximum of :math:`\log \frac{1}{M} \sum_i q(\varphi \mid m_i)`, the density of the
  flow over m in the region, climbed in the logits of φ from several starts;
* **best**: of 256 of its draws the one with the largest :math:`P(m \in \mathcal{M}_d \mid
  \varphi)` by the Gaussian processes;
* **argmax**: the maximum of that P over all φ, climbed from several starts on common random
  numbers.

With a uniform prior, mode and argmax aim at the same place and the mean does not: where the
optimum is a corner of the process space a mean lies inside it. Every P that is reported comes from
fresh draws, since the largest of many estimates flatters itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from ...design import Target
from .regions import RegionPosterior

if TYPE_CHECKING:
    from .method import ComparisonMethod

__all__ = ["POINTS", "DesignPoint", "points_of"]

POINTS = ("mean", "mode", "best", "argmax")
_BEST_OF, _FRESH = 256, 10_000
# Sobol draws that choose the finalists among the 256, how many, and draws that choose among those
_SCREENED, _FINALISTS, _SCORED = 256, 12, 2048
# properties in the mixture whose mode is sought, the starts, and draws for the argmax
_MIXED, _STARTS, _CLIMBED = 64, 3, 512
# relative tolerances of a climb; the density is as uneven as the integration along the path
_EVEN, _UNEVEN = 1e-6, 1e-4
# logits beyond which φ is at its bound
_FAR = 9.0


@dataclass(frozen=True)
class DesignPoint:
    """A setting, and what the method itself says of it.

    Arguments:
        point: The rule that chose it among the settings.
        posterior: The rule of the posterior that was used.
        phi: The setting, with shape `(P,)`.
        probability: The method's own P there, from fresh draws.
        standard_error: The Monte-Carlo standard error of that P.
        note: What was done otherwise than asked; empty if nothing.
    """

    point: str
    posterior: str
    phi: NDArray[np.float64]
    probability: float
    standard_error: float
    note: str = ""


def points_of(
    method: ComparisonMethod,
    target: Target,
    posterior: RegionPosterior,
    points: Sequence[str],
    seed: int,
) -> dict[str, DesignPoint]:
    """The settings by the rules `points`; without a flow there is no mode.

    Arguments:
        method: The fitted method.
        target: The region.
        posterior: Draws of the settings, at least 256 for the best of as many.
        points: The rules, of `POINTS`.
        seed: Seeds the draws that choose; those that report are others.
    """
    rules: dict[str, Callable[[], NDArray[np.float64]]] = {
        "mean": lambda: posterior.phi.mean(axis=0),
        "mode": lambda: _mode(method, posterior),
        "best": lambda: _best(method, target, posterior.phi[:_BEST_OF], seed),
        "argmax": lambda: _argmax(method, target, seed),
    }
    found = {}
    for name in points:
        if name == "mode" and posterior.m is None:
            continue
        phi = rules[name]()
        p, error = method.estimate(target, phi[None], _FRESH, seed + 1)
        numbers = float(p[0]), float(error[0])
        found[name] = DesignPoint(name, posterior.rule, phi, *numbers, posterior.note)
    return found


def _mode(method: ComparisonMethod, posterior: RegionPosterior) -> NDArray[np.float64]:
    """The mode of the mixture of the flow over m in the region."""
    flow, phi = method.flow, torch.tensor(posterior.phi[:_MIXED])
    m: Tensor = method.scaling.m(torch.tensor(posterior.m))[:_MIXED]

    def log_density(phi: Tensor) -> Tensor:
        pairs = phi.repeat_interleave(len(m), dim=0), m.repeat(len(phi), 1)
        return flow.log_density(*pairs).view(len(phi), len(m)).logsumexp(dim=-1)

    with torch.no_grad():
        best = phi[log_density(phi).topk(min(_STARTS, len(phi))).indices]
    share = ((best - flow.lower) / flow.range).clamp(1e-3, 1 - 1e-3)
    logits = torch.special.logit(share).numpy()

    def place(u: Tensor) -> Tensor:
        return flow.lower + flow.range * torch.sigmoid(u)

    found = _climbed(lambda u: log_density(place(u)), logits, (-_FAR, _FAR), _UNEVEN)
    return place(torch.tensor(found)).numpy()


def _best(
    method: ComparisonMethod, target: Target, phi: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """The setting with the largest P, by draws common to all; few draws choose the finalists."""
    p = method.common([target], phi, _SCREENED, seed + 2)[0]
    last = phi[np.argsort(-p, kind="stable")[:_FINALISTS]]
    p = method.common([target], last, _SCORED, seed + 3)[0]
    return last[p.argmax()]


def _argmax(method: ComparisonMethod, target: Target, seed: int) -> NDArray[np.float64]:
    """The setting with the largest P of all, by climbing from the best of a Sobol sequence."""
    process, noise = method.process, method.noise(_CLIMBED, seed + 4)
    lower, upper = (torch.tensor(e, dtype=torch.float64) for e in (process.lower, process.upper))
    engine = torch.quasirandom.SobolEngine(len(process), scramble=True, seed=seed)
    shares = engine.draw(_BEST_OF, dtype=torch.float64)

    def place(share: Tensor) -> Tensor:
        return lower + (upper - lower) * share

    p = method.common([target], place(shares).numpy(), _SCREENED, seed + 4)[0]
    found = _climbed(
        lambda share: method.log_probability(target, place(share), noise),
        shares[torch.tensor(p).topk(_STARTS).indices].numpy(),
        (0.0, 1.0),
        _EVEN,
    )
    return np.clip(place(torch.tensor(found)).numpy(), process.lower, process.upper)


def _climbed(
    value: Callable[[Tensor], Tensor],
    starts: NDArray[np.float64],
    ends: tuple[float, float],
    tolerance: float,
) -> NDArray[np.float64]:
    """Where L-BFGS finds the largest value from the best of its starts with shape `(S, P)`, which
    climb the sum of their values side by side, to a relative tolerance."""

    def downhill(u: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        place = torch.tensor(u.reshape(starts.shape), requires_grad=True)
        height = value(place).sum()
        (slope,) = torch.autograd.grad(height, place)
        return -float(height.detach()), -slope.double().numpy().ravel()

    with torch.enable_grad():
        options = {"maxiter": 60, "maxls": 10, "ftol": tolerance}
        bounds = [ends] * starts.size
        run = minimize(
            downhill, starts.ravel(), jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
    found = run.x.reshape(starts.shape)
    with torch.no_grad():
        return found[int(value(torch.tensor(found)).argmax())]
