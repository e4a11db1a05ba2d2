r"""Hamiltonian Monte Carlo for many chains at once: one batched gradient a leapfrog step.

All chains share one step size :math:`\varepsilon` and one diagonal metric :math:`s^2`; a
transition draws a momentum :math:`r \sim \mathcal{N}(0, I)`, takes the same number of leapfrog
steps in every chain,

.. math::
    r \leftarrow r + \tfrac{\varepsilon}{2} s \odot \nabla \log p(q), \quad
    q \leftarrow q + \varepsilon\, s \odot r, \quad
    r \leftarrow r + \tfrac{\varepsilon}{2} s \odot \nabla \log p(q),

and accepts each chain's end by its own energy error. The slope is that of the softened density,
the energy the exact one. In the warm-up :math:`\varepsilon` follows dual averaging of the mean
acceptance over the chains, as it would be of the softened density, and :math:`s` the spread of all
chains' draws. The length of the trajectory is jittered, so that no direction is trapped in a
period of its own.

References:
    MCMC using Hamiltonian dynamics (Neal, 2011)
    The No-U-Turn Sampler: adaptively setting path lengths in Hamiltonian Monte Carlo (Hoffman &
    Gelman, 2014)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from pyro.ops.dual_averaging import DualAveraging
from torch import Tensor

from ...io.validation import check_positive, check_seed
from .density import DesignPosterior
from .draws import Draws, check_acceptance, check_counts

__all__ = ["Leapfrog", "sample_hmc"]

_DIVERGENCE = 1000.0
_MOST_STEPS = 1000
_STATISTICS = ("diverging", "acceptance_rate", "step_size", "n_steps", "energy", "lp")


def sample_hmc(
    posterior: DesignPosterior,
    *,
    chains: int = 64,
    draws: int = 400,
    warmup: int = 150,
    trajectory: float = 1.8,
    target_accept: float = 0.85,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Draws:
    r"""Samples the design posterior with many chains side by side.

    Arguments:
        posterior: The posterior.

    Other arguments:
        chains: How many chains run together.
        draws: Draws a chain.
        warmup: Transitions before them, in which step size and metric settle.
        trajectory: The mean length of a trajectory in posterior standard deviations; a quarter of
            a period, π/2, makes the draws of a Gaussian independent, and a little more makes up
            for rejections.
        target_accept: The mean acceptance that the step size aims at.
        seed: Seeds starts, momenta and jitter.
        progress: Called with 1 after every transition.

    Raises:
        InputError: If a number is not positive, the seed is none, or `target_accept` is not
            between 0 and 1.
    """
    check_counts(chains=chains, draws=draws, warmup=warmup)
    check_seed(seed)
    check_positive(optional=False, trajectory=trajectory)
    check_acceptance(target_accept)
    begin = time.process_time()
    generator = torch.Generator().manual_seed(seed)
    scouts = posterior.scout(generator)
    start = scouts.resample(chains, generator)
    exact = torch.no_grad()(posterior.log_density)
    state = Leapfrog(posterior.softened_gradient, start, generator, exact=exact)
    tick = progress or (lambda _: None)
    warm_up(state, warmup, trajectory, target_accept, tick)
    positions, records = [], {name: [] for name in _STATISTICS}
    for _ in range(draws):
        record = state.transition(trajectory)
        positions.append(state.position)
        for name in _STATISTICS:
            records[name].append(record[name])
        tick(1)
    return posterior.drawn(
        "HMC",
        torch.stack(positions, dim=1),
        generator,
        scouts,
        statistics={
            name: torch.stack(values, dim=1).cpu().numpy() for name, values in records.items()
        },
        seconds=time.process_time() - begin,
        settings={
            "warmup": warmup,
            "trajectory": trajectory,
            "target_accept": target_accept,
            "seed": seed,
        },
    )


@dataclass
class Leapfrog:
    """Many chains that move together.

    Arguments:
        gradient: Maps positions with shape `(C, D)` to the log-density to follow and its gradient.
        position: Where the chains are, with shape `(C, D)`.
        generator: The source of momenta, jitter and acceptance.
        step_size: The step of the integrator.
        exact: Maps positions to the log-density to sample from; the one to follow if None.
        scale: The diagonal metric's standard deviations, with shape `(D)`.
    """

    gradient: Callable[[Tensor], tuple[Tensor, Tensor]]
    position: Tensor
    generator: torch.Generator
    step_size: float = 0.5
    exact: Callable[[Tensor], Tensor] | None = None
    scale: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.scale = torch.ones_like(self.position[0])
        self.soft, self.slope = self.gradient(self.position)
        self.lp = self.exact(self.position) if self.exact else self.soft

    def transition(self, trajectory: float) -> dict[str, Tensor]:
        """Moves every chain once and says how it went, with shape `(C)` each.

        `diverging` and `precision`, the acceptance if what is followed were what is sampled, tell
        of the integrator; `acceptance_rate` is that of the chain.
        """
        jitter = 0.5 + float(torch.rand((), generator=self.generator))
        steps = max(1, min(_MOST_STEPS, round(jitter * trajectory / self.step_size)))
        r = self._normal(self.position.shape)
        kinetic = 0.5 * r.square().sum(dim=-1)
        q, soft, slope = self.position, self.soft, self.slope
        for _ in range(steps):
            r = r + 0.5 * self.step_size * self.scale * slope
            q = q + self.step_size * self.scale * r
            soft, slope = self.gradient(q)
            r = r + 0.5 * self.step_size * self.scale * slope
        lp = self.exact(q) if self.exact else soft
        gained = 0.5 * r.square().sum(dim=-1) - kinetic
        error = (gained - soft + self.soft).nan_to_num(nan=torch.inf)
        before = kinetic - self.lp
        change = torch.where(error.isposinf(), error, (gained - lp + self.lp)).nan_to_num(
            nan=torch.inf
        )
        acceptance = (-change).exp().clamp(max=1.0)
        accepted = torch.rand(len(q), generator=self.generator).to(q.device) < acceptance
        self.position = torch.where(accepted[:, None], q, self.position)
        self.slope = torch.where(accepted[:, None], slope, self.slope)
        self.soft = torch.where(accepted, soft, self.soft)
        self.lp = torch.where(accepted, lp, self.lp)
        return {
            "diverging": error > _DIVERGENCE,
            "acceptance_rate": acceptance,
            "precision": (-error).exp().clamp(max=1.0),
            "step_size": torch.full_like(before, self.step_size),
            "n_steps": torch.full_like(before, steps, dtype=torch.int64),
            "energy": before + torch.where(accepted, change, 0.0),
            "lp": self.lp,
        }

    def reasonable_step(self, target: float) -> float:
        """Halves or doubles a step of one until single steps cross the wanted acceptance."""
        kept = self.position, self.soft, self.lp, self.slope
        self.step_size, direction = 1.0, 0
        for _ in range(30):
            accepted = float(self.transition(0.0)["precision"].mean())
            self.position, self.soft, self.lp, self.slope = kept
            now = 1 if accepted > target else -1
            if direction not in (0, now):
                break
            direction = now
            self.step_size *= 2.0**now
        return self.step_size

    def _normal(self, shape: torch.Size) -> Tensor:
        noise = torch.randn(shape, generator=self.generator, dtype=self.position.dtype)
        return noise.to(self.position.device)


def warm_up(
    state: Leapfrog, warmup: int, trajectory: float, target: float, tick: Callable[[int], object]
) -> None:
    """Step size first, then the metric twice with ever more draws, then the step size for it."""
    ends = np.unique(np.ceil(np.array([0.2, 0.4, 0.8, 1.0]) * warmup).astype(int))
    start = 0
    for k, end in enumerate(ends):
        centre = math.log(10 * state.reasonable_step(target))
        adaptation = DualAveraging(centre)  # type: ignore[arg-type]
        seen = []
        for _ in range(start, end):
            record = state.transition(trajectory)
            adaptation.step(target - float(record["precision"].mean()))
            state.step_size = math.exp(adaptation.get_state()[0])
            seen.append(state.position)
            tick(1)
        state.step_size, start = math.exp(adaptation.get_state()[1]), end
        if 0 < k < len(ends) - 1:
            state.scale = _spread(torch.cat(seen))


def _spread(draws: Tensor) -> Tensor:
    """Standard deviations, drawn towards one where there are few draws."""
    n = len(draws)
    return ((n * draws.var(dim=0) + 5) / (n + 5)).sqrt()
