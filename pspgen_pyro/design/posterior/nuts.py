r"""Pyro's No-U-Turn sampler with the statistics of every draw.

Pyro reports which draws diverged and how often a chain moved. `RecordedNUTS` adds what a diagnosis
needs and hands it out with :code:`kernel.diagnostics()`, the one thing that comes back from chains
in other processes. For that it watches four private methods and four private attributes of Pyro
1.9; a test names them.

References:
    A Conceptual Introduction to Hamiltonian Monte Carlo (Betancourt, 2017)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyro
import torch
from numpy.typing import NDArray
from pyro.infer import NUTS
from pyro.poutine import block
from torch import Tensor

from ...errors import InputError
from ...io.crews import Crew
from ...io.threads import threads
from ...io.validation import check_seed
from .density import DesignPosterior
from .draws import Draws, check_acceptance, check_counts

__all__ = ["STATISTICS", "RecordedNUTS", "sample_nuts"]

_CLIFF, _SOFT = 100.0, 0.05

STATISTICS = (
    "diverging",
    "acceptance_rate",
    "step_size",
    "n_steps",
    "tree_depth",
    "reached_max_treedepth",
    "energy",
    "lp",
)


class RecordedNUTS(NUTS):
    """NUTS that records, for every draw after the warm-up, the names in `STATISTICS`.

    Takes the arguments of `pyro.infer.NUTS` except `use_multinomial_sampling`. `energy` is the
    Hamiltonian at the chosen point of the trajectory; `tree_depth` counts the doublings that were
    completed.

    Example:
        >>> kernel = RecordedNUTS(potential_fn=lambda site: 0.5 * site["q"].square().sum())
        >>> from pyro.infer import MCMC
        >>> chain = MCMC(kernel, 20, 20, {"q": torch.zeros(3)}, disable_progbar=True)
        >>> chain.run()
        >>> len(chain.diagnostics()["energy"]["chain 0"])
        20
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        if options.get("use_multinomial_sampling") is False:
            raise InputError(
                "'use_multinomial_sampling' is False; energies are recorded for multinomial "
                "sampling only, so leave it out."
            )
        super().__init__(*args, **options)

    def _reset(self) -> None:
        super()._reset()
        self._records: dict[str, list[Any]] = {name: [] for name in STATISTICS}
        self._nested = False

    def _build_basetree(self, z, r, z_grads, log_slice, direction, energy_current):  # noqa: ANN001, ANN202
        tree = super()._build_basetree(z, r, z_grads, log_slice, direction, energy_current)
        self._leaves += 1
        self._accepted += float(tree.sum_accept_probs)
        self._diverged |= bool(tree.diverging)
        # the weight is H(start) - H(leaf); the potential's identity finds the leaf that is chosen
        self._energies[id(tree.z_proposal_pe)] = float(energy_current) - float(tree.weight)
        self._first_energy = float(energy_current)
        return tree

    def _build_tree(self, z, r, z_grads, log_slice, direction, tree_depth, energy_current):  # noqa: ANN001, ANN202
        top, self._nested = not self._nested, True
        tree = super()._build_tree(z, r, z_grads, log_slice, direction, tree_depth, energy_current)
        if top:
            self._nested = False
            self._depth = tree_depth + (not (tree.turning or tree.diverging))
        return tree

    def sample(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        """One transition, recorded."""
        self._leaves, self._accepted, self._diverged, self._depth = 0, 0.0, False, 0
        self._energies: dict[int, float] = {}
        step_size = float(self.step_size)
        result = super().sample(params)
        if self._t > (self._warmup_steps or 0):  # type: ignore[operator]
            potential: Any = self._potential_energy_last
            values = {
                "diverging": self._diverged,
                "acceptance_rate": self._accepted / self._leaves,
                "step_size": step_size,
                "n_steps": self._leaves,
                "tree_depth": self._depth,
                "reached_max_treedepth": self._depth >= self._max_tree_depth,
                "energy": self._energies.get(id(potential), self._first_energy),
                "lp": -float(potential),
            }
            for name, value in values.items():
                self._records[name].append(value)
        return result

    def diagnostics(self) -> dict[str, Any]:
        """Pyro's own diagnostics and one array a statistic, with shape `(draws)`."""
        recorded = {name: np.array(values) for name, values in self._records.items()}
        return super().diagnostics() | recorded


def sample_nuts(
    posterior: DesignPosterior,
    *,
    chains: int = 4,
    draws: int = 500,
    warmup: int = 200,
    target_accept: float = 0.8,
    max_tree_depth: int = 10,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[int], object] | None = None,
) -> Draws:
    """Samples the design posterior with Pyro's NUTS.

    Arguments:
        posterior: The posterior.

    Other arguments:
        chains: How many chains.
        draws: Draws a chain.
        warmup: Transitions before them, in which step size and metric settle.
        target_accept: The acceptance that the step size aims at.
        max_tree_depth: The most doublings of a trajectory.
        seed: Seeds the chains; the same seed gives the same draws whatever the workers.
        workers: Processes; with 1 the chains run one after the other.
        progress: Called with the number of transitions just made: after each, or the draws of a
            chain once it is done if there are several workers.

    Raises:
        InputError: If a number is not positive, the seed is none, or `target_accept` is not
            between 0 and 1.
        WorkerError: If worker processes keep dying.
    """
    check_counts(
        chains=chains, draws=draws, warmup=warmup, workers=workers, max_tree_depth=max_tree_depth
    )
    check_seed(seed)
    check_acceptance(target_accept)
    begin = time.process_time()
    generator = torch.Generator().manual_seed(seed)
    scouts = posterior.scout(generator)
    starts = scouts.resample(chains, generator)
    seeds = np.random.SeedSequence(seed).generate_state(chains)
    options = {"target_accept_prob": target_accept, "max_tree_depth": max_tree_depth}
    tasks = [
        (posterior, start, int(child), draws, warmup, options)
        for start, child in zip(starts, seeds, strict=True)
    ]
    found = time.process_time() - begin
    results = _run(tasks, workers, progress or (lambda _: None))
    positions, records, seconds = zip(*results, strict=True)
    return posterior.drawn(
        "NUTS",
        torch.stack(positions),
        generator,
        scouts,
        statistics={name: np.stack([record[name] for record in records]) for name in STATISTICS},
        seconds=found + sum(seconds),
        settings={"warmup": warmup, "seed": seed, **options},
    )


_Task = tuple[DesignPosterior, Tensor, int, int, int, dict[str, Any]]
_Result = tuple[Tensor, dict[str, NDArray[Any]], float]


def _run(tasks: Sequence[_Task], workers: int, tick: Callable[[int], object]) -> list[_Result]:
    if workers == 1:
        return [_chain(task, tick) for task in tasks]
    found = {}
    for k, result in Crew(workers).perform(partial(_chain_of, tasks), range(len(tasks))):
        found[k] = result
        tick(len(result[0]))
    return [found[k] for k in range(len(tasks))]


def _chain_of(tasks: Sequence[_Task], k: int) -> _Result:
    return _chain(tasks[k])


def _chain(task: _Task, tick: Callable[[int], object] = lambda _: None) -> _Result:
    """One chain: its positions, its statistics and its CPU time."""
    posterior, start, seed, draws, warmup, options = task
    begin = time.process_time()

    def potential(site: dict[str, Tensor]) -> Tensor:
        # one row is faster than none: torch takes matrix products, not matrix–vector ones
        soft, exact = posterior.softened_value(site["position"][None], _SOFT)
        # the slope of the one under the value of the other; a cliff is none of the divergences,
        # which are errors of the integrator, so it ends
        return -(soft + (exact - soft).clamp(min=-_CLIFF).detach()).squeeze(0)

    rng, plain = torch.random.fork_rng(), pyro.validation_enabled(False)
    with threads(1), rng, plain, block():
        torch.manual_seed(seed)
        kernel = RecordedNUTS(potential_fn=potential, **options)
        kernel.initial_params = {"position": start.clone()}
        kernel.setup(warmup)
        site, positions = kernel.initial_params, []
        for _ in range(warmup + draws):
            site = kernel.sample(site)
            positions.append(site["position"].clone())
            tick(1)
    found = kernel.diagnostics()
    records = {name: found[name] for name in STATISTICS}
    return torch.stack(positions[warmup:]), records, time.process_time() - begin
