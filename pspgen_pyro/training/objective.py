r"""The bound that the epochs ascend, term by term (Eq. 12–18).

.. math::
    \mathcal{L} = \underbrace{\mathbb{E}_q[\log p(x \mid z)]}_{x}
        + \underbrace{\mathbb{E}_q[\log p(m \mid z)]}_{m}
        - \beta\,\underbrace{\mathrm{KL}(q(z_0 \mid x, m, \varphi) \,\|\, p(z_0 \mid
          \varphi))}_{\mathrm{KL}}

A row whose properties are unknown has no term m (Eq. 18). Each term is read off the Pyro trace of
the model, so whatever the model samples is what is trained. The divergence is closed-form between
diagonal Gaussians and a one-draw estimate elsewhere; the other expectations use reparametrised
draws. With β = 1 this is Pyro's `Trace_ELBO`; other bounds, such as the importance-weighted one,
are Pyro's too (`RenyiELBO`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from ..data.batches import Batch
from ..io.validation import check_positive
from ..model import PSPGen
from ..model.distributions import divergence

__all__ = ["ELBO", "Terms"]


@dataclass(frozen=True)
class Terms:
    """The terms of the bound, each a mean over the batch, in nats.

    Arguments:
        x: The log-likelihood of the microstructures, summed over pixels; 0 without images.
        m: The log-likelihood of the properties, on their scales.
        kl: The Kullback–Leibler divergence, without β.
    """

    x: Tensor
    m: Tensor
    kl: Tensor

    def values(self) -> dict[str, float]:
        """The terms as plain numbers."""
        return {"x": self.x.item(), "m": self.m.item(), "kl": self.kl.item()}


@dataclass(frozen=True)
class ELBO:
    r"""The evidence lower bound with a weight on its divergence.

    Arguments:
        beta: The weight :math:`\beta` of the divergence; 2 in the paper.

    Raises:
        InputError: If it is not positive.

    References:
        beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework (Higgins
        et al., 2017)
    """

    beta: float = 2.0

    def __post_init__(self) -> None:
        check_positive(optional=False, most=1e6, beta=self.beta)

    def terms(self, model: PSPGen, batch: Batch, u: Any = None) -> Terms:
        """The terms on one batch, differentiable in all parameters.

        Arguments:
            model: The model and guide.
            batch: The rows.
            u: The law of the properties given x and m, if it is known already.
        """
        rows = batch.phi, batch.x, batch.m
        guide = poutine.trace(model.guide_sites).get_trace(*rows, u)
        nodes: Any = poutine.trace(poutine.replay(model.model_sites, guide)).get_trace(*rows).nodes
        z0: Any = guide.nodes["z0"]
        log_m = nodes["m"]["fn"].log_prob(batch.m).mean()
        kl = divergence(z0["fn"], nodes["z0"]["fn"], z0["value"]).mean()
        if batch.x is None:
            return Terms(torch.zeros_like(log_m), log_m, kl)
        return Terms(nodes["x"]["fn"].log_prob(batch.x.to(batch.phi)).mean(), log_m, kl)

    def loss(self, terms: Terms) -> Tensor:
        """The negative bound, with β."""
        return self.beta * terms.kl - terms.x - terms.m

    def value(self, terms: Mapping[str, float]) -> float:
        """The same from terms that are plain numbers, by name."""
        return self.beta * terms["kl"] - terms["x"] - terms["m"]
