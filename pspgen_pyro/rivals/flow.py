r"""A neural spline flow: :math:`p(m \mid \varphi)` with no shape given in advance.

.. math::
    m = T_\varphi(u), \quad u \sim \mathcal{N}(0, I), \qquad
    \log p(m \mid \varphi) = \log \mathcal{N}\bigl(T_\varphi^{-1}(m) \mid 0, I\bigr)
        + \log \left|\det \frac{\partial T_\varphi^{-1}}{\partial m}\right|,

where :math:`T_\varphi` is a stack of monotone rational-quadratic splines. A target's probability
is the fraction of Sobol draws of u, the same for every φ, that :math:`T_\varphi` takes into it.

References:
    Neural spline flows (Durkan et al., 2019), https://arxiv.org/abs/1906.04032
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from ..design import Target, sobol_normal
from .base import generator_of, to_numpy
from .network import NetworkRival

__all__ = ["SplineFlow"]

# draws a pass through the flow
_CHUNK = 1 << 16


@dataclass
class SplineFlow(NetworkRival):
    """A neural spline flow (zuko), by maximum likelihood.

    Arguments:
        transforms: The number of splines in the stack.
        bins: The number of bins of a spline.
        hidden: The widths of the hidden layers of each spline's network.
        jitter: The standard deviation of normal noise added to m in every pass, in units of the
            standardised property; a spike thinner than this is not learned as a cliff.

    Other arguments:
        draws: Sobol draws for a probability.
        name: What tables and figures call it; how it is trained, see `NetworkRival`.
    """

    transforms: int = 3
    bins: int = 8
    hidden: tuple[int, ...] = (64, 64)
    jitter: float = 0.02
    draws: int = 1024
    name: str = "neural spline flow"

    def _network(self, like: Tensor) -> nn.Module:
        import zuko

        sizes = {"transforms": self.transforms, "bins": self.bins, "hidden_features": self.hidden}
        return zuko.flows.NSF(like.shape[-1], len(self.process.features.source), **sizes).to(like)

    def _scaled(self, phi: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        phi, m = super()._scaled(phi, m)
        return phi, m + self.jitter * torch.randn_like(m)

    @torch.no_grad()
    def probability(self, target: Target, phi: ArrayLike) -> NDArray[np.float64]:
        inputs = self._inputs(phi)
        target.check_against(len(self.property_names))
        noise = sobol_normal(self.draws, len(self.property_names), 0, self.scaling.like.dtype)
        parts = [
            target.contains(self._transport(part, noise.expand(len(part), -1, -1))).mean(axis=-1)
            for part in inputs.split(max(1, _CHUNK // self.draws))
        ]
        return np.concatenate(parts).reshape(np.shape(phi)[:-1])

    @torch.no_grad()
    def sample(self, phi: ArrayLike, draws: int, seed: int) -> NDArray[np.float64]:
        inputs, generator = self._inputs(phi), generator_of(draws, seed)
        shape = (len(inputs), draws, len(self.property_names))
        noise = torch.randn(shape, generator=generator, dtype=inputs.dtype)
        size = max(1, _CHUNK // draws)
        pairs = zip(inputs.split(size), noise.split(size), strict=True)
        return np.concatenate([self._transport(*pair) for pair in pairs])

    def _transport(self, phi: Tensor, noise: Tensor) -> NDArray[np.float64]:
        """The m for φ with shape `(N, P)` and noise with shape `(N, S, K)`."""
        context = self.scaling.phi(phi).unsqueeze(-2).expand(*noise.shape[:-1], -1)
        m = self.network(context).transform.inv(noise.to(context))
        return to_numpy(self.scaling.m_back(m))
