r"""Laws of :math:`z_0` in two blocks: the first entries u given φ, beside those that are left.

.. math:: p(z_0 \mid \varphi) = p(u \mid \varphi)\, p(w \mid \varphi), \qquad z_0 = (u, w)

A prior of u says its `law` and its transport, `carry`; `Conditional` does the rest.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from pyro.distributions import Independent, Normal, TorchDistribution
from torch import Tensor, nn
from torch.distributions import kl_divergence

from ..errors import InputError
from .base import Dimensions, Part
from .distributions import NormalMixture

__all__ = ["Conditional", "DiagonalLaw", "StandardNormalRest"]


class Conditional(nn.Module):
    """A prior whose first entries depend on φ, beside another one of the rest."""

    closed_form = False

    def __init__(self, dims: Dimensions, entries: int, rest: Part | None) -> None:
        super().__init__()
        self.latent, self.entries = dims.latent, entries
        others = dataclasses.replace(dims, latent=dims.latent - entries)
        self.rest: Any = StandardNormalRest(others.latent) if rest is None else rest.build(others)
        covered = getattr(self.rest, "entries", others.latent)
        if not self.rest.closed_form or covered < others.latent:
            raise InputError(
                f"'rest' is {rest}, but it must cover all other entries and have its divergence "
                "in closed form; take a StationaryPrior, or a GaussianPrior with `entries=None`."
            )

    def law(self, phi: Tensor) -> Any:
        """The distribution of the first entries."""
        raise AttributeError("law")

    def laws(self, phi: Tensor) -> list[Any]:
        """The laws that are fitted apart, of which `law` is the even mixture."""
        return [self.law(phi)]

    def carry(self, noise: Tensor, phi: Tensor) -> Tensor:
        """The transport of the first entries."""
        raise AttributeError("carry")

    def own_parameters(self) -> list[nn.Parameter]:
        """The parameters of the first entries' law."""
        others = {id(p) for p in self.rest.parameters()}
        return [p for p in self.parameters() if id(p) not in others]

    def forward(self, phi: Tensor) -> TorchDistribution:
        return _Blocks(self, phi)

    def transport(self, noise: Tensor, phi: Tensor) -> Tensor:
        """Maps standard normal `noise` with shape `(*, D0)` to draws of z0 given φ."""
        first = self.carry(noise[..., : self.entries], phi)
        return self.completed(first, noise[..., self.entries :], phi)

    def tied(self, entries: int) -> int:
        """How many first entries must be drawn together to know that many of them."""
        if entries <= self.entries:
            return self.entries
        return entries if isinstance(self.rest, StandardNormalRest) else self.latent

    def carried(self, noise: Tensor, phi: Tensor) -> tuple[Tensor, Tensor]:
        """The first entries on every branch, with shape `(*, C, entries)`, and the logarithms of
        the branches' probabilities; a prior that is no mixture has one branch."""
        return self.carry(noise, phi).unsqueeze(-2), noise.new_zeros(*noise.shape[:-1], 1)

    def branches(self, noise: Tensor, phi: Tensor) -> tuple[Tensor, Tensor]:
        """Draws of the first entries from each of the distributions that the prior is a mixture
        of.

        Arguments:
            noise: Standard normal draws, with shape `(*, E)`, E being `tied` of something.
            phi: Standardised settings, with shape `(*, P)`.

        Returns:
            z0 with shape `(*, C, E)` and the logarithms of the distributions' probabilities with
            shape `(*, C)`.
        """
        first, log_weights = self.carried(noise[..., : self.entries], phi)
        if noise.shape[-1] == self.entries:
            return first, log_weights
        others = self.rest.carry(noise[..., self.entries :], phi).unsqueeze(-2)
        others = others.expand(*first.shape[:-1], -1)
        return torch.cat([first, others], dim=-1), log_weights

    def completed(self, first: Tensor, noise: Tensor, phi: Tensor) -> Tensor:
        """The first entries and, from standard normal `noise`, the others after them."""
        if not noise.shape[-1]:
            return first
        return torch.cat([first, self.rest.carry(noise, phi)], dim=-1)


class StandardNormalRest(nn.Module):
    """Entries that are standard normal whatever φ.

    Arguments:
        latent: How many they are.
    """

    closed_form = True

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent

    def law(self, phi: Tensor) -> _StandardNormalLaw:
        return _StandardNormalLaw()

    def carry(self, noise: Tensor, phi: Tensor) -> Tensor:
        return noise


class DiagonalLaw:
    """A diagonal Gaussian law."""

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.normal = Normal(loc, scale, validate_args=False).to_event(1)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.normal.log_prob(value)

    def as_mixture(self) -> NormalMixture:
        """The same law as a mixture of one."""
        loc, scale = self.normal.mean.unsqueeze(-2), self.normal.stddev.unsqueeze(-2)
        return NormalMixture(torch.zeros_like(loc[..., 0]), loc, scale)

    def entry_divergence(self, loc: Tensor, scale: Tensor) -> Tensor:
        q = Normal(loc, scale, validate_args=False)
        return kl_divergence(q, self.normal.base_dist)

    def divergence(self, loc: Tensor, scale: Tensor) -> Tensor:
        return self.entry_divergence(loc, scale).sum(-1)


class _StandardNormalLaw:
    """The standard normal law of the entries that no prior covers."""

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * (value.square() + _LOG_2PI).sum(-1)

    def entry_divergence(self, loc: Tensor, scale: Tensor) -> Tensor:
        return 0.5 * (loc.square() + scale.square() - 1) - scale.log()

    def divergence(self, loc: Tensor, scale: Tensor) -> Tensor:
        return self.entry_divergence(loc, scale).sum(-1)


_DIAGONAL = (DiagonalLaw, _StandardNormalLaw)


class _Blocks(TorchDistribution):
    """A law of the first entries of z0 beside one of the others."""

    def __init__(self, prior: Conditional, phi: Tensor) -> None:
        self.prior, self.phi = prior, phi
        self.first, self.others = prior.law(phi), prior.rest.law(phi)
        super().__init__(phi.shape[:-1], torch.Size([prior.latent]), validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> _Blocks:
        return self.prior(self.phi.expand(*batch_shape, self.phi.shape[-1]))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = (*sample_shape, *self.batch_shape)
        noise = torch.randn(*shape, self.prior.latent).to(self.phi)
        return self.prior.transport(noise, self.phi.expand(*shape, -1))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        split = self.prior.entries
        first = self.first.log_prob(value[..., :split])
        return first + self.others.log_prob(value[..., split:])

    def divergence(self, q: Independent, value: Tensor) -> Tensor:
        """The divergence KL(q ‖ self) of a diagonal Gaussian, in closed form but for first entries
        whose law has none: those take the one draw `value`."""
        split, loc, scale = self.prior.entries, q.mean, q.stddev
        others = self.others.divergence(loc[..., split:], scale[..., split:])
        if hasattr(self.first, "divergence"):
            return others + self.first.divergence(loc[..., :split], scale[..., :split])
        first = Normal(loc[..., :split], scale[..., :split], validate_args=False).to_event(1)
        drawn = value[..., :split]
        return others + first.log_prob(drawn) - self.first.log_prob(drawn)

    def entry_divergence(self, q: Independent) -> Tensor | None:
        """The divergence KL(q ‖ self) of every entry from a diagonal Gaussian, with shape `(*,
        D0)`; None if a law is no diagonal Gaussian."""
        if not isinstance(self.first, _DIAGONAL) or not isinstance(self.others, _DIAGONAL):
            return None
        split, loc, scale = self.prior.entries, q.mean, q.stddev
        first = self.first.entry_divergence(loc[..., :split], scale[..., :split])
        others = self.others.entry_divergence(loc[..., split:], scale[..., split:])
        return torch.cat([first, others], dim=-1)


_LOG_2PI = 1.8378770664093453
