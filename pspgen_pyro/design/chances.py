r"""Objectives that are probabilities: every network has an opinion :math:`P_k` on them.

.. math::
    f(\bar P_1(\varphi), \dots, \bar P_J(\varphi)), \qquad
    \bar P_j = \tfrac{1}{K} \sum_k P_{kj}

with one target, or the product or the least of several, and each :math:`P_{kj}` the mean over the
tolerance if there is one. The 90 % interval and the optimism of a search are functions of the K
values :math:`f(P_{k1}, \dots, P_{kJ})`, so they hold for each of these as for one P.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..model import PSPGen
from ..model.ensemble import Ensemble
from ..process import ProcessSpace
from .estimates import EnsembleEstimate, ends_of, link, mean_of
from .objectives import Objective
from .probability import CHUNK, fixed_sample, opinions, scrambled
from .target import Target
from .tolerance import Tolerance

__all__ = ["Chance", "Probability", "least_of", "mean_log", "typical_variance"]

_PLACES, _COARSE = 256, 64


class Chance(Objective):
    """A probability, or several of which all count."""

    @property
    @abstractmethod
    def parts(self) -> tuple[Probability, ...]:
        """The probability of each target."""

    @abstractmethod
    def exactly(self) -> Chance:
        """The same of settings that are held exactly."""

    def grouped(self, logs: Tensor) -> Tensor:
        r"""The logarithms of the numbers the least of which counts, with shape `(G, *)`, from
        those of the parts, with shape `(J, *)`."""
        return logs

    def rated(self, log_p: Tensor, phi: Tensor) -> Tensor:
        """The score that one network alone would climb, from its log-probability with shape
        `(*, N)`."""
        return log_p

    def pieces(self, model: PSPGen | Ensemble, phi: Tensor, noise: Tensor) -> Tensor:
        """The scores the least of which is the score, with shape `(G, N)`."""
        return self.grouped(mean_log(self.each(model, phi, noise)))

    def program(
        self, model: PSPGen | Ensemble, phi: Tensor, noise: Tensor
    ) -> tuple[Tensor | None, Tensor]:
        """The goal, with shape `(N)`, and what must not be negative there, with shape `(G, N)`; a
        goal of None is the least of the latter."""
        return None, self.pieces(model, phi, noise)

    def relaxed(self) -> Chance:
        """What brings a start near, for an optimiser that needs a smooth score."""
        return self

    def level(self, p: float) -> float:
        """The score at which this is p."""
        return math.log(p)

    def promise(self, score: Tensor) -> Tensor:
        """What a score promises as a probability; the inverse of `level`."""
        return score.exp()

    @property
    def regions(self) -> tuple[Target, ...]:
        return tuple(part.target for part in self.parts)

    @property
    def tolerance(self) -> Tolerance | None:
        """How well φ is held; exactly if None."""
        return self.parts[0].tolerance

    def space(self, process: ProcessSpace) -> ProcessSpace:
        """The settings that keep their tolerance inside."""
        return process if self.tolerance is None else self.tolerance.narrowed(process)

    def sample(self, model: PSPGen | Ensemble, draws: int, seed: int) -> Tensor:
        return fixed_sample(model, draws, seed, self.tolerance)

    def check(self, model: PSPGen | Ensemble) -> None:
        """The regions must have the dimension of the properties."""
        for region in self.regions:
            region.check_against(model.dims.properties)

    def each(self, model: PSPGen | Ensemble, phi: Tensor, noise: Tensor) -> Tensor:
        """The log-probability of each part by each network, with shape `(J, K, N)`."""
        found = [opinions(model, p.target, phi, noise, p.tolerance) for p in self.parts]
        return torch.stack(found)

    def score(self, model: PSPGen | Ensemble, phi: Tensor, noise: Tensor) -> Tensor:
        """The least of the pieces."""
        return self.pieces(model, phi, noise).amin(dim=0)

    def value(self, model: PSPGen | Ensemble, phi: Tensor, noise: Tensor) -> Tensor:
        """The probability."""
        return self.grouped(mean_log(self.each(model, phi, noise))).amin(dim=0).exp()

    def estimate(
        self, model: PSPGen | Ensemble, phi: NDArray[np.float64], **options: Any
    ) -> EnsembleEstimate:
        """P with its interval; of several the least of which counts, the least one's."""
        return least_of(self.estimates(model, phi, **options)[0])

    def estimates(
        self,
        model: PSPGen | Ensemble,
        phi: NDArray[np.float64],
        *,
        draws: int = 1024,
        replicates: int = 8,
        seed: int = 1,
    ) -> tuple[list[EnsembleEstimate], list[EnsembleEstimate]]:
        """P of each group and of each part; options as of `probability`."""
        if self.tolerance is not None:
            self.tolerance.check(phi, model.process)
        options = {"draws": draws, "replicates": replicates, "seed": seed}
        found = [
            scrambled(
                one,
                lambda phi, noise, one=one: self.each(one, phi, noise).exp(),
                phi,
                tolerance=self.tolerance,
                **options,
            )
            for one in model.members
        ]
        # (J, R, K, *)
        each = np.concatenate(found, axis=2).swapaxes(0, 1)
        spread = None
        if each.shape[2] > 1:
            noise = fixed_sample(model, _COARSE, seed, self.tolerance)
            spread = self.at_places(model, noise)
        parts = _estimates(each.mean(axis=2), each.mean(axis=1), spread, phi, self.regions)
        if len(self.parts) == 1:
            return parts, parts
        mean, members = (self._grouped(each.mean(axis=axis)) for axis in (2, 1))
        told = self.regions if len(mean) == len(parts) else [None]
        grouped = None if spread is None else self.grouped(spread)
        return _estimates(mean, members, grouped, phi, told), parts

    @torch.no_grad()
    def at_places(self, model: PSPGen | Ensemble, noise: Tensor) -> Tensor:
        """The log-probabilities of the parts over the process space, with shape `(J, K, N)`."""
        places = model.tensor(self.space(model.process).scattered(_PLACES))
        parts = places.split(max(1, CHUNK // len(noise)))
        return torch.cat([self.each(model, part, noise) for part in parts], dim=-1)

    def _grouped(self, p: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.grouped(torch.from_numpy(p).log()).exp().numpy()


@dataclass(frozen=True)
class Probability(Chance):
    r"""The probability of a region, :math:`P(m \in \mathcal{M}_d \mid \varphi)`; its score is the
    logarithm.

    Arguments:
        target: The region.
        tolerance: How well φ is held: P is then the mean over φ + δ; exactly if None.
    """

    target: Target
    tolerance: Tolerance | None = None  # type: ignore[override]

    @property
    def parts(self) -> tuple[Probability, ...]:
        return (self,)

    def exactly(self) -> Probability:
        return Probability(self.target)

    def __str__(self) -> str:
        held = "" if self.tolerance is None else f" | {self.tolerance}"
        return f"P({self.target.event}{held})"


def least_of(estimates: Sequence[EnsembleEstimate]) -> EnsembleEstimate:
    """The one with the least value, for each φ."""
    first = estimates[0]
    if len(estimates) == 1:
        return first
    which = np.argmin([np.asarray(one.value) for one in estimates], axis=0)
    if which.ndim == 0:
        return estimates[int(which)]

    def chosen(name: str) -> Any:
        columns = [np.asarray(vars(one)[name]) for one in estimates]
        columns = [np.broadcast_to(c, np.broadcast_shapes(c.shape, which.shape)) for c in columns]
        return None if columns[0].dtype == object else np.choose(which, columns)

    names = ("value", "standard_error", "low", "high", "members", "typical")
    return replace(first, **{name: chosen(name) for name in names})


def typical_variance(logs: Tensor) -> float:
    """The mean over places of the variance of :math:`h(P_k)`, from log-probabilities with shape
    `(K, N)`."""
    return float(link(logs.exp().double()).var(dim=0).mean())


def mean_log(each: Tensor) -> Tensor:
    """The logarithm of the mean over the networks, on the last axis but one."""
    return each.logsumexp(dim=-2) - math.log(each.shape[-2])


def _estimates(
    means: NDArray[np.float64],
    members: NDArray[np.float64],
    spread: Tensor | None,
    phi: NDArray[np.float64],
    targets: Sequence[Target | None],
) -> list[EnsembleEstimate]:
    """From the replicates of the means, with shape `(G, R, *)`, the networks' values, with shape
    `(G, K, *)`, and theirs over the process space, with shape `(G, K, N)`."""
    found = []
    for g, target in enumerate(targets):
        mean, typical, ends = mean_of(means[g]), np.nan, (None, None)
        if spread is not None:
            typical = typical_variance(spread[g])
            ends = ends_of(members[g], typical, mean.value)
        told = {"members": members[g], "target": target, "phi": phi, "typical": typical}
        found.append(EnsembleEstimate(mean.value, mean.standard_error, *ends, **told))
    return found
