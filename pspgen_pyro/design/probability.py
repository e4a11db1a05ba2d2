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
from numpy.typing import NDArray
from torch import Tensor

from ..io.validation import check_memory, check_seed, check_whole
from ..model import PSPGen
from ..model.distributions import NormalMixture
from ..model.ensemble import Ensemble
from .target import Target
from .tolerance import Tolerance

__all__ = [
    "CHUNK",
    "fixed_sample",
    "log_probability",
    "opinions",
    "property_law",
    "scrambled",
    "sobol_normal",
    "weighted_law",
]

CHUNK = 1 << 12
"""So many rows at once: the widest layer of them fits the second-level cache."""

_MOST_DRAWS, _MOST_REPLICATES = 2**30, 10_000

# δ has few dimensions, and nothing else is sampled
_FEWER = 4


def sobol_normal(draws: int, size: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Scrambled Sobol points as standard normal draws, with shape `(draws, size)`.

    Raises:
        InputError: If `draws` is not positive.
    """
    check_whole(draws=draws, most=_MOST_DRAWS)
    check_seed(seed)
    check_memory("draws", draws, 32 * size)
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
    return _law(model, phi.unsqueeze(-2), noise)


def _law(model: PSPGen, places: Tensor, noise: Tensor) -> NormalMixture:
    """The same for one φ a point of the sample, with shape `(N, S, P)`, or one for all, with shape
    `(N, 1, P)`."""
    shape = (*places.shape[:-2], noise.shape[-2])
    z0 = model.prior.transport(noise.expand(*shape, -1), model.standardise(places))
    return model.property_given(z0, model.latent_of_process(places).expand(*shape, -1))


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


def opinions(
    model: PSPGen | Ensemble,
    target: Target,
    phi: Tensor,
    noise: Tensor,
    tolerance: Tolerance | None = None,
) -> Tensor:
    r"""The value of :math:`\log P_k(m \in \mathcal{M}_d \mid \varphi)` by each network.

    Arguments:
        model: The trained model, or an ensemble.
        target: The region.
        phi: Process parameters, with shape `(N, P)`.
        noise: Standard normal draws, with shape `(S, D0)`; the prior transports them to z0 where
            p(m | φ) has no closed form. Under a tolerance a `fixed_sample`.
        tolerance: How well φ is held; exactly if None.

    Returns:
        The log-probabilities, with shape `(K, N)`; differentiable in `phi`.
    """
    each = [_opinions(member, target, phi, noise, tolerance) for member in model.members]
    return torch.cat(each)


def _opinions(
    model: PSPGen, target: Target, phi: Tensor, noise: Tensor, tolerance: Tolerance | None
) -> Tensor:
    if tolerance is not None:
        return _averaged(model, target, phi, noise, tolerance)
    if (laws := model.property_laws(phi)) is not None:
        return target.log_probability(laws)
    law, log_weights = weighted_law(model, phi, noise)
    return torch.logsumexp(target.log_probability(law) + log_weights, dim=-1).unsqueeze(0)


def _averaged(
    model: PSPGen, target: Target, phi: Tensor, noise: Tensor, tolerance: Tolerance
) -> Tensor:
    places = tolerance.spread(phi, noise[:, : phi.shape[-1]])
    if (laws := model.property_laws(places.flatten(0, 1))) is not None:
        found = target.log_probability(laws).unflatten(-1, places.shape[:2])
    else:
        law = _law(model, places, noise[:, phi.shape[-1] :])
        found = target.log_probability(law).unsqueeze(0)
    return found.logsumexp(dim=-1) - math.log(len(noise))


def log_probability(
    model: PSPGen | Ensemble, target: Target, phi: Tensor, noise: Tensor
) -> Tensor:
    r"""The value of :math:`\log P(m \in \mathcal{M}_d \mid \varphi)` on a fixed sample, the mean
    over the networks, with shape `(N)`; arguments as of `opinions`."""
    each = opinions(model, target, phi, noise)
    return each.logsumexp(dim=0) - math.log(len(each))


def fixed_sample(
    model: PSPGen | Ensemble, draws: int, seed: int, tolerance: Tolerance | None = None
) -> Tensor:
    r"""The scrambled Sobol points, as standard normal draws, that stay the same for every φ.

    Returns:
        Draws of z0 with shape `(draws, D0)`; under a tolerance those of δ stand before them, with
        shape `(draws, P + D0)`, or alone where p(m | φ) has a closed form, with shape
        `(draws / 4, P)`.
    """
    size = model.dims.latent
    if tolerance is not None and _is_closed(model):
        draws, size = max(1, draws // _FEWER), model.dims.process
    elif tolerance is not None:
        size += model.dims.process
    noise = sobol_normal(draws, size, seed, model.m_loc.dtype)
    return noise.to(model.m_loc.device)


@torch.no_grad()
def _is_closed(model: PSPGen | Ensemble) -> bool:
    """Whether p(m | φ) has a closed form in every member."""
    phi = model.tensor([model.process.lower])
    return all(one.property_given_process(phi) is not None for one in model.members)


@torch.no_grad()
def scrambled(
    model: PSPGen,
    mean: Callable[[Tensor, Tensor], Tensor],
    phi: NDArray[np.float64],
    *,
    draws: int,
    replicates: int,
    seed: int,
    tolerance: Tolerance | None = None,
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
        tolerance: How well φ is held.

    Returns:
        The means, with shape `(replicates, *)` or `(replicates, K, *)`.

    Raises:
        InputError: If there are fewer than two replicates.
    """
    # a standard error needs two
    check_whole(replicates=replicates, least=2, most=_MOST_REPLICATES)
    check_seed(seed)
    inputs = model.tensor(phi.reshape(-1, len(model.process)))
    estimates = []
    # a closed form is the same for every sample
    exact = tolerance is None and _is_closed(model)
    for child in np.random.SeedSequence(seed).generate_state(1 if exact else replicates):
        noise = fixed_sample(model, draws, int(child), tolerance)
        parts = inputs.split(CHUNK if exact else max(1, CHUNK // len(noise)))
        estimates.append(torch.cat([mean(part, noise) for part in parts], dim=-1))
    found = torch.stack(estimates).double().cpu().numpy()
    found = found.reshape(*found.shape[:-1], *phi.shape[:-1])
    return np.repeat(found, replicates, axis=0) if exact else found
