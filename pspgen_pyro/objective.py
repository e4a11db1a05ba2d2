r"""The training objective, term by term (Eq. 12–17).

.. math::
    \mathcal{L} = \underbrace{\mathbb{E}_q[\log p(x \mid z)]}_{x}
        + \underbrace{\mathbb{E}_q[\log p(m \mid z)]}_{m}
        - \beta\,\underbrace{\mathrm{KL}(q(z_0 \mid x, m, \varphi) \,\|\, p(z_0 \mid
          \varphi))}_{\mathrm{KL}}

Each term is read off the Pyro traces of the model and the guide, so whatever the model samples is
what is trained. The Kullback–Leibler term is closed-form where torch knows it and a one-draw
estimate otherwise; the other expectations use one reparametrised draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from pyro import poutine
from torch import Tensor
from torch.distributions import kl_divergence

if TYPE_CHECKING:
    from .model import PSPGen

__all__ = ["Terms", "elbo_terms"]


@dataclass(frozen=True)
class Terms:
    """The terms of the objective, each a mean over the batch, in nats.

    Arguments:
        x: The log-likelihood of the microstructures, summed over pixels.
        m: The log-likelihood of the properties, in their own units.
        kl: The Kullback–Leibler divergence, without β.
    """

    x: Tensor
    m: Tensor
    kl: Tensor

    def loss(self, beta: float) -> Tensor:
        """The negative objective."""
        return beta * self.kl - self.x - self.m

    def values(self) -> dict[str, float]:
        """The terms as plain numbers."""
        return {"x": self.x.item(), "m": self.m.item(), "kl": self.kl.item()}


def _divergence(
    q: torch.distributions.Distribution, p: torch.distributions.Distribution, z0: Tensor
) -> Tensor:
    if hasattr(p, "divergence"):
        return p.divergence(q, z0)  # type: ignore[attr-defined]
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return q.log_prob(z0) - p.log_prob(z0)


def elbo_terms(
    model: PSPGen,
    phi: Tensor,
    x: Tensor,
    m: Tensor,
    code: tuple[Tensor, Tensor] | None = None,
) -> Terms:
    """The terms of the objective on one batch, differentiable in all parameters.

    Arguments:
        model: The model and guide.
        phi: Process parameters, with shape `(N, P)`.
        x: Microstructures of zeros and ones, with shape `(N, H, W)`.
        m: Properties, with shape `(N, K)`; bare pairs, whose m is NaN, add nothing to the term m
            (Eq. 18).
        code: The mean and standard deviation of the property code, if they are known already.
    """
    guide = poutine.trace(model.guide_sites).get_trace(phi, x, m, code)
    posterior: Any = guide.nodes["z0"]
    nodes: Any = poutine.trace(poutine.replay(model.model_sites, guide)).get_trace(phi, x, m).nodes
    return Terms(
        x=nodes["x"]["fn"].log_prob(x).mean(),
        m=nodes["m"]["fn"].log_prob(nodes["m"]["value"]).mean(),
        kl=_divergence(posterior["fn"], nodes["z0"]["fn"], posterior["value"]).mean(),
    )
