r"""Priors of :math:`z_0`: what the process does not control (Eq. 4).

The paper's prior is the same for every :math:`\varphi`, and then :math:`\int q(z_0 \mid x, m,
\varphi)\, p(x, m \mid \varphi)\, dx\, dm` must be the same for every :math:`\varphi` too, or the
probabilities are wrong. The others are learned: with the rest of the model, or afterwards from the
aggregate of the guide (`stages.fit_prior`). Each may be limited to the first `entries` of
:math:`z_0`, those that the property decoder reads, and leaves the others to another prior.

Besides the distribution itself a prior gives its *transport*, a differentiable map from standard
normal draws to draws of :math:`z_0`, so that one fixed set of quasi-random points serves every
:math:`\varphi`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import zuko
from pyro.distributions import Independent, Normal
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..errors import InputError
from .base import Dimensions, Part
from .blocks import Conditional, DiagonalLaw, StandardNormalRest
from .distributions import NormalMixture, mixture_quantile
from .nn import ResidualMLP

__all__ = ["FlowPrior", "GaussianPrior", "MixturePrior", "StandardNormalPrior"]


@dataclass(frozen=True)
class StandardNormalPrior(Part):
    r"""The paper's :math:`p(z_0) = \mathcal{N}(0, I)`, the same for every :math:`\varphi`."""

    def build(self, dims: Dimensions) -> nn.Module:
        return _StandardNormalPrior(dims.latent)


class _StandardNormalPrior(StandardNormalRest):
    def forward(self, phi: Tensor) -> Independent:
        loc = phi.new_zeros(*phi.shape[:-1], self.latent)
        return Normal(loc, loc.new_ones(()), validate_args=False).to_event(1)

    def transport(self, noise: Tensor, phi: Tensor) -> Tensor:
        """Maps standard normal `noise` with shape `(*, D0)` to z0; here it is the identity."""
        return noise

    def tied(self, entries: int) -> int:
        """How many first entries must be drawn together to know that many of them."""
        return entries

    def branches(self, noise: Tensor, phi: Tensor) -> tuple[Tensor, Tensor]:
        """As for every prior: see `Conditional.branches`."""
        return noise.unsqueeze(-2), noise.new_zeros(*noise.shape[:-1], 1)

    def completed(self, first: Tensor, noise: Tensor, phi: Tensor) -> Tensor:
        """As for every prior: see `Conditional.completed`."""
        return torch.cat([first, noise], dim=-1)


@dataclass(frozen=True)
class GaussianPrior(Part):
    r"""A diagonal Gaussian of the first entries u of z0, :math:`p(u \mid \varphi) =
    \mathcal{N}(\mu(\varphi), \operatorname{diag} s(\varphi)^2)`.

    Arguments:
        entries: How many entries of z0, counted from the first, depend on φ; None for all.
        hidden: The widths of the hidden layers.
        rest: The prior of the other entries, stationary or Gaussian; standard normal if None.
    """

    entries: int | None = None
    hidden: tuple[int, ...] = (64, 64)
    rest: Part | None = None

    def build(self, dims: Dimensions) -> nn.Module:
        return _GaussianPrior(dims, _entries(self.entries, dims), self)


@dataclass(frozen=True)
class MixturePrior(Part):
    r"""A mixture of diagonal Gaussians, :math:`p(u \mid \varphi) = \sum_c w_c(\varphi)\,
    \mathcal{N}(u \mid \mu_c(\varphi), \operatorname{diag} s_c(\varphi)^2)`, of the first entries u
    of z0.

    The transport is Rosenblatt's: entry by entry, the conditional distribution function of the
    mixture is set equal to that of the noise.

    Arguments:
        components: The number of Gaussians.
        entries: How many entries of z0, counted from the first, it covers; None for all.
        hidden: The widths of the hidden layers.
        floor: The smallest standard deviation.
        rest: The prior of the other entries, stationary or Gaussian; standard normal if None.
        members: How many networks of equal weight, each fitted as if it were alone, make the
            mixture: their mean errs less than one of them.
    """

    components: int = 16
    entries: int | None = 2
    hidden: tuple[int, ...] = (64, 64)
    floor: float = 0.02
    rest: Part | None = None
    members: int = 2

    def build(self, dims: Dimensions) -> nn.Module:
        return _MixturePrior(dims, _entries(self.entries, dims), self)


@dataclass(frozen=True)
class FlowPrior(Part):
    r"""An autoregressive neural spline flow (zuko) of the first entries of z0, given
    :math:`\varphi`.

    Arguments:
        transforms: The number of spline transforms.
        bins: The bins of a spline.
        entries: How many entries of z0, counted from the first, it covers; None for all.
        hidden: The widths of the hidden layers.
        rest: The prior of the other entries, stationary or Gaussian; standard normal if None.

    References:
        Neural Spline Flows (Durkan et al., 2019)
    """

    transforms: int = 1
    bins: int = 8
    entries: int | None = 2
    hidden: tuple[int, ...] = (64, 64)
    rest: Part | None = None

    def build(self, dims: Dimensions) -> nn.Module:
        return _FlowPrior(dims, _entries(self.entries, dims), self)


def _entries(entries: int | None, dims: Dimensions) -> int:
    count = dims.latent if entries is None else entries
    if not 1 <= count <= dims.latent:
        raise InputError(
            f"'entries' is {entries} but z0 has {dims.latent} entries; choose a number between 1 "
            "and that, or None for all."
        )
    return count


class _GaussianPrior(Conditional):
    closed_form = True

    def __init__(self, dims: Dimensions, entries: int, part: GaussianPrior) -> None:
        super().__init__(dims, entries, part.rest)
        self.network = ResidualMLP(dims.process, 2 * entries, part.hidden, "silu")
        with torch.no_grad():
            # starts as the standard normal
            self.network[-1].weight.mul_(0.1)  # type: ignore[union-attr]
            self.network[-1].bias.fill_(0.0)  # type: ignore[union-attr]
            self.network[-1].bias[entries:] = _UNIT  # type: ignore[index]

    def _moments(self, phi: Tensor) -> tuple[Tensor, Tensor]:
        loc, scale = self.network(phi).chunk(2, dim=-1)
        return loc, 1e-3 + softplus(scale)

    def law(self, phi: Tensor) -> DiagonalLaw:
        return DiagonalLaw(*self._moments(phi))

    def carry(self, noise: Tensor, phi: Tensor) -> Tensor:
        loc, scale = self._moments(phi)
        return loc + scale * noise


class _MixturePrior(Conditional):
    def __init__(self, dims: Dimensions, entries: int, part: MixturePrior) -> None:
        super().__init__(dims, entries, part.rest)
        if part.members < 1:
            raise InputError(f"'members' is {part.members}; a prior needs at least one network.")
        self.each, self.floor = part.components, part.floor
        self.components = part.components * part.members
        outputs = part.components * (1 + 2 * entries)
        self.networks = nn.ModuleList(
            ResidualMLP(dims.process, outputs, part.hidden, "silu") for _ in range(part.members)
        )
        with torch.no_grad():
            # components start apart, else they stay equal
            loc = slice(part.components, part.components * (1 + entries))
            for network in self.networks:
                bias: Tensor = network[-1].bias  # type: ignore[assignment,index]
                bias[loc].normal_(std=1.0)
                bias[loc.stop :].fill_(_UNIT)

    def laws(self, phi: Tensor) -> list[NormalMixture]:
        """What each network says."""
        c, k = self.each, self.entries
        found = []
        for network in self.networks:
            logits, loc, scale = network(phi).split([c, c * k, c * k], dim=-1)
            loc, scale = loc.unflatten(-1, (c, k)), softplus(scale).unflatten(-1, (c, k))
            found.append(NormalMixture(logits, loc, self.floor + scale))
        return found

    def law(self, phi: Tensor) -> NormalMixture:
        laws = self.laws(phi)
        return NormalMixture(
            torch.cat([law.log_weights for law in laws], dim=-1),
            torch.cat([law.loc for law in laws], dim=-2),
            torch.cat([law.scale for law in laws], dim=-2),
        )

    def carried(self, noise: Tensor, phi: Tensor) -> tuple[Tensor, Tensor]:
        mixture = self.law(phi)
        return mixture.loc + mixture.scale * noise.unsqueeze(-2), mixture.log_weights

    def strata(self, noise: Tensor, phi: Tensor) -> tuple[Tensor, Tensor]:
        """A weighted sample of z0: as many draws from each component, weighted by its probability.

        Arguments:
            noise: Standard normal draws, with shape `(S, D0)`, at least one a component.
            phi: Standardised settings, with shape `(*, P)`.

        Returns:
            z0 with shape `(*, S', D0)` and the logarithms of the weights with shape `(*, S')`,
            where S' is the largest multiple of the number of components that S allows.
        """
        mixture = self.law(phi)
        each = noise.shape[-2] // self.components
        used = noise[: each * self.components]
        first = used[:, : self.entries].unflatten(0, (self.components, each))
        first = mixture.loc.unsqueeze(-2) + mixture.scale.unsqueeze(-2) * first
        others = used[:, self.entries :].expand(*phi.shape[:-1], -1, -1)
        others = self.rest.carry(others, phi.unsqueeze(-2))
        log_weights = (mixture.log_weights - math.log(each)).repeat_interleave(each, dim=-1)
        return torch.cat([first.flatten(-3, -2), others], dim=-1), log_weights

    def carry(self, noise: Tensor, phi: Tensor) -> Tensor:
        mixture = self.law(phi)
        log_weights, entries = mixture.log_weights, []
        for j in range(self.entries):
            loc, scale = mixture.loc[..., j], mixture.scale[..., j]
            z = mixture_quantile(noise[..., j], log_weights.softmax(-1), loc, scale)
            standard = (z.unsqueeze(-1) - loc) / scale
            log_weights = log_weights - 0.5 * standard.square() - scale.log()
            entries.append(z)
        return torch.stack(entries, dim=-1)


class _FlowPrior(Conditional):
    def __init__(self, dims: Dimensions, entries: int, part: FlowPrior) -> None:
        super().__init__(dims, entries, part.rest)
        self.flow = zuko.flows.NSF(
            entries,
            dims.process,
            transforms=part.transforms,
            bins=part.bins,
            hidden_features=part.hidden,
        )

    def law(self, phi: Tensor) -> Any:
        return self.flow(phi)

    def carry(self, noise: Tensor, phi: Tensor) -> Tensor:
        return self.flow(phi).transform.inv(noise)


_UNIT = 0.5413248546129181
"""The inverse softplus of 1."""
