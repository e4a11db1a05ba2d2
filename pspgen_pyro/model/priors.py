r"""Priors of :math:`z_0`: what the process does not control (Eq. 4).

The paper's prior is the same for every :math:`\varphi`, and then :math:`\int q(z_0 \mid x, m,
\varphi)\, p(x, m \mid \varphi)\, dx\, dm` must be the same for every :math:`\varphi` too, or the
probabilities are wrong. `MixturePrior` learns the law of the first entries u, those that the
property decoder reads, and leaves the others standard normal.

Besides the distribution itself a prior gives its *transport*, a differentiable map from standard
normal draws to draws of :math:`z_0`, so that one fixed set of quasi-random points serves every
:math:`\varphi`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions import Independent, Normal, TorchDistribution
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn.functional import softplus

from ..errors import InputError
from ..io.validation import check_whole
from .base import Dimensions, Part, Prior
from .distributions import Blocks, NormalMixture
from .nn import StackedMLP
from .normal import mixture_quantile
from .trend import Trend

__all__ = ["MixturePrior", "StandardNormalPrior"]


@dataclass(frozen=True)
class StandardNormalPrior(Part):
    r"""The paper's :math:`p(z_0) = \mathcal{N}(0, I)`, the same for every :math:`\varphi`."""

    def build(self, dims: Dimensions) -> Prior:
        return _StandardNormalPrior(dims.latent)


@dataclass(frozen=True)
class MixturePrior(Part):
    r"""A mixture of diagonal Gaussians, :math:`p(u \mid \varphi) = \sum_c w_c(\varphi)\,
    \mathcal{N}(u \mid \mu_c(\varphi), \operatorname{diag} s_c(\varphi)^2)`, of the first entries u
    of z0.

    The transport is Rosenblatt's: entry by entry, the conditional distribution function of the
    mixture is set equal to that of the noise.

    Arguments:
        components: The number of Gaussians of a network.
        entries: How many entries of z0, counted from the first, it covers; one a property if None.
        hidden: The widths of the hidden layers.
        floor: The smallest standard deviation.
        members: How many networks of equal weight, each fitted as if it were alone, make the
            mixture. Their mean errs less than one of them, and how far they differ says how far
            it errs, see `PriorStage`.
        trend: Of how many settings at most the networks learn what a Gaussian process leaves, see
            `Trend`; 0 for networks alone.
    """

    components: int = 8
    entries: int | None = None
    hidden: tuple[int, ...] = (64, 64)
    floor: float = 0.002
    members: int = 8
    trend: int = 0

    def build(self, dims: Dimensions) -> Prior:
        entries = dims.properties if self.entries is None else self.entries
        if not 1 <= entries <= dims.latent:
            raise InputError(
                f"'entries' is {self.entries} but z0 has {dims.latent} entries; choose a number "
                "between 1 and that, or None for one a property."
            )
        if min(self.members, self.components) < 1 or not self.floor > 0:
            raise InputError(
                f"'members' {self.members}, 'components' {self.components} and 'floor' "
                f"{self.floor:g} of a MixturePrior must be positive."
            )
        check_whole(least=0, most=_MOST, trend=self.trend)
        return _MixturePrior(dims, entries, self)


class _StandardNormalPrior(Prior):
    def __init__(self, latent: int) -> None:
        super().__init__(entries=0)
        self.latent = latent

    def forward(self, phi: Tensor) -> Independent:
        loc = phi.new_zeros(*phi.shape[:-1], self.latent)
        return Normal(loc, loc.new_ones(()), validate_args=False).to_event(1)

    def laws(self, phi: Tensor, drop: float = 0.0, trend: Tensor | None = None) -> None:
        return None

    def law(self, phi: Tensor) -> None:
        return None

    def carry(self, noise: Tensor, phi: Tensor) -> Tensor:
        return noise


class _MixturePrior(Prior):
    def __init__(self, dims: Dimensions, entries: int, part: MixturePrior) -> None:
        super().__init__(entries, part.members)
        self.rest, self.each, self.floor = dims.latent - entries, part.components, part.floor
        outputs = part.components * (1 + 2 * entries)
        self.networks = StackedMLP(part.members, dims.inputs, outputs, part.hidden)
        size = part.members, dims.inputs, entries, part.trend
        self.trend = Trend(*size) if part.trend else None
        with torch.no_grad():
            # components start apart, else they stay equal
            loc = slice(part.components, part.components * (1 + entries))
            self._bias[..., loc].normal_(std=1.0)
            self._bias[..., loc.stop :].fill_(_UNIT)

    @property
    def biases(self) -> list[nn.Parameter]:
        return [self._bias]  # type: ignore[list-item]

    @property
    def _bias(self) -> Tensor:
        return self.networks.last.bias  # type: ignore[return-value]

    @torch.no_grad()
    def start_at(self, u: Tensor, spread: Tensor) -> None:
        c, k, members = self.each, self.entries, self.members
        rows = torch.arange(members * c) % len(u)
        self._bias[..., c : c * (1 + k)] = u[rows].nan_to_num().reshape(members, 1, c * k)
        # the inverse of softplus
        self._bias[..., c * (1 + k) :] = spread.clamp(min=_LEAST).expm1().log().repeat(c)

    def laws(self, phi: Tensor, drop: float = 0.0, trend: Tensor | None = None) -> NormalMixture:
        c, k = self.each, self.entries
        logits, loc, scale = self.networks(phi, drop).split([c, c * k, c * k], dim=-1)
        loc, scale = loc.unflatten(-1, (c, k)), softplus(scale).unflatten(-1, (c, k))
        if self.trend is not None:
            loc = loc + (self.trend(phi) if trend is None else trend).unsqueeze(-2)
        return NormalMixture(logits, loc, self.floor + scale)

    def law(self, phi: Tensor) -> NormalMixture:
        laws = self.laws(phi)
        return NormalMixture(
            laws.log_weights.movedim(0, -2).flatten(-2),
            laws.loc.movedim(0, -3).flatten(-3, -2),
            laws.scale.movedim(0, -3).flatten(-3, -2),
        )

    def forward(self, phi: Tensor) -> TorchDistribution:
        first = TransportedMixture(self.law(phi))
        if not self.rest:
            return first
        loc = phi.new_zeros(*phi.shape[:-1], self.rest)
        return Blocks(first, Normal(loc, loc.new_ones(()), validate_args=False).to_event(1))

    def carry(self, noise: Tensor, phi: Tensor) -> Tensor:
        return rosenblatt(self.law(phi), noise)


class TransportedMixture(TorchDistribution):
    """A `NormalMixture` whose draws are reparametrised by Rosenblatt's transport.

    Arguments:
        mixture: The mixture.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    support = constraints.real_vector  # pyright: ignore
    has_rsample = True

    def __init__(self, mixture: NormalMixture) -> None:
        self.mixture = mixture
        super().__init__(mixture.batch_shape, mixture.event_shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> TransportedMixture:
        return TransportedMixture(self.mixture.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.mixture.log_prob(value)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = torch.Size([*sample_shape, *self.batch_shape])
        law = self.mixture.expand(shape)
        return rosenblatt(law, torch.randn([*shape, *self.event_shape]).to(law.loc))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self.mixture.sample(sample_shape)

    @property
    def mean(self) -> Tensor:
        return self.mixture.mean

    @property
    def variance(self) -> Tensor:
        return self.mixture.variance


def rosenblatt(mixture: NormalMixture, noise: Tensor) -> Tensor:
    """The transport of standard normal `noise` with shape `(*, K)` to draws of the mixture."""
    log_weights, entries = mixture.log_weights, []
    for j in range(noise.shape[-1]):
        loc, scale = mixture.loc[..., j], mixture.scale[..., j]
        z = mixture_quantile(noise[..., j], log_weights.softmax(-1), loc, scale)
        standard = (z.unsqueeze(-1) - loc) / scale
        log_weights = log_weights - 0.5 * standard.square() - scale.log()
        entries.append(z)
    return torch.stack(entries, dim=-1)


_MOST, _LEAST = 2000, 0.02
_UNIT = 0.5413248546129181
"""The inverse softplus of 1."""
