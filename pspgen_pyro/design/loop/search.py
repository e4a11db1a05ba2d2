r"""The search for the best setting by experiments: where to ask next, and what is known by now.

What the model's P lacks is the posterior of a smooth correction (`discrepancy`), given every
experiment that was told. The search is Thompson sampling: the next experiment belongs where a
draw of the corrected P is largest, so at a setting as often as it is the best for all that is
known. Experiments that were asked for and are not told yet count as told with the P that is
expected of them: that takes from the spread of the draws there and leaves their mean, so that the
next one goes elsewhere unless a replicate is worth most.

Whoever makes the experiments is not part of it: `design_in_loop` asks a function, `Campaign` a
laboratory.

References:
    On the likelihood that one unknown probability exceeds another (Thompson, 1933)
    Parallelised Bayesian optimisation via Thompson sampling (Kandasamy et al., 2018)
"""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...model import PSPGen
from ..ascent import Design
from ..estimates import Estimate
from ..surface import probability
from ..target import Target
from .candidates import scouts
from .discrepancy import Correction, Discrepancy

__all__ = ["Search"]

_MOST, _DRAWS, _STOPPING = 400, 64, 512
_Places = NDArray[np.int64]


class Search:
    """Candidate settings with the model's P, and what was told of experiments at each.

    Arguments:
        model: The model.
        design: Where its own ascents ended; the first candidate is its φ*.
        target: The region of property space.
        discrepancy: How far the model may be off.
        rng: Draws the candidates.
        seed: Seeds the integral of a P that has no closed form.
    """

    def __init__(
        self,
        model: PSPGen,
        design: Design,
        target: Target,
        discrepancy: Discrepancy,
        rng: np.random.Generator,
        seed: int,
    ) -> None:
        self.discrepancy, self._asked = discrepancy, (model, target, seed)
        self.phi = scouts(model, design, rng) + 0.0
        self.model = self._predicted(self.phi)
        self.samples, self.hits = (np.zeros(len(self.phi)) for _ in range(2))
        self._numbers = {phi.tobytes(): i for i, phi in reversed([*enumerate(self.phi)])}

    def place(self, phi: ArrayLike) -> _Places:
        """The numbers of the candidates at settings with shape `(N, P)`; settings that are none
        become some."""
        settings = np.ascontiguousarray(phi, dtype=np.float64) + 0.0
        new = {s.tobytes(): s for s in settings if s.tobytes() not in self._numbers}
        if new:
            first, more = len(self.phi), np.stack([*new.values()])
            self._numbers |= {key: first + i for i, key in enumerate(new)}
            self.model = _joined(self.model, self._predicted(more))
            self.phi = np.concatenate([self.phi, more])
            self.samples, self.hits = (
                np.concatenate([counts, np.zeros(len(more))])
                for counts in (self.samples, self.hits)
            )
        return np.array([self._numbers[s.tobytes()] for s in settings], dtype=np.int64)

    def tell(self, which: _Places, known: NDArray[np.bool_], met: NDArray[np.bool_]) -> None:
        """Counts experiments at candidates.

        Arguments:
            which: The candidates, with shape `(N)`.
            known: Which experiments say whether the target was met, with shape `(N)`.
            met: Which met it, with shape `(N)`.
        """
        np.add.at(self.samples, which, known)
        np.add.at(self.hits, which, known & met)

    def forgetting(self) -> Search:
        """The same search before anything was told."""
        fresh = copy.copy(self)
        fresh.samples, fresh.hits = np.zeros_like(self.samples), np.zeros_like(self.hits)
        fresh._numbers = dict(self._numbers)
        return fresh

    def ask(self, count: int, rng: np.random.Generator, pending: _Places | None = None) -> _Places:
        """Candidates to experiment at, each where a draw of the corrected P is largest.

        Arguments:
            count: How many; none knows of the others.
            rng: The source of random numbers.
            pending: The candidates whose experiments are under way.
        """
        correction = self.correction(pending)
        hopeful = self._hopeful(correction, rng)
        p = np.asarray(self.model.value)[hopeful]
        draws = correction.draw(self.phi[hopeful], p, count, rng)
        return hopeful[draws.argmax(axis=1)]

    def regret(self, rng: np.random.Generator) -> float:
        r"""What stopping now costs: :math:`\mathbb{E}[\max_\varphi P(\varphi) - P(\varphi^*)]`
        over draws of the corrected P, with φ* the present choice. No further experiments can raise
        P at φ* by more, on average.

        Arguments:
            rng: The source of random numbers.
        """
        correction = self.correction()
        places = np.concatenate([[self.best()[0]], self._hopeful(correction, rng)])
        p = np.asarray(self.model.value)[places]
        draws = correction.draw(self.phi[places], p, _STOPPING, rng)
        return float((draws.max(axis=1) - draws[:, 0]).mean())

    def correction(self, pending: _Places | None = None) -> Correction:
        """What all experiments say that the model's P lacks; those under way as expected."""
        found = self._given(self.hits, self.samples)
        if pending is None or not len(pending):
            return found
        p = found.probability(self.phi[pending], np.asarray(self.model.value)[pending]).value
        hits, samples = self.hits.copy(), self.samples.copy()
        np.add.at(samples, pending, 1.0)
        np.add.at(hits, pending, p)
        return self._given(hits, samples)

    def best(self) -> tuple[int, Estimate]:
        """The candidate with the largest mean of the corrected P, and that P."""
        found = self.correction().probability(self.phi, self.model.value)
        i = int(np.argmax(found.value))
        return i, found.at(i)

    def at(self, i: int) -> tuple[Estimate, Estimate]:
        """P at a candidate, corrected and by the model alone."""
        alone = self.model.at(i)
        return self.correction().probability(self.phi[i], alone.value), alone

    def _given(self, hits: NDArray[np.float64], samples: NDArray[np.float64]) -> Correction:
        seen, (model, _, _) = samples > 0, self._asked
        p = np.asarray(self.model.value)[seen]
        return self.discrepancy.given(model.process, self.phi[seen], p, hits[seen], samples[seen])

    def _hopeful(self, correction: Correction, rng: np.random.Generator) -> _Places:
        """Candidates whose P may be the largest."""
        found = correction.probability(self.phi, self.model.value)
        upper = np.asarray(found.value + 2 * found.standard_error)
        hopeful = np.flatnonzero(upper >= np.max(found.value))
        return rng.permutation(hopeful)[:_MOST]

    def _predicted(self, phi: NDArray[np.float64]) -> Estimate:
        model, target, seed = self._asked
        return probability(model, target, phi, draws=_DRAWS, seed=seed)


def _joined(a: Estimate, b: Estimate) -> Estimate:
    """The estimates of both, one after the other."""
    ends = (
        None if x is None or y is None else np.concatenate([x, y])
        for x, y in ((a.low, b.low), (a.high, b.high))
    )
    return Estimate(
        np.concatenate([a.value, b.value]),
        np.concatenate([a.standard_error, b.standard_error]),
        *ends,
    )
