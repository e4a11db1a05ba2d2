r"""Property decoders :math:`p(m \mid z_0, z_1)`: Eq. 9, its mixture, and none at all: the
properties as entries of z0.

Physics computes m from the microstructure, and the settings matter through it alone. A decoder
that reads :math:`z_1` may learn m from the settings instead, which is easier and is all that a
regression on φ does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..errors import InputError
from .base import Dimensions, Part, PropertyDecoder
from .distributions import NormalMixture
from .nn import ResidualMLP

__all__ = ["MixtureProperty", "PropertyItself"]


@dataclass(frozen=True)
class MixtureProperty(Part):
    r"""A mixture of diagonal Gaussians, all of its parameters from one residual network.

    .. math:: p(m \mid z_0, z_1) = \sum_c w_c \prod_j \mathcal{N}(m_j \mid \mu_{cj}, \sigma_{cj}^2)

    With one component this is the paper's Eq. 9. Blocked microstructures put a spike beside the
    broad branch of open ones, so one Gaussian is too wide for either; and the more of :math:`z_0`
    the decoder reads, the more its probabilities lean on :math:`q(z_0 \mid \varphi)` agreeing with
    the prior.

    Arguments:
        components: The number :math:`C` of Gaussians.
        reads: How many entries of :math:`z_0`, counted from the first, the decoder sees; None for
            all.
        hidden: The widths of the hidden layers (App. A: 64, 128, 256).
        floor: The smallest standard deviation, in units of the standardised property; it keeps the
            log-density free of cliffs.
    """

    components: int = 6
    reads: int | None = 4
    hidden: tuple[int, ...] = (64, 128, 256)
    floor: float = 0.02

    def build(self, dims: Dimensions) -> PropertyDecoder:
        if self.reads is not None and not 0 <= self.reads <= dims.latent:
            raise InputError(
                f"'reads' is {self.reads} but z0 has {dims.latent} entries; choose a number "
                "between 0 and that, "
                "or None for all."
            )
        return _MixtureProperty(dims, self)


class _MixtureProperty(PropertyDecoder):
    def __init__(self, dims: Dimensions, part: MixtureProperty) -> None:
        super().__init__(dims.latent if part.reads is None else part.reads)
        self.components, self.properties, self.floor = part.components, dims.properties, part.floor
        outputs = part.components * (1 + 2 * dims.properties)
        self.network = ResidualMLP(self.reads + dims.process_latent, outputs, part.hidden, "elu")
        final: nn.Linear = self.network[-1]  # type: ignore[assignment]
        with torch.no_grad():
            # components start apart, else they stay equal
            loc = slice(part.components, part.components * (1 + dims.properties))
            final.bias[loc].normal_(std=1.0)
            final.bias[loc.stop :].fill_(math.log(math.expm1(0.5)))

    def forward(self, z0: Tensor, z1: Tensor) -> NormalMixture:
        out = self.network(torch.cat([z0[..., : self.reads], z1], dim=-1))
        c, k = self.components, self.properties
        logits, loc, scale = out.split([c, c * k, c * k], dim=-1)
        return NormalMixture(
            logits, loc.unflatten(-1, (c, k)), self.floor + softplus(scale).unflatten(-1, (c, k))
        )


@dataclass(frozen=True)
class PropertyItself(Part):
    r"""The first K entries u of z0 are the standardised properties, up to a trace of noise.

    .. math:: p(m \mid z_0) = \prod_j \mathcal{N}(m_j \mid u_j, \sigma^2)

    Nothing is left to learn, and with a `MixturePrior` :math:`p(m \mid \varphi) = \int p(m \mid
    u)\, p(u \mid \varphi)\, du` has a closed form. A `ReadingEncoder` supplies u where m is not
    known.

    Arguments:
        noise: The standard deviation :math:`\sigma`, in units of the standardised property.
    """

    noise: float = 0.02

    def build(self, dims: Dimensions) -> PropertyDecoder:
        if dims.properties > dims.latent:
            raise InputError(
                f"'latent' is {dims.latent} but z0 begins with {dims.properties} properties; make "
                "it larger."
            )
        if not self.noise > 0:
            raise InputError(f"'noise' is {self.noise:g}; it must be positive.")
        return _PropertyItself(dims.properties, self.noise)


class _PropertyItself(PropertyDecoder):
    def __init__(self, properties: int, noise: float) -> None:
        super().__init__(properties)
        self.noise = noise

    def forward(self, z0: Tensor, z1: Tensor) -> NormalMixture:
        u = z0[..., : self.reads].unsqueeze(-2)
        return NormalMixture(u[..., 0] * 0, u, torch.full_like(u, self.noise))

    def marginal(self, law: NormalMixture) -> NormalMixture:
        return law.widened(law.loc.new_full((), self.noise))

    def given_m(self, m: Tensor, loc: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        share = 1 - (self.noise / scale).square()
        return loc + share * (m - loc), share.clamp(min=0).sqrt() * self.noise
