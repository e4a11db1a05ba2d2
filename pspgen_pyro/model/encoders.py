r"""Encoders :math:`q(z_0 \mid x, m, \varphi)` (Eq. 11, 16): diagonal Gaussians, amortised over the
data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pyro.distributions import Independent, Normal
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from .base import Dimensions, Part
from .nn import ResidualMLP

__all__ = ["ThreeBranchEncoder", "TwoBranchEncoder", "seen_pixels"]


@dataclass(frozen=True)
class ThreeBranchEncoder(Part):
    r"""App. A: one residual network each for x, m and φ (to :math:`D_0` numbers each), and one
    that joins them.

    .. math::
        q(z_0 \mid x, m, \varphi) = \mathcal{N}(\mu, \operatorname{diag} s^2),
        \quad (\mu, s) = E(x, m, \varphi)

    Two phases enter as ±1 a pixel, more than two as one indicator a phase.

    Arguments:
        image: The hidden widths of the branch of x.
        vector: The hidden widths of the branches of m and of φ.
        joint: The hidden widths of the network that joins the three.
    """

    image: tuple[int, ...] = (128, 512)
    vector: tuple[int, ...] = (64,)
    joint: tuple[int, ...] = (64,)

    def build(self, dims: Dimensions) -> nn.Module:
        return _ThreeBranchEncoder(dims, self)


class _ThreeBranchEncoder(nn.Module):
    reads_m = True

    def __init__(self, dims: Dimensions, part: ThreeBranchEncoder) -> None:
        super().__init__()
        self.phases = dims.phases
        inputs = dims.pixels * (1 if dims.phases == 2 else dims.phases)
        self.of_x = ResidualMLP(inputs, dims.latent, part.image, "elu")
        self.of_m = ResidualMLP(dims.properties, dims.latent, part.vector, "elu")
        self.of_phi = ResidualMLP(dims.process, dims.latent, part.vector, "elu")
        self.joint = ResidualMLP(3 * dims.latent, 2 * dims.latent, part.joint, "elu")

    def forward(self, x: Tensor, m: Tensor, phi: Tensor) -> Independent:
        branches = [self.of_x(seen_pixels(x, self.phases, phi)), self.of_m(m), self.of_phi(phi)]
        loc, scale = self.joint(torch.cat(branches, dim=-1)).chunk(2, dim=-1)
        return Normal(loc, 1e-4 + softplus(scale), validate_args=False).to_event(1)


@dataclass(frozen=True)
class TwoBranchEncoder(Part):
    r"""The guide :math:`q_\zeta(z_0 \mid x, \varphi)` of pairs whose properties are unknown (Eq.
    18): App. A's encoder without the branch of m.

    Arguments:
        image: The hidden widths of the branch of x.
        vector: The hidden widths of the branch of φ.
        joint: The hidden widths of the network that joins the two.
    """

    image: tuple[int, ...] = (128, 512)
    vector: tuple[int, ...] = (64,)
    joint: tuple[int, ...] = (64,)

    def build(self, dims: Dimensions) -> nn.Module:
        return _TwoBranchEncoder(dims, self)


class _TwoBranchEncoder(nn.Module):
    reads_m = False

    def __init__(self, dims: Dimensions, part: TwoBranchEncoder) -> None:
        super().__init__()
        self.phases = dims.phases
        inputs = dims.pixels * (1 if dims.phases == 2 else dims.phases)
        self.of_x = ResidualMLP(inputs, dims.latent, part.image, "elu")
        self.of_phi = ResidualMLP(dims.process, dims.latent, part.vector, "elu")
        self.joint = ResidualMLP(2 * dims.latent, 2 * dims.latent, part.joint, "elu")

    def forward(self, x: Tensor, m: Tensor, phi: Tensor) -> Independent:
        branches = [self.of_x(seen_pixels(x, self.phases, phi)), self.of_phi(phi)]
        loc, scale = self.joint(torch.cat(branches, dim=-1)).chunk(2, dim=-1)
        return Normal(loc, 1e-4 + softplus(scale), validate_args=False).to_event(1)


def seen_pixels(x: Tensor, phases: int, like: Tensor) -> Tensor:
    """The pixels as a network sees them: ±1 for two phases, one indicator a phase for more; with
    shape `(*, inputs)`."""
    if phases == 2:
        return 2 * x.flatten(-2).to(like.dtype) - 1
    return one_hot(x.long(), phases).flatten(-3).to(like.dtype)
