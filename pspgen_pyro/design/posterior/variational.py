r"""Variational approximations of the design posterior, in its unconstrained coordinates.

A guide :math:`q(u, \epsilon)` maximises

.. math::
    \mathrm{ELBO} = \mathbb{E}_q\left[\log \mathcal{N}(u, \epsilon \mid 0, I) + \log w(u, \epsilon)
        - \log q(u, \epsilon)\right] \le \log P(m \in \mathcal{M}_d),

where the right-hand side is over the prior. The shape :math:`\hat k` of the tail of the importance
weights :math:`w\,\mathcal{N} / q` tells whether the guide covers the posterior: up to 0.7 it does,
and resampling its draws by their smoothed weights removes what bias is left; above that it does
not.

References:
    Automated Variational Inference in Probabilistic Programming (Wingate & Weber, 2013)
    Neural Spline Flows (Durkan et al., 2019)
    Yes, but Did It Work?: Evaluating Variational Inference (Yao et al., 2018)
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import pyro
import torch
from pyro import poutine
from pyro.contrib.zuko import ZukoToPyro
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoMultivariateNormal, AutoNormal, init_to_value
from torch import Tensor, nn

from ...io.validation import check_positive, check_seed
from .density import DesignPosterior
from .draws import RELIABLE_PARETO_K, Draws, check_counts

__all__ = ["Flow", "FullRank", "Guide", "MeanField", "fit_svi"]

_POOL = 10


class Guide(ABC):
    """A family of distributions over the coordinates, and Adam's first learning rate for it."""

    learning_rate: ClassVar[float]

    @abstractmethod
    def build(self, posterior: DesignPosterior, start: Tensor) -> Callable[[], Any]:
        """A Pyro guide for the posterior's program, centred on `start` with shape `(D)`;
        its parameters are those of its `parameters()`."""


class _NormalGuide(Guide):
    auto: ClassVar[type[Any]]

    def build(self, posterior: DesignPosterior, start: Tensor) -> Callable[[], Any]:
        first = init_to_value(values={"position": start})
        return self.auto(posterior.program, init_loc_fn=first, init_scale=1.0)


@dataclass(frozen=True)
class MeanField(_NormalGuide):
    """Independent normals (Pyro's AutoNormal)."""

    learning_rate: ClassVar[float] = 0.02
    auto: ClassVar[type[Any]] = AutoNormal


@dataclass(frozen=True)
class FullRank(_NormalGuide):
    """One normal with a full covariance matrix (Pyro's AutoMultivariateNormal)."""

    learning_rate: ClassVar[float] = 0.005
    auto: ClassVar[type[Any]] = AutoMultivariateNormal


@dataclass(frozen=True)
class Flow(Guide):
    """A neural spline flow of coupling transforms (zuko): bends where a normal cannot.

    Arguments:
        transforms: The number of coupling transforms.
        bins: The number of bins of each spline.
        hidden: The widths of the networks' hidden layers.
    """

    learning_rate: ClassVar[float] = 0.005

    transforms: int = 2
    bins: int = 8
    hidden: tuple[int, ...] = (64, 64)

    def build(self, posterior: DesignPosterior, start: Tensor) -> Callable[[], Any]:
        return _FlowGuide(self, posterior.size).to(start)


class _FlowGuide(nn.Module):
    def __init__(self, guide: Flow, size: int) -> None:
        super().__init__()
        import zuko

        # two passes make coupling transforms, which are as fast to draw from as to evaluate
        self.flow = zuko.flows.NSF(
            size,
            passes=min(2, size),
            transforms=guide.transforms,
            bins=guide.bins,
            hidden_features=guide.hidden,
        )

    def forward(self) -> Tensor:
        return pyro.sample("position", ZukoToPyro(self.flow()))


def fit_svi(
    posterior: DesignPosterior,
    *,
    guide: Guide | None = None,
    steps: int = 1000,
    particles: int = 32,
    learning_rate: float | None = None,
    chains: int = 4,
    draws: int = 500,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Draws:
    r"""Fits a guide to the design posterior and draws from it.

    Arguments:
        posterior: The posterior.

    Other arguments:
        guide: The family; `FullRank()` if None.
        steps: Adam steps, with a learning rate that falls to zero along a cosine.
        particles: Draws a step.
        learning_rate: The first learning rate; the guide's own if None.
        chains: The draws, all independent, are returned under this many chain labels.
        draws: Draws a label; they are resampled from ten times as many where the Pareto k allows.
        seed: Seeds the fit and the draws.
        progress: Called with 1 after every step.

    Returns:
        The draws; their statistics are `lp`, the log-density, and `log_weight`, the log of the
        importance weight; `settings` holds the ELBO, the mean of the latter.

    Raises:
        InputError: If a number is not positive, or the seed is none.
    """
    check_counts(steps=steps, particles=particles, chains=chains, draws=draws)
    check_seed(seed)
    family = guide or FullRank()
    rate = family.learning_rate if learning_rate is None else learning_rate
    check_positive(learning_rate=rate)
    begin = time.process_time()
    generator = torch.Generator().manual_seed(seed)
    scouts = posterior.scout(generator)
    start = scouts.resample(256, generator).mean(dim=0)
    with torch.random.fork_rng(), pyro.get_param_store().scope():
        torch.manual_seed(seed)
        law = family.build(posterior, start)
        _fit(posterior, law, steps, particles, rate, progress or (lambda _: None))
        position, log_q = _draw(law, _POOL * chains * draws)
    with torch.no_grad():
        lp = posterior.log_density(position)
    log_weight = (lp - log_q - 0.5 * posterior.size * math.log(2 * math.pi)).double().cpu()
    pareto_k, index = _resample(log_weight, chains * draws, generator)
    return posterior.drawn(
        "SVI",
        position[index].unflatten(0, (chains, draws)),
        generator,
        scouts,
        statistics={
            "lp": lp[index].cpu().numpy().reshape(chains, draws),
            "log_weight": log_weight[index].numpy().reshape(chains, draws),
        },
        seconds=time.process_time() - begin,
        settings={
            "guide": type(family).__name__,
            **asdict(family),  # type: ignore[call-overload]
            "steps": steps,
            "particles": particles,
            "learning_rate": rate,
            "seed": seed,
            "elbo": float(log_weight.mean()),
        },
        pareto_k=pareto_k,
    )


def _fit(
    posterior: DesignPosterior,
    law: Any,
    steps: int,
    particles: int,
    learning_rate: float,
    tick: Callable[[int], object],
) -> None:
    law()  # an autoguide makes its parameters at its first call
    parameters = list(law.parameters())
    optimiser = torch.optim.Adam(parameters, learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    elbo = Trace_ELBO(num_particles=particles, vectorize_particles=True, max_plate_nesting=0)
    for _ in range(steps):
        optimiser.zero_grad()
        # only the guide's parameters: a plain backward would fill the model's gradients too
        elbo.differentiable_loss(posterior.program, law).backward(inputs=parameters)
        nn.utils.clip_grad_norm_(parameters, 10.0)
        optimiser.step()
        schedule.step()
        tick(1)


@torch.no_grad()
def _draw(law: Any, number: int) -> tuple[Tensor, Tensor]:
    """Draws from the guide and their log-densities, with shapes `(number, D)` and
    `(number)`."""
    with pyro.plate("draws", number, dim=-1):
        trace = poutine.trace(law).get_trace()
    trace.compute_log_prob()
    nodes: Any = trace.nodes
    log_q = sum(node["log_prob"] for node in nodes.values() if "log_prob" in node)
    return nodes["position"]["value"], log_q  # type: ignore[return-value]


def _resample(log_weight: Tensor, number: int, generator: torch.Generator) -> tuple[float, Tensor]:
    """The Pareto k, and which draws to keep: by their smoothed weights where k is small enough."""
    from arviz_stats.base.array import array_stats

    smoothed, k = array_stats.psislw(-log_weight.numpy())
    if not k <= RELIABLE_PARETO_K:
        return float(k), torch.arange(number)
    weight = torch.softmax(torch.tensor(smoothed), dim=0)
    return float(k), torch.multinomial(weight, number, replacement=True, generator=generator)
