r"""An estimate of a probability: its value, and how sure it is.

The networks :math:`k = 1 \dots K` of a model learned from halves of the settings
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

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri
from scipy.stats import t as student_t
from torch import Tensor

from ..errors import InputError
from .target import Target

__all__ = [
    "NINETY",
    "EnsembleEstimate",
    "Estimate",
    "ends_of",
    "link",
    "mean_of",
    "reach_of",
    "unlink",
]

NINETY = 1.6448536269514722
"""Half the width of the 90 % interval of a standard normal law."""

_SHARED = 1.4


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
        target: The region that was asked for; None of the product of several.
        phi: The process parameters, with shape `(*, P)`.
        typical: The mean over the process space of the variance of :math:`h(P_k)`.
        promised: At a φ that was chosen for its P, the mean of the members, which is too high on
            average; `value` is what is left of it. None where φ was given.
    """

    members: NDArray[np.float64]
    target: Target | None
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


def ends_of(
    members: NDArray[np.float64], typical: float, mean: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of the 90 % interval from the P of each network, with shape `(K, *)`, the
    typical variance, and P, which is their mean if None."""
    middle = link(members.mean(axis=0) if mean is None else mean)
    reach = reach_of(members, typical)
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


def mean_of(replicates: NDArray[np.float64]) -> Estimate:
    """The mean of independent replicates with shape `(R, *)`, and its standard error."""
    error = replicates.std(axis=0, ddof=1) / len(replicates) ** 0.5
    return Estimate(replicates.mean(axis=0), error)
