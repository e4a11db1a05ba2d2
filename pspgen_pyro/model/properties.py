r"""Property decoders :math:`p(m \mid z_0, z_1)`: Eq. 9, its mixture, one on a property code, and
none at all: the properties as entries of z0.

Physics computes m from the microstructure, and the settings matter through it alone. A decoder
that reads :math:`z_1` may learn m from the settings instead, which is easier and is all that a
regression on φ does; `CodedProperty` reads nothing but the code of x, so whatever it learns from a
few labels holds at every φ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..errors import InputError
from .base import Dimensions, Part
from .distributions import NormalMixture
from .nn import ResidualMLP

__all__ = ["CodedProperty", "MixtureProperty", "PropertyItself"]


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

    def build(self, dims: Dimensions) -> nn.Module:
        if self.reads is not None and not 0 <= self.reads <= dims.latent:
            raise InputError(
                f"'reads' is {self.reads} but z0 has {dims.latent} entries; choose a number "
                "between 0 and that, "
                "or None for all."
            )
        return _MixtureProperty(dims, self)


class _MixtureProperty(nn.Module):
    def __init__(self, dims: Dimensions, part: MixtureProperty) -> None:
        super().__init__()
        self.reads = dims.latent if part.reads is None else part.reads
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
class CodedProperty(Part):
    r"""Each property from its own entries u of z0, by one network for all properties.

    .. math:: p(m \mid z_0) = \prod_j \sum_c w_c(u_j)\, \mathcal{N}(m_j \mid \mu_c(u_j),
        \sigma_c(u_j)^2)

    Arguments:
        code: The entries of z0 a property; the first `code` × K entries are read, property by
            property.
        components: The number of Gaussians a property.
        hidden: The widths of the hidden layers.
        floor: The smallest standard deviation, in units of the standardised property.
    """

    code: int = 1
    components: int = 4
    hidden: tuple[int, ...] = (32,)
    floor: float = 0.02

    def build(self, dims: Dimensions) -> nn.Module:
        if not 0 < self.code * dims.properties <= dims.latent:
            raise InputError(
                f"'code' is {self.code} but z0 has {dims.latent} entries for {dims.properties} "
                "properties; choose a smaller positive number."
            )
        return _CodedProperty(dims, self)


class _CodedProperty(nn.Module):
    shared = True
    _pick: Tensor

    def __init__(self, dims: Dimensions, part: CodedProperty) -> None:
        super().__init__()
        self.code, self.properties, self.floor = part.code, dims.properties, part.floor
        self.components = part.components
        self.reads = part.code * dims.properties
        self.network = ResidualMLP(part.code, 3 * part.components, part.hidden, "silu")
        pick = torch.cartesian_prod(*[torch.arange(part.components)] * dims.properties)
        self.register_buffer("_pick", pick.reshape(-1, dims.properties), persistent=False)
        with torch.no_grad():
            # components start apart, else they stay equal
            bias: Tensor = self.network[-1].bias  # type: ignore[assignment]
            bias[part.components : 2 * part.components].normal_(std=1.0)
            bias[2 * part.components :].fill_(-0.5)

    def forward(self, z0: Tensor, z1: Tensor) -> NormalMixture:
        u = z0[..., : self.reads].unflatten(-1, (self.properties, self.code))
        weights, loc, scale = self.network(u).chunk(3, dim=-1)
        # the product of K mixtures is one mixture of every combination of their components
        parts = weights.log_softmax(-1), loc, self.floor + softplus(scale)
        chosen = [
            torch.stack([t[..., j, self._pick[:, j]] for j in range(self.properties)], dim=-1)
            for t in parts
        ]
        return NormalMixture(chosen[0].sum(-1), chosen[1], chosen[2])


@dataclass(frozen=True)
class PropertyItself(Part):
    r"""The first K entries u of z0 are the standardised properties, up to a trace of noise.

    .. math:: p(m \mid z_0) = \prod_j \mathcal{N}(m_j \mid u_j, \sigma^2)

    Nothing is left to learn, and with a Gaussian or mixture prior :math:`p(m \mid \varphi) = \int
    p(m \mid u)\, p(u \mid \varphi)\, du` has a closed form. An encoder that reads the properties
    off x (`ConnectivityEncoder(reading=CodedProperty())`) supplies u where m is not known.

    Arguments:
        noise: The standard deviation :math:`\sigma`, in units of the standardised property.
    """

    code: ClassVar[int] = 1

    noise: float = 0.02

    def build(self, dims: Dimensions) -> nn.Module:
        if dims.properties > dims.latent:
            raise InputError(
                f"'latent' is {dims.latent} but z0 begins with {dims.properties} properties; make "
                "it larger."
            )
        return _PropertyItself(dims.properties, self.noise)


class _PropertyItself(nn.Module):
    shared = True

    def __init__(self, properties: int, noise: float) -> None:
        super().__init__()
        self.reads, self.noise = properties, noise

    def forward(self, z0: Tensor, z1: Tensor) -> NormalMixture:
        u = z0[..., : self.reads].unsqueeze(-2)
        return NormalMixture(u[..., 0] * 0, u, torch.full_like(u, self.noise))

    def marginal(self, law: Any) -> NormalMixture | None:
        """The law of m if u has this one; None if it has no closed form."""
        law = law.as_mixture() if hasattr(law, "as_mixture") else law
        if not isinstance(law, NormalMixture):
            return None
        scale = (law.scale.square() + self.noise**2).sqrt()
        return NormalMixture(law.log_weights, law.loc, scale)

    def given_m(self, m: Tensor, loc: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and standard deviation of a Gaussian u given m, where loc and scale are those
        of m before."""
        share = 1 - (self.noise / scale).square()
        return loc + share * (m - loc), share.sqrt() * self.noise
