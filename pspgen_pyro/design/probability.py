r"""The probability that the material meets the target (Eq. 1, 7), closed-form in m.

.. math::
    P(m \in \mathcal{M}_d \mid \varphi) = \mathbb{E}_{p(z_0 \mid \varphi)}\left[
        P(m \in \mathcal{M}_d \mid z_0, g(\varphi)) \right]
    \approx \frac{1}{S} \sum_{s=1}^{S} P\left(m \in \mathcal{M}_d \mid z_0^{(s)}, g(\varphi)\right)

The inner probability has a closed form, so only z0 is sampled, at scrambled Sobol points that stay
the same for every φ: the surface is smooth and its gradient exact for the sample. Independent
scramblings give the standard error.

An ensemble's members :math:`k = 1 \dots K` differ in their first weights, the order of their
data and, by the bootstrap, in the data themselves. For the indicator :math:`1(m \in
\mathcal{M}_d)` the law of total variance splits what is unknown about one material into two
parts,

.. math::
    \underbrace{\bar P (1 - \bar P)}_{\text{total}} =
    \underbrace{\mathbb{E}_k[P_k (1 - P_k)]}_{\text{aleatoric: more data do not help}} +
    \underbrace{\operatorname{Var}_k(P_k)}_{\text{epistemic: they do}}, \qquad
    P_k = P_k(m \in \mathcal{M}_d \mid \varphi),\ \bar P = \mathbb{E}_k[P_k].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..errors import InputError
from ..io.validation import check_positive
from ..model import PSPGen
from ..model.distributions import NormalMixture
from ..model.ensemble import Ensemble
from .parsing import Requirement
from .target import Target

__all__ = [
    "EnsembleEstimate",
    "Estimate",
    "log_probability",
    "mean_of",
    "probability",
    "property_law",
    "scrambled",
    "sobol_normal",
    "weighted_law",
]

# the widest layer of so many rows fits the second-level cache
_CHUNK = 1 << 12


@dataclass(frozen=True)
class Estimate:
    """A probability, or another mean, and its standard error, with shape `(*)` each."""

    value: NDArray[np.float64]
    standard_error: NDArray[np.float64]

    def to_json(self, name: str = "value") -> dict[str, Any]:
        """Value, under `name`, and standard error of one estimate; None where it is not finite."""
        pair = {name: float(self.value), "standard_error": float(self.standard_error)}
        return {key: number if np.isfinite(number) else None for key, number in pair.items()}

    def __str__(self) -> str:
        pairs = zip(np.ravel(self.value), np.ravel(self.standard_error), strict=True)
        return ", ".join(self._words(float(value), float(error)) for value, error in pairs)

    @staticmethod
    def _words(value: float, error: float) -> str:
        if error < 1e-12:
            return f"{value:.3f} ± 0" if abs(value) >= 0.01 else f"{value:.1e} ± 0"
        form = ".3f" if abs(value) >= 0.01 else ".1e"
        # an error that three decimals would print as 0
        fine = ".0e" if form == ".3f" and 0 < error < 5e-4 else form
        return f"{value:{form}} ± {error:{fine}}"


@dataclass(frozen=True, eq=False)
class EnsembleEstimate(Estimate):
    r"""The probability of a target by an ensemble, and how far its members agree.

    `value` is the mean :math:`\bar P`, `standard_error` that of its integral over z0; both have
    shape `(*)`.

    Arguments:
        members: The probability by each member, with shape `(K, *)`.
        target: The region that was asked for.
        phi: The process parameters, with shape `(*, P)`.
    """

    members: NDArray[np.float64]
    target: Target
    phi: NDArray[np.float64]

    @property
    def aleatoric(self) -> NDArray[np.float64]:
        r"""The spread :math:`\sqrt{\mathbb{E}_k[P_k (1 - P_k)]}` of the indicator that would be
        left if every member were right, with shape `(*)`."""
        return np.sqrt((self.members * (1 - self.members)).mean(axis=0))

    @property
    def epistemic(self) -> NDArray[np.float64]:
        r"""The standard deviation of :math:`P_k` over the members, from the unbiased variance,
        with shape `(*)`; NaN for one member, which cannot tell."""
        if len(self.members) < 2:
            return np.full(self.members.shape[1:], np.nan)
        return self.members.std(axis=0, ddof=1)

    def to_json(self, name: str = "value") -> dict[str, Any]:
        """With the parts and each member's P, if there are several."""
        parts = {
            "aleatoric": float(self.aleatoric),
            "epistemic": float(self.epistemic),
            "members": self.members.tolist(),
        }
        return super().to_json(name) | (parts if len(self.members) > 1 else {})

    def __str__(self) -> str:
        if len(self.members) < 2:
            return f"{super().__str__()} (1 member: what the data leave open is unknown)"
        return (
            f"{float(self.value):.3f} ± {float(self.epistemic):.3f} over {len(self.members)} "
            f"members (aleatoric ± {float(self.aleatoric):.3f})"
        )


def sobol_normal(draws: int, size: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Scrambled Sobol points as standard normal draws, with shape `(draws, size)`.

    Raises:
        InputError: If `draws` is not positive.
    """
    check_positive(draws=draws)
    uniform = torch.quasirandom.SobolEngine(size, scramble=True, seed=seed).draw(
        draws, dtype=torch.float64
    )
    return torch.special.ndtri(uniform.clamp(1e-10, 1 - 1e-10)).to(dtype)


def property_law(model: PSPGen, phi: Tensor, noise: Tensor) -> NormalMixture:
    r"""The distributions :math:`p(m \mid z_0^{(s)}, g(\varphi))` on a sample of z0.

    Arguments:
        model: The trained model.
        phi: Process parameters, with shape `(N, P)`.
        noise: Standard normal draws, with shape `(S, D0)`; the prior transports them to z0.

    Returns:
        The mixtures, with batch shape `(N, S)`.
    """
    shape = (*phi.shape[:-1], noise.shape[-2])
    z0 = model.prior.transport(noise.expand(*shape, -1), model.standardise(phi.unsqueeze(-2)))
    z1 = model.latent_of_process(phi).unsqueeze(-2).expand(*shape, -1)
    return model.property_given(z0, z1)


def weighted_law(model: PSPGen, phi: Tensor, noise: Tensor) -> tuple[NormalMixture, Tensor]:
    r"""Distributions of m on a sample of z0, and the logarithms of their weights, with shape `(N,
    S)`.

    Where p(m | φ) has a closed form it is that, S is one and the noise is not looked at.
    """
    if (exact := model.property_given_process(phi)) is not None:
        law = exact.unsqueezed()
        return law, law.log_weights.new_zeros(law.batch_shape)
    law = property_law(model, phi, noise)
    return law, law.log_weights.new_full(law.batch_shape, -math.log(noise.shape[-2]))


def log_probability(model: PSPGen, target: Target, phi: Tensor, noise: Tensor) -> Tensor:
    r"""The value of :math:`\log P(m \in \mathcal{M}_d \mid \varphi)` on a fixed sample.

    Arguments:
        model: The trained model.
        target: The region.
        phi: Process parameters, with shape `(N, P)`.
        noise: Standard normal draws, with shape `(S, D0)`; the prior transports them to z0.

    Returns:
        The log-probability, with shape `(N)`; differentiable in `phi`.
    """
    law, log_weights = weighted_law(model, phi, noise)
    return torch.logsumexp(target.log_probability(law) + log_weights, dim=-1)


def probability(
    model: PSPGen | Ensemble,
    target: Target | Requirement,
    phi: ArrayLike,
    *,
    draws: int = 1024,
    replicates: int = 8,
    seed: int = 1,
) -> Estimate:
    r"""The probability :math:`P(m \in \mathcal{M}_d \mid \varphi)` and its standard error.

    Arguments:
        model: The trained model; of an ensemble, the mean over its members, as an
            `EnsembleEstimate`.
        target: The region.
        phi: Process parameters, with shape `(*, P)`.

    Other arguments:
        draws: Sobol points a scrambling.
        replicates: Independent scramblings; the standard error is that of their mean.
        seed: Seeds the scramblings.

    Raises:
        InputError: If φ lies outside the process space, the target has another dimension than m,
            or there are fewer than two replicates.
    """
    options = {"draws": draws, "replicates": replicates, "seed": seed}
    if isinstance(model, Ensemble):
        return _of_ensemble(model, target.resolve(model.schema), phi, options)
    values = model.process.check(phi)
    region = target.resolve(model.schema)

    def p(phi: Tensor, noise: Tensor) -> Tensor:
        return log_probability(model, region, phi, noise).exp()

    return mean_of(scrambled(model, p, values, **options))


def _of_ensemble(
    ensemble: Ensemble, target: Target, phi: ArrayLike, options: dict[str, Any]
) -> EnsembleEstimate:
    """The probability by every member, on the same Sobol points."""
    values = ensemble.process.check(phi)

    def p(member: PSPGen) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda phi, noise: log_probability(member, target, phi, noise).exp()

    found = np.stack([scrambled(one, p(one), values, **options) for one in ensemble])
    mean = mean_of(found.mean(axis=0))
    members = found.mean(axis=1)
    return EnsembleEstimate(mean.value, mean.standard_error, members, target, values)


def mean_of(replicates: NDArray[np.float64]) -> Estimate:
    """The mean of independent replicates with shape `(R, *)`, and its standard error."""
    error = replicates.std(axis=0, ddof=1) / len(replicates) ** 0.5
    return Estimate(replicates.mean(axis=0), error)


@torch.no_grad()
def scrambled(
    model: PSPGen,
    mean: Callable[[Tensor, Tensor], Tensor],
    phi: NDArray[np.float64],
    *,
    draws: int,
    replicates: int,
    seed: int,
) -> NDArray[np.float64]:
    """The mean of any function of φ and z0 by each of several scramblings.

    Arguments:
        model: The trained model.
        mean: Maps φ with shape `(N, P)` and noise with shape `(S, D0)` to the means over S, with
            shape `(N)`.
        phi: Process parameters, with shape `(*, P)`.

    Other arguments:
        draws: Sobol points a scrambling.
        replicates: Independent scramblings.
        seed: Seeds the scramblings.

    Returns:
        The means, with shape `(replicates, *)`.

    Raises:
        InputError: If there are fewer than two replicates.
    """
    if replicates < 2:
        raise InputError(f"'replicates' is {replicates}; a standard error needs at least 2.")
    inputs = model.tensor(phi.reshape(-1, len(model.process)))
    estimates = []
    for child in np.random.SeedSequence(seed).generate_state(replicates):
        noise = sobol_normal(draws, model.dims.latent, int(child), model.m_loc.dtype).to(
            inputs.device
        )
        parts = inputs.split(max(1, _CHUNK // draws))
        estimates.append(torch.cat([mean(part, noise) for part in parts]))
    return torch.stack(estimates).double().cpu().numpy().reshape(replicates, *phi.shape[:-1])
