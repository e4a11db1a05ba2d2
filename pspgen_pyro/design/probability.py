r"""The probability that the material meets the target (Eq. 1, 7), closed-form in m.

.. math::
    P(m \in \mathcal{M}_d \mid \varphi) = \mathbb{E}_{p(z_0 \mid \varphi)}\left[
        P(m \in \mathcal{M}_d \mid z_0, g(\varphi)) \right]
    \approx \frac{1}{S} \sum_{s=1}^{S} P\left(m \in \mathcal{M}_d \mid z_0^{(s)}, g(\varphi)\right)

The inner probability has a closed form, so only z0 is sampled, at scrambled Sobol points that stay
the same for every φ: the surface is smooth and its gradient exact for the sample. Independent
scramblings give the standard error. Where p(m | φ) has a closed form nothing is sampled.

How sure is P? The networks :math:`k = 1 \dots K` of a model learned from halves of the settings
(`training.stages.PriorStage`), those of an ensemble's models from other data too, and how far they
differ is what the data leave open. With :math:`h(P) = \operatorname{logit}(0.98\, P + 0.01)`, in
which 0.001 and 0.0001 are nearly the same, the 90 % interval of P is

.. math::
    h^{-1}\left( h(\bar P) \pm 1.4\, t_{2(K - 1)}\, \tilde s \right), \qquad
    \bar P = \tfrac{1}{K} \sum_k P_k, \quad \tilde s^2 = \tfrac{1}{2} (s^2 + \bar s^2), \quad
    s^2 = \operatorname{var}_k h(P_k),

with :math:`\bar s^2` the mean of :math:`s^2` over the process space: few networks agree by chance
in places, so their variance is drawn towards the typical one, which counts as many degrees of
freedom as its own (a moderated t). The t is the 95 % quantile of Student's law, 1.761 for eight
networks, and 1.4 is for the bias that networks share; it was fitted on test functions
(`benchmarks/doubt.py`).

For the indicator :math:`1(m \in \mathcal{M}_d)` the law of total variance splits what is unknown
about one material into two parts,

.. math::
    \underbrace{\bar P (1 - \bar P)}_{\text{total}} =
    \underbrace{\mathbb{E}_k[P_k (1 - P_k)]}_{\text{aleatoric: more data do not help}} +
    \underbrace{\operatorname{Var}_k(P_k)}_{\text{epistemic: they do}}.

References:
    Simple and scalable predictive uncertainty estimation using deep ensembles (Lakshminarayanan et
    al., 2017)
    The jackknife and bootstrap (Shao & Tu, 1995), chapter 2: the delete-half jackknife
    Linear models and empirical Bayes methods for assessing differential expression in microarray
        experiments (Smyth, 2004): the moderated t
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtri
from scipy.stats import t as student_t
from torch import Tensor

from ..errors import InputError
from ..io.validation import check_positive
from ..model import PSPGen
from ..model.distributions import NormalMixture
from ..model.ensemble import Ensemble
from .parsing import Requirement
from .target import Target

__all__ = [
    "NINETY",
    "EnsembleEstimate",
    "Estimate",
    "interval",
    "link",
    "log_probability",
    "mean_of",
    "opinions",
    "probability",
    "property_law",
    "reach_of",
    "scrambled",
    "sobol_normal",
    "typical_variance",
    "unlink",
    "weighted_law",
]

NINETY = 1.6448536269514722
"""Half the width of the 90 % interval of a standard normal law."""

_SHARED, _PLACES, _COARSE = 1.4, 256, 64
# the widest layer of so many rows fits the second-level cache
_CHUNK = 1 << 12


@dataclass(frozen=True)
class Estimate:
    """A probability, or another mean, and how far it may be off, with shape `(*)` each.

    Arguments:
        value: The estimate.
        standard_error: Of its integral, or of the simulations that it counts.
        low: The lower end of a 90 % interval for all that is unknown about it; None if only the
            standard error is known.
        high: The upper end.

    Example:
        >>> print(Estimate(*map(np.array, (0.81, 0.0, 0.74, 0.86))))
        0.810 (90 %: 0.740 to 0.860)
    """

    value: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None

    @property
    def deviation(self) -> NDArray[np.float64]:
        """The standard deviation of all that is unknown about it: half the width of the interval
        over 1.645, or the standard error if there is none."""
        if self.low is None or self.high is None:
            return self.standard_error
        return np.asarray((self.high - self.low) / (2 * NINETY))

    def interval(self, level: float = 0.9) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The ends of the interval at another level: `low` and `high` moved as a normal law of
        :math:`h(P)` says, or of the value itself if only the standard error is known.

        Raises:
            InputError: If the level is not between 0 and 1.

        Example:
            >>> p = Estimate(*map(np.array, (0.81, 0.0, 0.74, 0.86)))
            >>> print("%.2f to %.2f" % p.interval(0.5))
            0.78 to 0.83
        """
        if not 0 < level < 1:
            raise InputError(f"'level' is {level}; give a number between 0 and 1, such as 0.9.")
        reach = float(ndtri((1 + level) / 2))
        if self.low is None or self.high is None:
            return (
                self.value - reach * self.standard_error,
                self.value + reach * self.standard_error,
            )
        middle, low, high = (link(end) for end in (self.value, self.low, self.high))
        share = reach / NINETY
        return unlink(middle - share * (middle - low)), unlink(middle + share * (high - middle))

    def at(self, index: Any) -> Estimate:
        """One of several."""
        value, error = np.asarray(self.value)[index], np.asarray(self.standard_error)[index]
        low, high = (None if e is None else np.asarray(e)[index] for e in (self.low, self.high))
        return Estimate(value, error, low, high)

    def to_json(self, name: str = "value") -> dict[str, Any]:
        """Value, under `name`, standard error and interval of one estimate; None where one is not
        finite."""
        found = {name: self.value, "standard_error": self.standard_error}
        if self.low is not None and self.high is not None:
            found |= {"low": self.low, "high": self.high}
        numbers = {key: float(number) for key, number in found.items()}
        return {key: n if np.isfinite(n) else None for key, n in numbers.items()}

    def __str__(self) -> str:
        ends = (np.nan if end is None else end for end in (self.low, self.high))
        columns = np.broadcast_arrays(self.value, self.standard_error, *ends)
        rows = np.reshape(columns, (4, -1)).T.tolist()
        return ", ".join(_words(*row) for row in rows)


def _words(value: float, error: float, low: float, high: float) -> str:
    form = ".3f" if abs(value) >= 0.01 else ".1e"
    if np.isfinite([low, high]).all():
        shown = (f"{end:.3f}" if end >= 0.01 or not end else f"{end:.1g}" for end in (low, high))
        return f"{value:{form}} (90 %: {' to '.join(shown)})"
    if error < 1e-12:
        return f"{value:{form}}"
    # an error that three decimals would print as 0
    fine = ".0e" if form == ".3f" and error < 5e-4 else form
    return f"{value:{form}} ± {error:{fine}}"


@dataclass(frozen=True, eq=False, kw_only=True)
class EnsembleEstimate(Estimate):
    r"""The probability of a target by several networks, and how far they agree.

    Arguments:
        members: The probability by each network, with shape `(K, *)`.
        target: The region that was asked for.
        phi: The process parameters, with shape `(*, P)`.
        typical: The mean over the process space of the variance of :math:`h(P_k)`.
        promised: At a φ that was chosen for its P, the mean of the members, which is too high on
            average; `value` is what is left of it. None where φ was given.
    """

    members: NDArray[np.float64]
    target: Target
    phi: NDArray[np.float64]
    typical: float
    promised: NDArray[np.float64] | None = None

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
        told = {} if self.promised is None else {"promised": float(self.promised)}
        parts = {
            "aleatoric": float(self.aleatoric),
            "epistemic": float(self.epistemic),
            "members": self.members.tolist(),
        }
        return super().to_json(name) | told | (parts if len(self.members) > 1 else {})

    def __str__(self) -> str:
        alone = "" if len(self.members) > 1 else " (one network: how far it is off is unknown)"
        return super().__str__() + alone


def link(p: Any) -> Any:
    """The value :math:`h(P)` for an array or a tensor."""
    return torch.logit(0.98 * p + 0.01) if isinstance(p, Tensor) else logit(0.98 * p + 0.01)


def unlink(h: Any) -> Any:
    """The P from 0 to 1 that has this value of h, or is the nearest."""
    if isinstance(h, Tensor):
        return ((torch.sigmoid(h) - 0.01) / 0.98).clamp(0, 1)
    return np.clip((expit(h) - 0.01) / 0.98, 0.0, 1.0)


def interval(
    members: NDArray[np.float64], typical: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of the 90 % interval from the P of each network, with shape `(K, *)`, and the
    `typical_variance`."""
    middle, reach = link(members.mean(axis=0)), reach_of(members, typical)
    return unlink(middle - reach), unlink(middle + reach)


def reach_of(members: Any, typical: float) -> Any:
    """Half the width of that interval as a value of h, of an array or a tensor."""
    quantile = _SHARED * float(student_t.ppf(0.95, 2 * (len(members) - 1)))
    spread = link(members)
    if isinstance(members, Tensor):
        # the root of a variance of zero has no slope
        tiny = torch.finfo(members.dtype).eps ** 2
        return quantile * ((spread.var(dim=0) + typical) / 2 + tiny).sqrt()
    return quantile * np.sqrt((spread.var(axis=0, ddof=1) + typical) / 2)


@torch.no_grad()
def typical_variance(model: PSPGen | Ensemble, target: Target, noise: Tensor) -> float:
    """The mean over the process space of the variance of :math:`h(P_k)`; `noise` as of
    `opinions`."""
    engine = torch.quasirandom.SobolEngine(len(model.process), scramble=True, seed=0)
    unit = engine.draw(_PLACES, dtype=torch.float64)
    low, high = torch.tensor([model.process.lower, model.process.upper]).double()
    places = model.tensor((low + (high - low) * unit).numpy())
    parts = places.split(max(1, _CHUNK // len(noise)))
    each = torch.cat([opinions(model, target, part, noise) for part in parts], dim=1)
    return float(link(each.exp().double()).var(dim=0).mean())


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
    ends = interval(members, typical)
    return EnsembleEstimate(mean.value, mean.standard_error, *ends, **told, typical=typical)


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
