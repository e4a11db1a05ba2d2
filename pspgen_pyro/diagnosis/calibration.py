r"""Does a model of m given φ tell the truth? Scores against reference materials.

A reference holds settings :math:`\varphi_g` with :math:`n_g` materials each. For a target with the
model's :math:`p_g = P(m \in \mathcal{M}_d \mid \varphi_g)` and the counted :math:`\hat q_g`,

.. math::
    \mathrm{Brier} = \sum_g \frac{n_g}{N} \bigl[(p_g - \hat q_g)^2 + \hat q_g (1 - \hat q_g)\bigr],
    \qquad
    \mathrm{irreducible} = \sum_g \frac{n_g}{N} \frac{n_g}{n_g - 1} \hat q_g (1 - \hat q_g)

and the expectation of their difference, the excess, is 0 for the true model. Of m itself, with
draws :math:`m', m'' \sim p(m \mid \varphi)`, the energy score and the negative log-likelihood

.. math::
    \mathrm{ES} = \mathbb{E}\|m' - m\| - \tfrac12 \mathbb{E}\|m' - m''\|, \qquad
    \mathrm{NLL} = -\log p(m \mid \varphi)

are lowest on average for the true model; distances are taken with every property in units of its
robust scale over the reference, so that none drowns the others. The randomised rank :math:`u` of m
among the draws is uniform for it, and m lies in the central interval of level :math:`\alpha` where
:math:`|2u - 1| \le \alpha`. Materials of one φ are replicates: every standard error of a mean
over the reference clusters them,

.. math::
    \mathrm{s.e.}^2 = \frac{G}{G - 1} \frac{1}{N^2} \sum_g
        \Bigl(\sum_{i \in g} (s_i - \bar s)\Bigr)^2.

References:
    Strictly Proper Scoring Rules, Prediction, and Estimation (Gneiting & Raftery, 2007)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..design import Estimate, Target
from ..errors import InputError
from .ranks import randomised_ranks
from .reference_materials import ReferenceMaterials
from .reliability import Reliability, reliability
from .surfaces import SurfaceError, surface_error
from .uniformity import Uniformity, uniformity

if TYPE_CHECKING:
    from ..rivals import Predictor

__all__ = ["LEVELS", "Scores", "TargetScore", "clustered_mean", "energy_score", "score"]

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""The levels of central coverage."""

_SHIFTS = 8

_Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TargetScore:
    """How well the probability of one target is known.

    Arguments:
        predicted: The model's P at every setting of the reference, with shape `(G)`.
        observed: The fraction counted there, with shape `(G)`.
        surface: The error of P; None where a setting has fewer than two materials.
        rmse: Its RMSE with the standard error that the counting noise leaves; None likewise.
        brier: The Brier score.
        irreducible: What of it no model can avoid; None where `surface` is.
        reliability: The reliability curve.
    """

    predicted: _Array
    observed: _Array
    surface: SurfaceError | None
    rmse: Estimate | None
    brier: Estimate
    irreducible: float | None
    reliability: Reliability

    def to_json(self) -> dict[str, Any]:
        """The numbers as plain values."""
        curve, found = self.reliability, {"brier": self.brier.to_json()}
        if self.surface is not None and self.rmse is not None and self.irreducible is not None:
            found["rmse"] = self.rmse.to_json() | {"resolution": self.surface.resolution}
            found["brier"] |= {
                "irreducible": self.irreducible,
                "excess": float(self.brier.value) - self.irreducible,
            }
        table = {name: column.tolist() for name, column in vars(curve).items()}
        return found | {"reliability": table | {"error": curve.error}}


@dataclass(frozen=True, eq=False)
class Scores:
    """All scores of one model on one reference.

    Arguments:
        name: The model's name.
        targets: The scores of probabilities, by target.
        brier: The mean of the Brier scores over the targets; None without targets.
        energy: The energy score; None where the model draws no m.
        nll: The negative log-likelihood; None where it has no density.
        pit: The randomised ranks, with shape `(R)`, by property; empty where it draws no m.
        coverage: The share of materials in each central interval, by property and level; empty
            likewise.
        each: The score of every material behind a mean, by "brier", "energy" and "nll".
    """

    name: str
    targets: dict[str, TargetScore]
    brier: Estimate | None
    energy: Estimate | None
    nll: Estimate | None
    pit: dict[str, _Array]
    coverage: dict[str, dict[float, Estimate]]
    each: dict[str, _Array] = field(default_factory=dict, repr=False)

    @property
    def rmse(self) -> Estimate | None:
        """The mean of the RMSE over the targets, with the mean of their standard errors: the
        targets share their materials."""
        found = [one.rmse for one in self.targets.values() if one.rmse is not None]
        if not found:
            return None
        return Estimate(
            np.asarray(np.mean([one.value for one in found])),
            np.asarray(np.mean([one.standard_error for one in found])),
        )

    @property
    def uniformity(self) -> dict[str, Uniformity]:
        """The uniformity of the ranks, by property."""
        return {name: uniformity(values) for name, values in self.pit.items()}

    def to_json(self) -> dict[str, Any]:
        """The numbers as plain values; None where the model or the reference has none."""
        means = {
            "mean_rmse": self.rmse,
            "mean_brier": self.brier,
            "energy_score": self.energy,
            "negative_log_likelihood": self.nll,
        }
        return {
            "targets": {name: one.to_json() for name, one in self.targets.items()},
            **{k: None if e is None else e.to_json() for k, e in means.items()},
            "pit": {name: u.to_json() for name, u in self.uniformity.items()},
            "coverage": {
                name: {f"{level:g}": one.to_json() for level, one in levels.items()}
                for name, levels in self.coverage.items()
            },
        }


def score(
    predictor: Predictor,
    reference: ReferenceMaterials,
    targets: Mapping[str, Target],
    *,
    draws: int = 199,
    seed: int = 0,
) -> Scores:
    """Scores a model.

    Arguments:
        predictor: The model.
        reference: The materials.
        targets: The targets by name; none scores m alone.

    Other arguments:
        draws: The model's draws a material.
        seed: Seeds them.

    Raises:
        InputError: If the model's process or properties are not those of the reference, or there
            are fewer than two draws.
    """
    _check(predictor, reference, draws)
    found, brier = {}, []
    for name, target in targets.items():
        target.check_against(len(reference.property_names))
        predicted = np.asarray(predictor.probability(target, reference.phi), dtype=float)
        found[name], each = _target_score(predicted, target, reference)
        brier.append(each)
    rows, group = reference.rows, reference.group
    each = {"brier": np.mean(brier, axis=0)} if brier else {}
    pit: dict[str, _Array] = {}
    phi, m = reference.phi[group[rows]], reference.m[rows]
    if predictor.has_draws:
        drawn = predictor.sample(phi, draws, seed)
        each["energy"] = energy_score(drawn / reference.scale, m / reference.scale)
        for j, name in enumerate(reference.property_names):
            pit[name] = randomised_ranks(m[:, j], drawn[..., j].T, seed=seed + j)
    if predictor.has_density:
        each["nll"] = -predictor.log_density(phi, m)
    means = {
        name: clustered_mean(values, group if name == "brier" else group[rows])
        for name, values in each.items()
    }
    coverage = {
        name: {a: clustered_mean(abs(2 * u - 1) <= a, group[rows]) for a in LEVELS}
        for name, u in pit.items()
    }
    brier_mean, energy, nll = (means.get(name) for name in ("brier", "energy", "nll"))
    return Scores(predictor.name, found, brier_mean, energy, nll, pit, coverage, each)


def energy_score(draws: ArrayLike, m: ArrayLike) -> _Array:
    """The energy score of every material, without bias, in the units of m.

    Arguments:
        draws: Independent draws, with shape `(N, L, K)`.
        m: The properties, with shape `(N, K)`.

    Returns:
        The scores, with shape `(N)`.

    Example:
        >>> energy_score([[[1.0], [3.0]]], [[2.0]]).tolist()
        [0.0]
    """
    drawn, truth = np.asarray(draws, dtype=float), np.asarray(m, dtype=float)
    length = drawn.shape[1]
    near = np.linalg.norm(drawn - truth[:, None], axis=-1).mean(axis=1)
    # each shift pairs every draw with another one; all pairs would cost L² for little
    shifts = range(1, min(_SHIFTS, length - 1) + 1)
    pairs = (np.linalg.norm(drawn - np.roll(drawn, i, axis=1), axis=-1) for i in shifts)
    return near - 0.5 * np.mean([pair.mean(axis=1) for pair in pairs], axis=0)


def clustered_mean(values: ArrayLike, group: ArrayLike) -> Estimate:
    """The mean, and its standard error with the values of one group taken together.

    Arguments:
        values: The values, with shape `(N)`.
        group: The number of the group of each, with shape `(N)`.

    Example:
        >>> print(clustered_mean([0.0, 0.0, 1.0, 1.0], [0, 0, 1, 1]))
        0.500 ± 0.500
    """
    s, g = np.asarray(values, dtype=float), np.asarray(group)
    mean = s.mean()
    if not np.isfinite(mean):
        return Estimate(np.asarray(mean), np.asarray(np.inf))
    index = np.unique(g, return_inverse=True)[1]
    count = index.max() + 1
    if count == 1:
        index, count = np.arange(len(s)), len(s)
    sums = np.bincount(index, weights=s - mean)
    error = (count / max(1, count - 1) * (sums**2).sum()) ** 0.5 / len(s)
    return Estimate(np.asarray(mean), np.asarray(error))


def _target_score(
    predicted: _Array, target: Target, reference: ReferenceMaterials
) -> tuple[TargetScore, _Array]:
    n, observed, group = reference.samples, reference.fraction(target), reference.group
    each = (predicted[group] - target.contains(reference.m)) ** 2
    curve = reliability(predicted, observed * n, n)
    error, rmse, least = None, None, None
    if n.min() >= 2:
        error = surface_error(predicted, observed, n)
        rmse = _rmse(error, predicted, observed, n)
        least = float(np.average(n / (n - 1) * observed * (1 - observed), weights=n))
    brier = clustered_mean(each, group)
    return TargetScore(predicted, observed, error, rmse, brier, least, curve), each


def _rmse(error: SurfaceError, p: _Array, q: _Array, n: NDArray[np.int64]) -> Estimate:
    r"""The RMSE with its step up when its square grows by one standard error, whose square is
    :math:`\sum_g (4 b_g^2 v_g + 2 v_g^2) / G^2` for the error :math:`b_g` and the noise
    :math:`v_g` of a setting."""
    noise = q * (1 - q) / (n - 1)
    bias = np.clip((p - q) ** 2 - noise, 0, None)
    square = float((4 * bias * noise + 2 * noise**2).sum()) ** 0.5 / len(p)
    return Estimate(
        np.asarray(error.rmse), np.asarray((error.rmse**2 + square) ** 0.5 - error.rmse)
    )


def _check(predictor: Predictor, reference: ReferenceMaterials, draws: int) -> None:
    if draws < 2:
        raise InputError(f"'draws' is {draws}; the energy score takes at least 2.")
    for what, mine, theirs in (
        ("parameters", predictor.process.names, reference.process.names),
        ("properties", tuple(predictor.property_names), reference.property_names),
    ):
        if mine != theirs:
            raise InputError(
                f"'reference' has the {what} {', '.join(theirs)} but {predictor.name} knows "
                f"{', '.join(mine)}; score a model on data of its own case."
            )
