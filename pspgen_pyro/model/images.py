r"""Microstructure decoders :math:`p(x \mid z_0, z_1)` (Eq. 8)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pyro.distributions import Bernoulli, Categorical, Independent  # pyright: ignore
from torch import Tensor, nn

from ..errors import InputError
from .base import Dimensions, Part
from .nn import ResidualMLP

__all__ = ["BernoulliImage", "CategoricalImage"]


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
        if dims.phases > 2:
            raise InputError(
                f"'image_decoder' is BernoulliImage, which knows two phases, but 'phases' is "
                f"{dims.phases}; take CategoricalImage."
            )
        return _BernoulliImage(dims, self)


@dataclass(frozen=True)
class CategoricalImage(Part):
    r"""Independent categorical pixels, for any number :math:`C` of phases (footnote 1).

    .. math::
        p(x \mid z_0, z_1) = \prod_i s_{i, x_i},
        \quad s_i = \operatorname{softmax}(D_x(z_0, z_1))_i, \quad x_i \in \{0, \dots, C - 1\}

    The network returns C logits a pixel. Log-densities are summed over pixels. With two phases
    this is `BernoulliImage` with the difference of the two logits as its one.
    """

    hidden: tuple[int, ...] = (512, 128)

    def build(self, dims: Dimensions) -> nn.Module:
        return _CategoricalImage(dims, self)


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


class _CategoricalImage(nn.Module):
    def __init__(self, dims: Dimensions, part: CategoricalImage) -> None:
        super().__init__()
        self.shape = (*dims.image, dims.phases)
        self.network = ResidualMLP(
            dims.latent + dims.process_latent, dims.pixels * dims.phases, part.hidden, "relu"
        )

    def forward(self, z0: Tensor, z1: Tensor) -> Independent:
        logits = self.network(torch.cat([z0, z1], dim=-1))
        pixels = Categorical(logits=logits.unflatten(-1, self.shape), validate_args=False)
        return pixels.to_event(2)
