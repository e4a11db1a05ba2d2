r"""The probability that the material meets the target (Eq. 1, 7), closed-form in m.

.. math::
    P(m \in \mathcal{M}_d \mid \varphi) = \mathbb{E}_{p(z_0 \mid \varphi)}\left[
        P(m \in \mathcal{M}_d \mid z_0, g(\varphi)) \right]
    \approx \frac{1}{S} \sum_{s=1}^{S} P\left(m \in \mathcal{M}_d \mid z_0^{(s)}, g(\varphi)\right)

The inner probability has a closed form, so only z0 is sampled, at scrambled Sobol points that stay
the same for every φ: the surface is smooth and its gradient exact for the sample. Independent
scramblings give the standard error. Where p(m | φ) has a closed form nothing is sampled.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..errors import InputError
from ..io.validation import check_positive
from ..model import PSPGen
from ..model.distributions import NormalMixture
from ..model.ensemble import Ensemble
from ..process import ProcessSpace
from .estimates import EnsembleEstimate, ends_of, link, mean_of
from .parsing import Requirement
from .target import Target

__all__ = [
    "log_probability",
    "opinions",
    "probability",
    "property_law",
    "scrambled",
    "sobol_normal",
    "typical_variance",
    "weighted_law",
]

_PLACES, _COARSE = 256, 64
# the widest layer of so many rows fits the second-level cache
_CHUNK = 1 << 12


@torch.no_grad()
def typical_variance(model: PSPGen | Ensemble, target: Target, noise: Tensor) -> float:
    """The mean over the process space of the variance of :math:`h(P_k)`; `noise` as of
    `opinions`."""
    places = model.tensor(_places(model.process))
    parts = places.split(max(1, _CHUNK // len(noise)))
    each = torch.cat([opinions(model, target, part, noise) for part in parts], dim=1)
    return float(link(each.exp().double()).var(dim=0).mean())


def _places(process: ProcessSpace) -> NDArray[np.float64]:
    """Settings all over the process space, with shape `(256, P)`."""
    if not process.boxed:
        return process.sample(_PLACES, np.random.default_rng(0))
    engine = torch.quasirandom.SobolEngine(len(process), scramble=True, seed=0)
    unit = engine.draw(_PLACES, dtype=torch.float64)
    low, high = torch.tensor([process.lower, process.upper]).double()
    return (low + (high - low) * unit).numpy()


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


def opinions(model: PSPGen | Ensemble, target: Target, phi: Tensor, noise: Tensor) -> Tensor:
    r"""The value of :math:`\log P_k(m \in \mathcal{M}_d \mid \varphi)` by each network.

    Arguments:
        model: The trained model, or an ensemble.
        target: The region.
        phi: Process parameters, with shape `(N, P)`.
        noise: Standard normal draws, with shape `(S, D0)`; the prior transports them to z0 where
            p(m | φ) has no closed form.

    Returns:
        The log-probabilities, with shape `(K, N)`; differentiable in `phi`.
    """
    return torch.cat([_opinions(member, target, phi, noise) for member in model.members])


def _opinions(model: PSPGen, target: Target, phi: Tensor, noise: Tensor) -> Tensor:
    if (laws := model.property_laws(phi)) is not None:
        return target.log_probability(laws)
    law, log_weights = weighted_law(model, phi, noise)
    return torch.logsumexp(target.log_probability(law) + log_weights, dim=-1).unsqueeze(0)


def log_probability(
    model: PSPGen | Ensemble, target: Target, phi: Tensor, noise: Tensor
) -> Tensor:
    r"""The value of :math:`\log P(m \in \mathcal{M}_d \mid \varphi)` on a fixed sample, the mean
    over the networks, with shape `(N)`; arguments as of `opinions`."""
    each = opinions(model, target, phi, noise)
    return each.logsumexp(dim=0) - math.log(len(each))


def probability(
    model: PSPGen | Ensemble,
    target: Target | Requirement,
    phi: ArrayLike,
    *,
    draws: int = 1024,
    replicates: int = 8,
    seed: int = 1,
) -> EnsembleEstimate:
    r"""The probability :math:`P(m \in \mathcal{M}_d \mid \varphi)`, with a 90 % interval for what
    training could not know.

    Arguments:
        model: The trained model, or an ensemble.
        target: The region.
        phi: Process parameters, with shape `(*, P)`.

    Other arguments:
        draws: Sobol points a scrambling; unused where p(m | φ) has a closed form.
        replicates: Independent scramblings; the standard error is that of their mean.
        seed: Seeds the scramblings.

    Raises:
        InputError: If φ lies outside the process space, the target has another dimension than m,
            or there are fewer than two replicates.
    """
    values = model.process.check(phi)
    region = target.resolve(model.schema)

    def p(member: PSPGen) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda phi, noise: _opinions(member, region, phi, noise).exp()

    options = {"draws": draws, "replicates": replicates, "seed": seed}
    found = [scrambled(one, p(one), values, **options) for one in model.members]
    each = np.concatenate(found, axis=1)
    mean, members = mean_of(each.mean(axis=1)), each.mean(axis=0)
    told = {"members": members, "target": region, "phi": values}
    if len(members) == 1:
        return EnsembleEstimate(mean.value, mean.standard_error, **told, typical=np.nan)
    noise = sobol_normal(_COARSE, model.dims.latent, seed).to(model.m_loc)
    typical = typical_variance(model, region, noise)
    ends = ends_of(members, typical)
    return EnsembleEstimate(mean.value, mean.standard_error, *ends, **told, typical=typical)


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
            shape `(N)` or `(K, N)`.
        phi: Process parameters, with shape `(*, P)`.

    Other arguments:
        draws: Sobol points a scrambling.
        replicates: Independent scramblings.
        seed: Seeds the scramblings.

    Returns:
        The means, with shape `(replicates, *)` or `(replicates, K, *)`.

    Raises:
        InputError: If there are fewer than two replicates.
    """
    if replicates < 2:
        raise InputError(f"'replicates' is {replicates}; a standard error needs at least 2.")
    inputs = model.tensor(phi.reshape(-1, len(model.process)))
    estimates = []
    # a closed form is the same for every sample
    exact = model.property_given_process(inputs[:1]) is not None
    for child in np.random.SeedSequence(seed).generate_state(1 if exact else replicates):
        noise = sobol_normal(draws, model.dims.latent, int(child), model.m_loc.dtype).to(
            inputs.device
        )
        parts = inputs.split(_CHUNK if exact else max(1, _CHUNK // draws))
        estimates.append(torch.cat([mean(part, noise) for part in parts], dim=-1))
    found = torch.stack(estimates).double().cpu().numpy()
    found = found.reshape(*found.shape[:-1], *phi.shape[:-1])
    return np.repeat(found, replicates, axis=0) if exact else found
