r"""Estimators of :math:`P(m \in \mathcal{M}_d \mid \varphi)` and of its gradient, side by side.

======================  ========================================================================
estimator               gradient, averaged over draws
======================  ========================================================================
`ClosedForm`            :math:`\partial_\varphi P(m \in \mathcal{M}_d \mid z_0, g(\varphi))`
`ScoreFunction` (20)    :math:`1_{\mathcal{M}_d}(m)\, \partial_\varphi \log p(m \mid z_0,
                        g(\varphi))` with :math:`m \sim p(m \mid z_0, g(\varphi))`
`UniformInTarget` (21)  :math:`|\mathcal{M}_d|\, \partial_\varphi p(m \mid z_0, g(\varphi))` with
                        :math:`m \sim \mathcal{U}(\mathcal{M}_d)`
======================  ========================================================================

Each returns one differentiable number a φ: its value estimates P, its gradient :math:`\partial P /
\partial \varphi`, both without bias. The draws of z0 are a choice of their own: `plain`, `sobol`
(scrambled, so that each call is unbiased) or `antithetic`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..model import PSPGen
from .probability import property_law, sobol_normal
from .target import Target

__all__ = [
    "ClosedForm",
    "Estimator",
    "NoiseSource",
    "ScoreFunction",
    "UniformInTarget",
    "antithetic",
    "plain",
    "sobol",
]

NoiseSource = Callable[[int, int, torch.Generator], Tensor]
"""Maps draws, size and a generator to standard normal draws in float64 of shape `(draws, size)`;
each row has the standard normal law, whatever the rows have to do with each other."""


def plain(draws: int, size: int, generator: torch.Generator) -> Tensor:
    """Independent draws."""
    return torch.randn(draws, size, generator=generator, dtype=torch.float64)


def antithetic(draws: int, size: int, generator: torch.Generator) -> Tensor:
    """Draws in pairs of opposite sign."""
    half = plain((draws + 1) // 2, size, generator)
    return torch.cat([half, -half])[:draws]


def sobol(draws: int, size: int, generator: torch.Generator) -> Tensor:
    """Scrambled Sobol points under a fresh scrambling."""
    seed = torch.randint(2**31, (), generator=generator)
    return sobol_normal(draws, size, int(seed), torch.float64)


class Estimator(ABC):
    """An unbiased estimator of P and of its gradient by Monte Carlo."""

    draws: int
    noise: NoiseSource

    def __call__(
        self, model: PSPGen, target: Target, phi: Tensor, generator: torch.Generator
    ) -> Tensor:
        r"""One estimate a φ, differentiable.

        Arguments:
            model: The trained model.
            target: The region.
            phi: Process parameters, with shape `(N, P)`; all share the draws of z0.
            generator: The source of randomness.

        Returns:
            Estimates of P, with shape `(N)`; their gradients in `phi` estimate
            :math:`\partial P / \partial \varphi`.

        Raises:
            InputError: If the target cannot be used with this estimator.
        """
        noise = self.noise(self.draws, model.dims.latent, generator).to(model.m_loc)
        return self.each(model, target, phi, noise, generator).mean(dim=-1)

    @abstractmethod
    def each(
        self, model: PSPGen, target: Target, phi: Tensor, noise: Tensor, generator: torch.Generator
    ) -> Tensor:
        """The estimate from every draw of z0 apart, with shape `(N, S)`."""


@dataclass(frozen=True)
class ClosedForm(Estimator):
    """The integral over m in closed form; only z0 is drawn, and not even that where p(m | φ) has a
    closed form too.

    Arguments:
        draws: Draws of z0.
        noise: How z0 is drawn.
    """

    draws: int = 100
    noise: NoiseSource = sobol

    def each(
        self, model: PSPGen, target: Target, phi: Tensor, noise: Tensor, generator: torch.Generator
    ) -> Tensor:
        if (exact := model.property_given_process(phi)) is not None:
            return target.log_probability(exact).exp().unsqueeze(-1).expand(-1, len(noise))
        return target.log_probability(property_law(model, phi, noise)).exp()


@dataclass(frozen=True)
class ScoreFunction(Estimator):
    """Eq. 20: m is drawn from the model, and those in the target are pulled nearer.

    Arguments:
        draws: Draws of (z0, m).
        noise: How z0 is drawn.
    """

    draws: int = 100
    noise: NoiseSource = plain

    def each(
        self, model: PSPGen, target: Target, phi: Tensor, noise: Tensor, generator: torch.Generator
    ) -> Tensor:
        law = property_law(model, phi, noise)
        m = law.draw(generator)
        a, b = zip(*[box.ends(m) for box in target.boxes], strict=True)
        inside = ((m[..., None, :] >= torch.stack(a)) & (m[..., None, :] <= torch.stack(b))).all(
            -1
        )
        log_density = law.log_prob(m)
        # the factor is one; its gradient is the score
        return inside.any(dim=-1) * (log_density - log_density.detach()).exp()


@dataclass(frozen=True)
class UniformInTarget(Estimator):
    """Eq. 21: m is uniform in the target, weighed by the model's density.

    Arguments:
        draws: Draws of (z0, m).
        noise: How z0 is drawn.
    """

    draws: int = 100
    noise: NoiseSource = plain

    def each(
        self, model: PSPGen, target: Target, phi: Tensor, noise: Tensor, generator: torch.Generator
    ) -> Tensor:
        law = property_law(model, phi, noise)
        volume, m = _uniform(target, law.loc, len(noise), generator)
        return volume * law.log_prob(m).exp()


def _ends(target: Target, like: Tensor) -> tuple[Tensor, Tensor]:
    """The lower and the upper ends of the region's boxes, with shape `(boxes, K)` each."""
    lower, upper = zip(*[box.ends(like) for box in target.boxes], strict=True)
    return torch.stack(lower), torch.stack(upper)


def _uniform(
    target: Target, like: Tensor, draws: int, generator: torch.Generator
) -> tuple[float, Tensor]:
    """The volume of the region and uniform draws in it, with shape `(draws, K)`."""
    volumes = np.array([box.volume for box in target.boxes])
    if not np.isfinite(volumes).all():
        raise InputError(
            f"'target' is {target}, which has infinite volume, so no m can be uniform in it; use "
            "ClosedForm or ScoreFunction, or give every property two ends."
        )
    a, b = _ends(target, like)
    index = torch.multinomial(
        torch.tensor(volumes), draws, replacement=True, generator=generator
    ).to(like.device)
    u = torch.rand(draws, a.shape[-1], generator=generator, dtype=like.dtype).to(like.device)
    return float(volumes.sum()), a[index] + (b - a)[index] * u
