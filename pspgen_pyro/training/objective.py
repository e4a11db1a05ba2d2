r"""The training objectives, term by term (Eq. 12–17).

`ELBO`, the method's and the default:

.. math::
    \mathcal{L} = \underbrace{\mathbb{E}_q[\log p(x \mid z)]}_{x}
        + \underbrace{\mathbb{E}_q[\log p(m \mid z)]}_{m}
        - \beta\,\underbrace{\mathrm{KL}(q(z_0 \mid x, m, \varphi) \,\|\, p(z_0 \mid
          \varphi))}_{\mathrm{KL}}

`ImportanceWeighted`, a tighter bound on the evidence :math:`\log p(x, m \mid \varphi)` from K
draws of the guide:

.. math::
    \mathcal{L}_K = \mathbb{E}_{z^{1:K} \sim q} \log \frac{1}{K} \sum_{k=1}^{K}
        \frac{p(x \mid z^k)\, p(m \mid z^k)\, p(z_0^k \mid \varphi)}{q(z_0^k \mid x, m, \varphi)}

Either may be joined by `MarginalProperty`, :math:`w \log p(m \mid \varphi)`: what a design asks
for, and what the bounds above teach only through z0.

Each term is read off the Pyro trace of the model, so whatever the model samples is what is
trained. The Kullback–Leibler term of the ELBO is closed-form where torch knows it and a one-draw
estimate otherwise; the other expectations use reparametrised draws.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pyro import poutine
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from ..errors import InputError
from ..io.kinds import described
from .stages import has_code

if TYPE_CHECKING:
    from ..model import PSPGen

__all__ = [
    "ELBO",
    "ImportanceWeighted",
    "MarginalProperty",
    "Objective",
    "Terms",
    "elbo_terms",
    "objective_to_json",
]


@dataclass(frozen=True)
class Terms:
    """The terms of the objective, each a mean over the batch, in nats.

    Arguments:
        x: The log-likelihood of the microstructures, summed over pixels.
        m: The log-likelihood of the properties, in their own units.
        kl: The Kullback–Leibler divergence, without β.
        others: What the chosen objective has besides, by name: `kl_counted` of free bits, `bound`
            of importance weights, `marginal` of the properties given φ.
    """

    x: Tensor
    m: Tensor
    kl: Tensor
    others: Mapping[str, Tensor] = field(default_factory=dict)

    def named(self) -> dict[str, Tensor]:
        """The terms by name."""
        return {"x": self.x, "m": self.m, "kl": self.kl, **self.others}

    def loss(self, beta: float) -> Tensor:
        """The negative ELBO."""
        return beta * self.kl - self.x - self.m

    def values(self) -> dict[str, float]:
        """The terms as plain numbers."""
        return {name: term.item() for name, term in self.named().items()}


@dataclass(frozen=True)
class MarginalProperty:
    r"""The extra term :math:`w \log p(m \mid \varphi)`, by Monte Carlo over the prior.

    .. math::
        \log p(m \mid \varphi) \approx \log \frac{1}{K} \sum_{k=1}^{K} p(m \mid z_0^k, z_1),
        \qquad z_0^k = T_\varphi(\epsilon^k), \quad \epsilon^k \sim \mathcal{N}(0, I)

    with the prior's transport T. The mean inside the logarithm is unbiased, the logarithm is not:
    on average it lies below :math:`\log p(m \mid \varphi)`, to first order by half the relative
    variance of p over K: a lower bound, tighter with more draws. A bare pair adds nothing.

    Arguments:
        weight: The weight w.
        draws: The number K of draws a triad.

    Raises:
        InputError: If a number is not positive.
    """

    weight: float = 20.0
    draws: int = 64
    name: ClassVar[str] = "marginal"

    def __post_init__(self) -> None:
        if not (self.weight > 0 and self.draws >= 1):
            raise InputError(
                f"'weight' is {self.weight} and 'draws' is {self.draws}; both must be positive."
            )

    def check_against(self, model: PSPGen) -> None:
        """Raises an InputError if p(m | φ) is learned before the epochs."""
        if has_code(model):
            raise InputError(
                "'objective' has a MarginalProperty, but the stages of a model with a property "
                "code learn p(m | φ) before the epochs and hold it fixed; leave the term out."
            )

    def __call__(self, model: PSPGen, phi: Tensor, m: Tensor) -> Tensor:
        """The mean of log p(m | φ) over the batch, without the weight; 0 for bare pairs."""
        known = m.isfinite().all(-1)
        total, phi, m = len(phi), phi[known], m[known]
        if not len(phi):
            return phi.new_zeros(())
        noise = torch.randn(self.draws, len(phi), model.dims.latent).to(phi)
        z1 = model.latent_of_process(phi).expand(self.draws, -1, -1)
        inner = model.standardise(phi).expand(self.draws, -1, -1)
        law = model.property_given(model.prior.transport(noise, inner), z1)
        given = law.log_prob(m).logsumexp(0) - math.log(self.draws)
        return given.sum() / total


class Objective(ABC):
    """What training ascends: a bound, and extra terms."""

    extra: tuple[MarginalProperty, ...]

    def check_against(self, model: PSPGen) -> None:
        """Raises an InputError that says why the objective does not fit a model, if so."""
        if len(self.extra) > 1:
            raise InputError(
                f"'extra' has {len(self.extra)} terms of one kind; give one with the weight of "
                "them all."
            )
        for term in self.extra:
            term.check_against(model)

    @abstractmethod
    def bound(self, model: PSPGen, *batch: Any) -> Terms:
        """The terms of the bound alone; arguments as of `elbo_terms`."""

    @abstractmethod
    def loss_of_bound(self, values: Mapping[str, Any], beta: float) -> Any:
        """The negative bound from its terms by name, be they tensors or numbers."""

    def __call__(self, model: PSPGen, *batch: Any) -> Terms:
        """All terms on one batch, differentiable; arguments as of `elbo_terms`."""
        terms = self.bound(model, *batch)
        phi, _, m, *_ = batch
        extra = {term.name: term(model, phi, m) for term in self.extra}
        return dataclasses.replace(terms, others={**terms.others, **extra})

    def loss(self, values: Mapping[str, Any], beta: float) -> Any:
        """The negative objective from its terms by name, be they tensors or numbers."""
        loss = self.loss_of_bound(values, beta)
        for term in self.extra:
            loss = loss - term.weight * values[term.name]
        return loss


@dataclass(frozen=True)
class ELBO(Objective):
    r"""The evidence lower bound, with β of the model on its divergence.

    With free bits an entry j of z0 is charged only for what it holds above λ nats on average over
    the batch,

    .. math:: \mathrm{KL} \to \sum_j \max(\lambda, \overline{\mathrm{KL}}_j),

    so that no entry is pressed to the prior for the sake of its first few nats.

    Arguments:
        free_bits: The threshold λ in nats.
        extra: Extra terms.

    Raises:
        InputError: If `free_bits` is negative.

    References:
        Improving Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
    """

    free_bits: float = 0.0
    extra: tuple[MarginalProperty, ...] = ()

    def __post_init__(self) -> None:
        if not self.free_bits >= 0:
            raise InputError(f"'free_bits' is {self.free_bits}; it must be 0 or more nats.")

    def check_against(self, model: PSPGen) -> None:
        super().check_against(model)
        if self.free_bits:
            p = model.prior(model.phi_loc.new_zeros(1, model.dims.process))
            unit = Normal(torch.zeros(1, model.dims.latent).to(model.phi_loc), 1.0)
            _entry_divergence(Independent(unit, 1), p)

    def bound(self, model: PSPGen, *batch: Any) -> Terms:
        terms, q, p = _elbo(model, *batch)
        if not self.free_bits:
            return terms
        counted = _entry_divergence(q, p).mean(0).clamp(min=self.free_bits).sum()
        return dataclasses.replace(terms, others={"kl_counted": counted})

    def loss_of_bound(self, values: Mapping[str, Any], beta: float) -> Any:
        kl = values["kl_counted" if self.free_bits else "kl"]
        return beta * kl - values["x"] - values["m"]


@dataclass(frozen=True)
class ImportanceWeighted(Objective):
    r"""The importance-weighted bound :math:`\mathcal{L}_K`: at one draw the ELBO with its
    divergence by one draw, and never looser with more.

    The terms x, m and KL are those of the ELBO, averaged over the same draws; `bound` is what is
    ascended. As K grows, the guide's gradient drowns in its noise.

    Arguments:
        draws: The number K of draws a triad.
        extra: Extra terms.

    Raises:
        InputError: If the number of draws is not positive.

    References:
        Importance Weighted Autoencoders (Burda et al., 2016);
        Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018)
    """

    draws: int = 8
    extra: tuple[MarginalProperty, ...] = ()

    def __post_init__(self) -> None:
        if not self.draws >= 1:
            raise InputError(f"'draws' is {self.draws}; it must be positive.")

    def check_against(self, model: PSPGen) -> None:
        super().check_against(model)
        if model.beta != 1:
            raise InputError(
                "'objective' is ImportanceWeighted, a bound on the evidence without a "
                f"divergence to weigh, but the model has β = {model.beta:g}; build it with "
                "`beta=1`."
            )

    def bound(self, model: PSPGen, *batch: Any) -> Terms:
        phi, x, m, *code = batch
        q = model.latent_given(x, m, phi, *code)
        z0 = q.rsample(torch.Size([self.draws]))
        phi, x, m = (t.repeat(self.draws, *[1] * (t.ndim - 1)) for t in (phi, x, m))
        sites = poutine.condition(model.model_sites, {"z0": z0.flatten(0, 1)})
        nodes: Any = poutine.trace(sites).get_trace(phi, x, m).nodes
        log_x, log_m, log_p = (
            nodes[name]["fn"].log_prob(nodes[name]["value"]).unflatten(0, z0.shape[:2])
            for name in ("x", "m", "z0")
        )
        kl = q.log_prob(z0) - log_p
        bound = (log_x + log_m - kl).logsumexp(0) - math.log(self.draws)
        return Terms(log_x.mean(), log_m.mean(), kl.mean(), {"bound": bound.mean()})

    def loss_of_bound(self, values: Mapping[str, Any], beta: float) -> Any:
        return -values["bound"]


def elbo_terms(
    model: PSPGen,
    phi: Tensor,
    x: Tensor,
    m: Tensor,
    code: tuple[Tensor, Tensor] | None = None,
) -> Terms:
    """The terms of the ELBO on one batch, differentiable in all parameters.

    Arguments:
        model: The model and guide.
        phi: Process parameters, with shape `(N, P)`.
        x: Microstructures of zeros and ones, with shape `(N, H, W)`.
        m: Properties, with shape `(N, K)`; bare pairs, whose m is NaN, add nothing to the term m
            (Eq. 18).
        code: The mean and standard deviation of the property code, if they are known already.
    """
    return _elbo(model, phi, x, m, code)[0]


def objective_to_json(objective: Objective) -> dict[str, Any]:
    """The objective's class name and parameters, ready for JSON."""
    return described(objective) | {"extra": [described(term) for term in objective.extra]}


def _elbo(
    model: PSPGen, phi: Tensor, x: Tensor, m: Tensor, code: tuple[Tensor, Tensor] | None = None
) -> tuple[Terms, Any, Any]:
    """The terms, and the distributions of z0 in the guide and in the model."""
    guide = poutine.trace(model.guide_sites).get_trace(phi, x, m, code)
    posterior: Any = guide.nodes["z0"]
    nodes: Any = poutine.trace(poutine.replay(model.model_sites, guide)).get_trace(phi, x, m).nodes
    q, p = posterior["fn"], nodes["z0"]["fn"]
    terms = Terms(
        x=nodes["x"]["fn"].log_prob(x).mean(),
        m=nodes["m"]["fn"].log_prob(nodes["m"]["value"]).mean(),
        kl=_divergence(q, p, posterior["value"]).mean(),
    )
    return terms, q, p


def _divergence(
    q: torch.distributions.Distribution, p: torch.distributions.Distribution, z0: Tensor
) -> Tensor:
    """In closed form; where neither the prior nor torch has one (a guide of another kind), the
    unbiased estimate by the draw at hand."""
    if hasattr(p, "divergence"):
        return p.divergence(q, z0)  # type: ignore[attr-defined]
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return q.log_prob(z0) - p.log_prob(z0)


def _entry_divergence(q: Any, p: Any) -> Tensor:
    """The closed-form divergence of every entry of z0, with shape `(N, D0)`."""
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        if isinstance(p, Independent) and isinstance(p.base_dist, Normal):
            return kl_divergence(q.base_dist, p.base_dist)
        closed = getattr(p, "entry_divergence", lambda q: None)(q)
        if closed is not None:
            return closed
    raise InputError(
        "'free_bits' needs the divergence of each entry of z0 in closed form: a diagonal Gaussian "
        "guide, and a prior that is a StandardNormalPrior, or a GaussianPrior whose rest is one; "
        "take those, or `free_bits=0`."
    )
