r"""Microstructure decoders :math:`p(x \mid z_0, z_1)` (Eq. 8)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pyro.distributions import Bernoulli, Independent  # pyright: ignore
from torch import Tensor, nn

from ..nn import ResidualMLP
from .base import Dimensions, Part

__all__ = ["BernoulliImage"]


@dataclass(frozen=True)
class BernoulliImage(Part):
    r"""App. A: independent Bernoulli pixels whose logits come from a residual network.

    .. math::
        p(x \mid z_0, z_1) = \prod_i s_i^{x_i} (1 - s_i)^{1 - x_i},
        \quad s = \operatorname{sigmoid}(D_x(z_0, z_1))

    The network returns logits; the one sigmoid is inside the distribution. Log-densities are
    summed over pixels.
    """

    hidden: tuple[int, ...] = (512, 128)

    def build(self, dims: Dimensions) -> nn.Module:
        return _BernoulliImage(dims, self)


class _BernoulliImage(nn.Module):
    def __init__(self, dims: Dimensions, part: BernoulliImage) -> None:
        super().__init__()
        self.image = dims.image
        self.network = ResidualMLP(
            dims.latent + dims.process_latent, dims.pixels, part.hidden, "relu"
        )

    def forward(self, z0: Tensor, z1: Tensor) -> Independent:
        logits = self.network(torch.cat([z0, z1], dim=-1))
        pixels = Bernoulli(logits=logits.unflatten(-1, self.image), validate_args=False)
        return pixels.to_event(2)
