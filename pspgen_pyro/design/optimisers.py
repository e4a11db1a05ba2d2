r"""Optimisers: ways to climb an objective over the unit cube that the process space is mapped to.

`LBFGS` stacks all starts in one bounded problem, :math:`\min \sum_i -s(\varphi_i)`, whose gradient
is one backward pass; a climb on a small sample brings the starts near, one on the full sample
finishes. `Adam` climbs the full sample in coordinates without bounds, the logits of the unit cube.
`SGD` is the paper's, with fresh draws every step:

.. math::
    \varphi \leftarrow \Pi_{U_\varphi}\left[\varphi + \eta\, \widehat{\partial_\varphi P}\right],

with :math:`\eta` divided by four when the loss has not decreased within two epochs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from ..errors import InputError
from ..io.validation import check_positive, check_whole
from ..model import PSPGen
from ..model.ensemble import Ensemble
from ..process import ProcessSpace
from .chances import Probability
from .estimators import Estimator, UniformInTarget
from .objectives import Objective
from .within import climb_within

__all__ = ["LBFGS", "SGD", "Adam", "Climb", "Optimiser", "Problem", "check_boxed"]

Array = NDArray[np.float64]
_ROWS = 1 << 13


@dataclass(frozen=True, eq=False)
class Problem:
    """An objective on a fixed sample, over the unit cube.

    Arguments:
        model: The trained model, or an ensemble.
        objective: What to climb.
        noise: Standard normal draws, with shape `(S, D0)`.
        seed: Seeds the optimisers that draw.
    """

    model: PSPGen | Ensemble
    objective: Objective
    noise: Tensor
    seed: int = 0

    @property
    def space(self) -> ProcessSpace:
        """The settings that are searched."""
        return self.objective.space(self.model.process)

    def process(self, unit: Tensor) -> Tensor:
        """The settings φ at unit coordinates, with shape `(N, P)`, in the model's type."""
        process = self.space
        low, high = torch.tensor([process.lower, process.upper]).double()
        phi = low + (high - low) * unit
        for j, one in enumerate(process.settings):
            if one.log:
                phi = phi.index_copy(
                    -1, torch.tensor([j]), low[j] * (high[j] / low[j]) ** unit[..., j : j + 1]
                )
        return phi.to(self.model.m_loc)

    def settings(self, unit: Array) -> Array:
        """The same as numbers in double precision, put on their bounds, levels and sums."""
        process = self.space
        low, high = np.array(process.lower), np.array(process.upper)
        phi = low + (high - low) * unit
        for j, one in enumerate(process.settings):
            if one.log:
                phi[..., j] = low[j] * (high[j] / low[j]) ** unit[..., j]
        return process.feasible.placed(phi)

    def unit(self, phi: Array) -> Array:
        """The unit coordinates of settings, both with shape `(N, P)`."""
        process = self.space
        unit = (phi - np.array(process.lower)) / process.feasible.width
        for j, one in enumerate(process.settings):
            if one.log:
                low, high = one.bounds
                unit[..., j] = np.log(phi[..., j] / low) / np.log(high / low)
        return unit.clip(0, 1)

    def held(self, unit: Array) -> NDArray[np.bool_]:
        """Which coordinates a climb leaves as they are."""
        return self.space.feasible.held(self.settings(unit))

    def coarse(self, draws: int) -> Problem:
        """The same problem on the first draws of the sample alone."""
        return replace(self, noise=self.noise[:draws])

    @torch.no_grad()
    def score(self, unit: Array) -> Array:
        """The scores, with shape `(N)`, at unit coordinates with shape `(N, P)`."""
        phi = self.process(torch.tensor(unit))
        parts = phi.split(max(1, _ROWS // len(self.noise)))
        scores = [self.objective.score(self.model, part, self.noise) for part in parts]
        return torch.cat(scores).double().cpu().numpy()

    def score_and_gradient(self, unit: Array) -> tuple[Array, Array]:
        """The scores and their gradients, with shapes `(N)` and `(N, P)`; arguments as in
        `score`."""
        inputs = torch.tensor(unit, requires_grad=True)
        scores = self.objective.score(self.model, self.process(inputs), self.noise)
        (gradient,) = torch.autograd.grad(scores.sum(), inputs)
        return scores.detach().double().cpu().numpy(), gradient.numpy()


@dataclass(frozen=True)
class Climb:
    """Where an optimiser ended.

    Arguments:
        unit: The ends in the unit cube, with shape `(starts, P)`.
        history: The best score of all starts after every iteration (of `SGD`: the best estimate
            of P, after every epoch).
        converged: Whether it ended because nothing improved any more.
        message: If not, why, and what to try.
    """

    unit: Array
    history: Array
    converged: bool
    message: str = ""


class Optimiser(ABC):
    """A way to climb, with its own parameters."""

    @abstractmethod
    def climb(self, problem: Problem, first: Array) -> Climb:
        """Climbs from every start at once.

        Arguments:
            problem: What to climb.
            first: The starts in the unit cube, with shape `(starts, P)`.

        Raises:
            InputError: If a parameter of the optimiser is unusable, or does not fit the problem.
        """


@dataclass(frozen=True)
class LBFGS(Optimiser):
    """Bounded limited-memory BFGS on the fixed sample, all starts in one problem (the default);
    sequential quadratic programming where settings are constrained. Discrete settings stay as they
    are in a start.

    Arguments:
        iterations: The largest number of iterations of either climb.
        coarse: Draws of the first, small sample.
    """

    iterations: int = 200
    coarse: int = 64

    def climb(self, problem: Problem, first: Array) -> Climb:
        check_whole(iterations=self.iterations, coarse=self.coarse)
        if problem.space.constraints:
            ends, best, arrived = climb_within(problem, first, self.iterations)
            return Climb(ends, best, arrived, self._unfinished)
        history: list[float] = []
        unit = first
        if len(problem.noise) > 2 * self.coarse:
            coarse = self._descend(problem.coarse(self.coarse), unit, 1e-4, history)
            unit = coarse.x.reshape(first.shape)
        eps = torch.finfo(problem.model.m_loc.dtype).eps
        result = self._descend(problem, unit, eps**0.75, history)
        return Climb(
            result.x.reshape(first.shape),
            np.array(history),
            # a line search that finds no descent beyond rounding has arrived
            result.success or result.status == 2,
            self._unfinished,
        )

    @property
    def _unfinished(self) -> str:
        return (
            f"not converged after {self.iterations} iterations; raise 'iterations' or choose "
            "other 'starts'"
        )

    def _descend(
        self, problem: Problem, unit: Array, tolerance: float, history: list[float]
    ) -> Any:
        size = unit.shape[-1]
        held, latest = problem.held(unit), np.empty(0)

        def loss(flat: Array) -> tuple[float, Array]:
            nonlocal latest
            latest, gradient = problem.score_and_gradient(flat.reshape(-1, size))
            return -float(latest.sum()), -gradient.ravel()

        return minimize(
            loss,
            unit.ravel(),
            jac=True,
            method="L-BFGS-B",
            bounds=np.stack([np.where(held, unit, 0.0), np.where(held, unit, 1.0)], -1).reshape(
                -1, 2
            ),
            callback=lambda _: history.append(float(latest.max())),
            options={"maxiter": self.iterations, "maxcor": 20, "ftol": tolerance, "gtol": 1e-6},
        )


@dataclass(frozen=True)
class Adam(Optimiser):
    """Adam on the fixed sample in coordinates without bounds, the learning rate falling to zero
    along a cosine.

    Arguments:
        steps: The number of steps.
        learning_rate: The first learning rate, in logits of the unit cube.
    """

    steps: int = 200
    learning_rate: float = 0.2

    def climb(self, problem: Problem, first: Array) -> Climb:
        check_whole(steps=self.steps)
        check_positive(learning_rate=self.learning_rate)
        check_boxed(problem, "Adam")
        logits = torch.logit(torch.tensor(first), eps=0.02).requires_grad_()
        adam = torch.optim.Adam([logits], self.learning_rate, maximize=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, self.steps)
        history = []
        for _ in range(self.steps):
            unit = torch.sigmoid(logits)
            scores, gradient = problem.score_and_gradient(unit.detach().numpy())
            adam.zero_grad()
            unit.backward(torch.tensor(gradient))
            adam.step()
            schedule.step()
            history.append(float(scores.max()))
        return Climb(
            _to_bounds(problem, torch.sigmoid(logits).detach().numpy()),
            np.array(history),
            abs(history[-1] - history[-1 - min(len(history) - 1, 1 + len(history) // 10)]) < 1e-3,
            f"still climbing after {self.steps} steps; raise 'steps' or 'learning_rate'",
        )


@dataclass(frozen=True)
class SGD(Optimiser):
    r"""The paper's stochastic gradient ascent of P itself (§4.1.2), projected to the bounds.

    The paper does not say in which units :math:`\eta` acts; here it is those in which :math:`p(
    \varphi)` has variance 1. An epoch is `samples` draws, each used once.

    Arguments:
        estimator: The estimator of the gradient; its number of draws is the batch size.
        samples: The draws of an epoch (the paper's M).
        epochs: The number of epochs.
        learning_rate: The first learning rate.
    """

    estimator: Estimator = UniformInTarget(100)
    samples: int = 50_000
    epochs: int = 20
    learning_rate: float = 0.2

    def climb(self, problem: Problem, first: Array) -> Climb:
        check_whole(draws=self.estimator.draws, samples=self.samples, epochs=self.epochs)
        check_positive(learning_rate=self.learning_rate)
        check_boxed(problem, "SGD")
        model = problem.model
        asked = problem.objective
        plain = isinstance(asked, Probability) and asked.tolerance is None
        if not plain or not isinstance(model, PSPGen):
            raise InputError(
                f"'optimiser' is SGD, which climbs one model's probability of a region, not "
                f"{problem.objective}; use LBFGS or Adam for this objective."
            )
        generator = torch.Generator().manual_seed(problem.seed)
        unit = torch.tensor(first)
        rate = torch.full((len(first), 1), self.learning_rate / 12, dtype=unit.dtype)
        best, waited, history = torch.full_like(rate, -torch.inf), torch.zeros_like(rate), []
        for _ in range(self.epochs):
            unit, mean = self._epoch(problem, model, unit, rate, generator)
            better = mean > best
            best = torch.maximum(best, mean)
            waited = torch.where(better, 0, waited + 1)
            rate = torch.where(waited >= 2, rate / 4, rate)
            waited = torch.where(waited >= 2, 0, waited)
            history.append(float(mean.max()))
        settled = rate < self.learning_rate / 12
        return Climb(
            unit.numpy(),
            np.array(history),
            bool(settled[mean.argmax()]),
            f"still climbing after {self.epochs} epochs; raise 'epochs' or 'learning_rate', or "
            "use LBFGS",
        )

    def _epoch(
        self,
        problem: Problem,
        model: PSPGen,
        unit: Tensor,
        rate: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """The starts after one epoch and the mean of their estimates, with shapes `(starts, P)`
        and `(starts, 1)`."""
        (target,) = problem.objective.regions
        total, steps = torch.zeros_like(rate), max(1, self.samples // self.estimator.draws)
        for _ in range(steps):
            unit.requires_grad_()
            p = self.estimator(model, target, problem.process(unit), generator)
            (gradient,) = torch.autograd.grad(p.sum(), unit)
            total += p.detach().cpu().unsqueeze(-1)
            unit = (unit.detach() + rate * gradient).clamp(0, 1)
        return unit, total / steps


def check_boxed(problem: Problem, name: str) -> None:
    """Says so where an optimiser cannot climb these settings.

    Raises:
        InputError: If they are discrete or constrained.
    """
    if not problem.space.boxed:
        raise InputError(
            f"{name} climbs real settings without constraints, but these are discrete or "
            "constrained; ask for the probability itself, with LBFGS."
        )


def _to_bounds(problem: Problem, unit: Array) -> Array:
    """Moves coordinates within 2 % of a bound onto it where that does not lower the score."""
    snapped = np.where(unit < 0.02, 0.0, np.where(unit > 0.98, 1.0, unit))
    keep = problem.score(snapped) >= problem.score(unit)
    return np.where(keep[:, None], snapped, unit)
