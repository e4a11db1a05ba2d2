r"""Trials of the design posterior: questions whose answer is known because the model asked them.

Cut property space into finitely many cells. A trial draws

.. math::
    \varphi \sim p(\varphi), \quad z_0 \sim p(z_0 \mid \varphi), \quad
    m \sim p(m \mid z_0, g(\varphi)), \quad c = \text{the cell that holds } m,

and keeps only :math:`c` as the datum. Its likelihood is what a design question has,
:math:`p(c \mid z_0, \varphi) = P(m \in M_c \mid z_0, g(\varphi))`, so the posterior of the trial
*is* the design posterior with the target :math:`M_c`, and the true :math:`(\varphi, z_0)` is one
exact draw from it. All trials are sampled side by side, every chain with the target of its own
trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..design import Box, DesignPosterior, Target
from ..design.posterior.hmc import Leapfrog, warm_up
from ..errors import InputError
from ..io.validation import check_seed
from ..model import PSPGen
from ..model.distributions import NormalMixture
from ..model.normal import truncated_normal

__all__ = ["Partition", "Sampler", "Trials", "sample_hmc_trials", "simulate_trials"]

_ROWS = 1 << 14
_SCOUTS = 4096

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Partition:
    """Property space cut into cells by a grid of edges.

    Arguments:
        edges: The inner edges of every property, ascending; the outermost cells are unbounded.

    Raises:
        InputError: If there is no edge at all, or edges are not finite and ascending.

    Example:
        >>> cells = Partition(((-9.0, -7.0), (-8.0,)))
        >>> cells.count, cells.cell_of([[-8.0, -5.0]]).tolist()
        (6, [3])
        >>> print(cells.boxes[3])
        [-9, -7] × [-8, ∞)
    """

    edges: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        steps = [np.diff(edge) for edge in self.edges]
        if not any(self.edges) or not all(np.isfinite(edge).all() for edge in self.edges):
            raise InputError(f"'edges' is {self.edges}; give at least one finite edge.")
        if any((step <= 0).any() for step in steps):
            raise InputError(f"'edges' is {self.edges}; the edges of a property must ascend.")

    @classmethod
    def of(cls, target: Target) -> Partition:
        """The partition by the ends of a target's boxes: the target is a union of its cells."""
        ends = np.array([(box.lower, box.upper) for box in target.boxes])
        columns = ends.reshape(-1, ends.shape[-1]).T
        return cls(tuple(tuple(np.unique(c[np.isfinite(c)]).tolist()) for c in columns))

    @classmethod
    def quantiles(cls, model: PSPGen, parts: int = 4, *, seed: int = 0) -> Partition:
        """The partition of each property into `parts` intervals that are equally probable under
        the model, φ drawn from its space.

        Raises:
            InputError: If `parts` is less than two.
        """
        if parts < 2:
            raise InputError(f"'parts' is {parts}; cut every property into at least 2.")
        m = _simulate(model, 8192, seed)[2]
        levels = np.linspace(0, 1, parts + 1)[1:-1]
        return cls(tuple(tuple(column) for column in np.quantile(m, levels, axis=0).T.tolist()))

    @property
    def count(self) -> int:
        """The number of cells."""
        return math.prod(len(edge) + 1 for edge in self.edges)

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The cells; the last property varies fastest."""
        ends = [(-np.inf, *edge, np.inf) for edge in self.edges]
        intervals = [list(zip(e[:-1], e[1:], strict=True)) for e in ends]
        cells = (tuple(zip(*cell, strict=True)) for cell in product(*intervals))
        return tuple(Box(lower, upper) for lower, upper in cells)

    def cell_of(self, m: Any) -> NDArray[np.int64]:
        """The cell that holds each m with shape `(N, K)`, as its place among `boxes`."""
        values = np.asarray(m, dtype=float)
        index = [
            np.searchsorted(edge, column, side="right")
            for edge, column in zip(self.edges, values.T, strict=True)
        ]
        shape = [len(edge) + 1 for edge in self.edges]
        return np.asarray(np.ravel_multi_index(index, shape))

    def ends(self, cells: NDArray[np.int64]) -> tuple[_Array, _Array]:
        """The lower and the upper ends of cells, with shape `(N, K)` each."""
        boxes = self.boxes
        return (
            np.array([box.lower for box in boxes])[cells],
            np.array([box.upper for box in boxes])[cells],
        )


class Sampler(Protocol):
    """Draws (φ, z0) given the cell of every trial, with shapes `(L, S, P)` and `(L, S, D0)`."""

    def __call__(
        self, model: PSPGen, partition: Partition, cells: NDArray[np.int64], draws: int, seed: int
    ) -> tuple[_Array, _Array]: ...


@dataclass(frozen=True, eq=False)
class Trials:
    r"""Truths with posterior draws beside them.

    Arguments:
        model: The model.
        partition: The cells.
        phi: The true settings, with shape `(S, P)`.
        z0: The true latents, with shape `(S, D0)`.
        cell: The data, with shape `(S)`.
        drawn_phi: Posterior draws, with shape `(L, S, P)`.
        drawn_z0: Posterior draws, with shape `(L, S, D0)`.
        seed: What seeded them.
    """

    model: PSPGen
    partition: Partition
    phi: _Array
    z0: _Array
    cell: NDArray[np.int64]
    drawn_phi: _Array
    drawn_z0: _Array
    seed: int

    def __len__(self) -> int:
        return len(self.phi)

    def log_likelihood(self, phi: _Array, z0: _Array) -> _Array:
        r"""The value of :math:`\log p(c \mid z_0, \varphi)` for the datum of each trial, with
        shape `(*, S)`, for settings with shape `(*, S, P)` and latents with shape `(*, S, D0)`."""
        lower, upper = self.partition.ends(self.cell)
        rows = phi.shape[:-1]
        values = _log_likelihood(
            self.model,
            phi.reshape(-1, phi.shape[-1]),
            z0.reshape(-1, z0.shape[-1]),
            np.broadcast_to(lower, (*rows, lower.shape[-1])).reshape(-1, lower.shape[-1]),
            np.broadcast_to(upper, (*rows, upper.shape[-1])).reshape(-1, upper.shape[-1]),
        )
        return values.reshape(rows)

    def companions(self, seed: int = 0) -> tuple[_Array, _Array]:
        r"""For every trial another :math:`(\varphi, z_0)` whose m fell into the same cell: an
        exact posterior draw, independent of the truth; from the prior where none was met."""
        phi, z0, m = _simulate(self.model, 16 * max(len(self), 64), (self.seed, seed, 1))
        cell, rng = self.partition.cell_of(m), np.random.default_rng((self.seed, seed, 2))
        chosen = rng.integers(len(phi), size=len(self))
        for c in np.unique(self.cell):
            same, mine = np.flatnonzero(cell == c), np.flatnonzero(self.cell == c)
            if len(same):
                chosen[mine] = rng.choice(same, len(mine), replace=len(mine) > len(same))
        return phi[chosen], z0[chosen]

    def strangers(self, seed: int = 0) -> tuple[_Array, _Array]:
        r"""For every trial another :math:`(\varphi, z_0)` from the prior."""
        return _simulate(self.model, len(self), (self.seed, seed, 3))[:2]


def simulate_trials(
    model: PSPGen,
    partition: Partition,
    *,
    simulations: int = 1000,
    draws: int = 63,
    sampler: Sampler | None = None,
    seed: int = 0,
) -> Trials:
    """Simulates trials from the model and samples the posterior of each.

    Arguments:
        model: The trained model.
        partition: The cells.

    Other arguments:
        simulations: How many trials.
        draws: Posterior draws a trial; they should be nearly independent.
        sampler: What draws them; `sample_hmc_trials` if None.
        seed: Seeds truths and draws.

    Raises:
        InputError: If a number is not positive, the seed is none, or the edges are not those of K
            properties.
    """
    if simulations < 10 or draws < 1:
        raise InputError(
            f"'simulations' is {simulations} and 'draws' {draws}; take at least 10 and 1."
        )
    check_seed(seed)
    if len(partition.edges) != model.dims.properties:
        raise InputError(
            f"'partition' has edges for {len(partition.edges)} properties but the model has "
            f"{model.dims.properties}; give edges for each."
        )
    model.eval()
    phi, z0, m = _simulate(model, simulations, (seed, 0))
    cell = partition.cell_of(m)
    drawn = (sampler or sample_hmc_trials)(model, partition, cell, draws, seed)
    return Trials(model, partition, phi, z0, cell, *drawn, seed)


def sample_hmc_trials(
    model: PSPGen,
    partition: Partition,
    cells: NDArray[np.int64],
    draws: int,
    seed: int,
    *,
    warmup: int = 150,
    thin: int = 2,
    progress: Callable[[int], object] | None = None,
) -> tuple[_Array, _Array]:
    """One chain of batched Hamiltonian Monte Carlo a trial, started from draws of the prior that
    are weighed by its own cell; it never sees the truth.

    Other arguments:
        warmup: Transitions before the draws.
        thin: Transitions a draw.
        progress: Called with 1 after every transition.
    """
    generator = torch.Generator().manual_seed(seed)
    posterior = DesignPosterior(model, _OwnCell(*partition.ends(cells)))
    start = _starts(model, partition, cells, generator)
    state = Leapfrog(posterior.gradient, start, generator)
    tick = progress or (lambda _: None)
    warm_up(state, warmup, math.pi / 2, 0.8, tick)
    kept = []
    for i in range(draws * thin):
        state.transition(math.pi / 2)
        tick(1)
        if (i + 1) % thin == 0:
            kept.append(state.position)
    return posterior.constrain(torch.stack(kept), generator)


@dataclass(frozen=True)
class _OwnCell(Target):
    """A target a row: the box of the row's own trial."""

    lower: _Array
    upper: _Array

    @property
    def boxes(self) -> tuple[Box, ...]:
        return tuple(Box(tuple(a), tuple(b)) for a, b in zip(self.lower, self.upper, strict=True))

    @property
    def words(self) -> str:
        return ""

    def to_json(self) -> dict[str, Any]:
        return {"boxes": [box.to_json() for box in self.boxes]}

    def log_probability(self, m: NormalMixture) -> Tensor:
        apart = (len(self.lower), *[1] * (m.loc.ndim - 2), m.loc.shape[-1])
        lower, upper = (torch.tensor(e).to(m.loc).reshape(apart) for e in (self.lower, self.upper))
        return m.log_box_probability(lower, upper)

    def draw_inside(
        self, loc: Tensor, scale: Tensor, generator: torch.Generator, limits: Tensor | None = None
    ) -> Tensor:
        law = NormalMixture(torch.zeros_like(loc[:, :1]), loc[:, None], scale[:, None], limits)
        ends = law.reaching(*(torch.tensor(e).to(loc) for e in (self.lower, self.upper)))
        return truncated_normal(loc, scale, *ends, generator)


@torch.no_grad()
def _starts(
    model: PSPGen, partition: Partition, cells: NDArray[np.int64], generator: torch.Generator
) -> Tensor:
    """Scouts from the prior, resampled for every trial by the probability of its cell."""
    boxes = partition.boxes
    posterior = DesignPosterior(model, boxes[0])
    scouts = posterior.scout(generator, _SCOUTS).position
    start = torch.empty(len(cells), posterior.size).to(scouts)
    for c in np.unique(cells):
        mine = np.flatnonzero(cells == c)
        weight = torch.softmax(DesignPosterior(model, boxes[c]).log_weight(scouts).double(), 0)
        index = torch.multinomial(weight.cpu(), len(mine), True, generator=generator)
        start[torch.tensor(mine)] = scouts[index.to(scouts.device)]
    return start


@torch.no_grad()
def _simulate(model: PSPGen, count: int, seed: Any) -> tuple[_Array, _Array, _Array]:
    """Draws of φ, z0 and m from the model, φ uniform on its space."""
    rng = np.random.default_rng(seed)
    phi = model.process.sample(count, rng)
    inputs = model.tensor(phi)
    noise = model.tensor(rng.standard_normal((count, model.dims.latent)))
    z0 = model.prior.transport(noise, model.standardise(inputs))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    m = model.property_given(z0, model.latent_of_process(inputs)).draw(generator)
    return phi, z0.double().cpu().numpy(), m.double().cpu().numpy()


@torch.no_grad()
def _log_likelihood(
    model: PSPGen, phi: _Array, z0: _Array, lower: _Array, upper: _Array
) -> _Array:
    parts = []
    for i in range(0, len(phi), _ROWS):
        rows = [model.tensor(a[i : i + _ROWS]) for a in (phi, z0, lower, upper)]
        law = model.property_given(rows[1], model.latent_of_process(rows[0]))
        value = law.log_box_probability(rows[2][:, None], rows[3][:, None])
        parts.append(value.double().cpu().numpy())
    return np.concatenate(parts)
