r"""Microstructure decoders :math:`p(x \mid z_0, z_1)` (Eq. 8)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions import (
    Bernoulli,  # pyright: ignore
    Categorical,
    Independent,
    Normal,
)
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..errors import InputError
from ..schema import Microstructure
from .base import Dimensions, ImageDecoder, Part
from .nn import ResidualMLP

__all__ = ["BernoulliImage", "CategoricalImage", "GreyImage"]


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

    def build(self, dims: Dimensions) -> ImageDecoder:
        _check(self, dims.schema.microstructure, (2,))
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

    def build(self, dims: Dimensions) -> ImageDecoder:
        _check(self, dims.schema.microstructure, range(2, 257))
        return _CategoricalImage(dims, self)


@dataclass(frozen=True)
class GreyImage(Part):
    r"""Independent Gaussian pixels of grey values between 0 and 1.

    .. math::
        p(x \mid z_0, z_1) = \prod_i \mathcal{N}(x_i \mid \mu_i, \sigma^2),
        \quad \mu = \operatorname{sigmoid}(D_x(z_0, z_1))

    with one learned :math:`\sigma`. Log-densities are summed over pixels.
    """

    hidden: tuple[int, ...] = (512, 128)

    def build(self, dims: Dimensions) -> ImageDecoder:
        _check(self, dims.schema.microstructure, ("grey",))
        return _GreyImage(dims, self)


class _BernoulliImage(ImageDecoder):
    def __init__(self, dims: Dimensions, part: BernoulliImage) -> None:
        super().__init__()
        self.image, self.axes = dims.image, len(dims.image or ())
        self.network = ResidualMLP(
            dims.latent + dims.process_latent, dims.pixels, part.hidden, "relu"
        )

    def forward(self, z0: Tensor, z1: Tensor) -> Independent:
        logits = self.network(torch.cat([z0, z1], dim=-1))
        pixels = Bernoulli(logits=logits.unflatten(-1, self.image), validate_args=False)
        return pixels.to_event(self.axes)

    def likeliest(self, z0: Tensor, z1: Tensor) -> Tensor:
        return (self(z0, z1).mean >= 0.5).to(torch.uint8)


class _CategoricalImage(ImageDecoder):
    def __init__(self, dims: Dimensions, part: CategoricalImage) -> None:
        super().__init__()
        images = dims.schema.microstructure
        phases = int(images.phases)  # type: ignore[union-attr]
        self.axes = images.dimensions  # type: ignore[union-attr]
        self.shape = (*images.shape, phases)  # type: ignore[union-attr]
        self.network = ResidualMLP(
            dims.latent + dims.process_latent, dims.pixels * phases, part.hidden, "relu"
        )

    def forward(self, z0: Tensor, z1: Tensor) -> Independent:
        logits = self.network(torch.cat([z0, z1], dim=-1))
        pixels = Categorical(logits=logits.unflatten(-1, self.shape), validate_args=False)
        return pixels.to_event(self.axes)

    def likeliest(self, z0: Tensor, z1: Tensor) -> Tensor:
        return self(z0, z1).base_dist.logits.argmax(dim=-1).to(torch.uint8)


class _GreyImage(ImageDecoder):
    def __init__(self, dims: Dimensions, part: GreyImage) -> None:
        super().__init__()
        self.image, self.axes = dims.image, len(dims.image or ())
        self.network = ResidualMLP(
            dims.latent + dims.process_latent, dims.pixels, part.hidden, "relu"
        )
        self.spread = nn.Parameter(torch.tensor(-1.0))

    def forward(self, z0: Tensor, z1: Tensor) -> Independent:
        loc = self.network(torch.cat([z0, z1], dim=-1)).sigmoid().unflatten(-1, self.image)
        return Normal(loc, 0.01 + softplus(self.spread), validate_args=False).to_event(self.axes)

    def likeliest(self, z0: Tensor, z1: Tensor) -> Tensor:
        return self(z0, z1).mean


def _check(part: Part, images: Microstructure | None, phases: Collection[Any]) -> None:
    """Refuses a decoder that is not for images of this kind."""
    if images is None:
        raise InputError(
            f"'image_decoder' is {type(part).__name__}, but the schema has no microstructure; "
            "leave it out."
        )
    if images.phases not in phases:
        raise InputError(
            f"'image_decoder' is {type(part).__name__}, but the schema has images of "
            f"{images.phases} phases; take BernoulliImage for 2, CategoricalImage for more and "
            "GreyImage for grey values."
        )
