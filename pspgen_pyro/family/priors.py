r"""Priors of :math:`z_0`: what the process does not control (Eq. 4).

Besides the distribution itself a prior gives its *transport*, a differentiable map from standard
normal draws to draws of :math:`z_0`, so that one fixed set of quasi-random points serves every
:math:`\varphi`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyro.distributions import Independent, Normal
from torch import Tensor, nn

from .base import Dimensions, Part

__all__ = ["StandardNormalPrior"]


@dataclass(frozen=True)
class StandardNormalPrior(Part):
    r"""The paper's :math:`p(z_0) = \mathcal{N}(0, I)`, the same for every :math:`\varphi`."""

    def build(self, dims: Dimensions) -> nn.Module:
        return _StandardNormalPrior(dims)


class _StandardNormalPrior(nn.Module):
    def __init__(self, dims: Dimensions) -> None:
        super().__init__()
        self.latent = dims.latent

    def forward(self, phi: Tensor) -> Independent:
        loc = phi.new_zeros(*phi.shape[:-1], self.latent)
        return Normal(loc, loc.new_ones(()), validate_args=False).to_event(1)

    def transport(self, noise: Tensor, phi: Tensor) -> Tensor:
        """Maps standard normal `noise` with shape `(*, D0)` to z0; here it is the identity."""
        return noise
