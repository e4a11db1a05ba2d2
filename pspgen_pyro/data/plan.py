r"""What a triads store will hold, decided before the first sample is simulated.

The φ of a split are numbered :math:`i`, the microstructures of each φ :math:`r`, and sample
:math:`s = i R + r` for :math:`R` replicates. Every random number comes from the root seed:

.. math::
    \varphi_i &\leftarrow \text{SeedSequence}(\text{seed}, (\text{split}, i)) \\
    x_{ir} &\leftarrow \text{SeedSequence}(\text{seed}, (\text{split}, i, r))

so a sample depends neither on the number of samples nor on who simulates it. Every tenth φ
(:math:`i \equiv 9 \bmod 10`) of the training split is for validation: since the φ are independent
draws, that is a random tenth, and no φ is in both folds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.provenance import versions
from ..study import Case, Split

__all__ = ["Plan", "make_plan"]

_PACKAGES = ("pspgen-pyro", "numpy", "scipy", "numba", "numcodecs", "zarr")
_FEM_PACKAGES = ("dolfinx-solver-real", "fenics-dolfinx")
_VALIDATION = 10


@dataclass(frozen=True)
class Plan:
    """One triads store.

    Arguments:
        case: The problem.
        split: The name of the split.
        points: The number of φ.
        replicates: The number of microstructures a φ.
        seed: The root seed.
        chunk: The number of samples a chunk; it decides the bytes of the store, not the numbers.
    """

    case: Case
    split: str
    points: int
    replicates: int
    seed: int
    chunk: int

    @property
    def samples(self) -> int:
        """The number of triads."""
        return self.points * self.replicates

    @property
    def chunks(self) -> int:
        """The number of chunks."""
        return -(-self.samples // self.chunk)

    def span(self, j: int) -> range:
        """The samples of chunk j."""
        return range(j * self.chunk, min((j + 1) * self.chunk, self.samples))

    def phi(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """The φ with the given numbers, with shape `(*, P)`."""
        split = self.case.splits[self.split]
        process = self.case.process
        if split.grid:
            return process.grid(split.points)[index]
        rngs = [np.random.default_rng(self._seed(split.index, int(i))) for i in index]
        return np.array([process.sample((), rng) for rng in rngs]).reshape(-1, len(process))

    def simulate(self, j: int) -> tuple[dict[str, NDArray[Any]], dict[int, str]]:
        """Simulates chunk j: its variables by name, and the reason of each failed sample."""
        span = self.span(j)
        index, replicate = np.divmod(np.arange(span.start, span.stop), self.replicates)
        unique, inverse = np.unique(index, return_inverse=True)
        phi = self.phi(unique)[inverse]
        split = self.case.splits[self.split].index
        seeds = [self._seed(split, int(i), int(r)) for i, r in zip(index, replicate, strict=True)]
        triads = self.case.chain.simulate(phi, seeds)
        validation = (index % _VALIDATION == _VALIDATION - 1) & (self.split == "train")
        excluded = self.case.excludes(triads.m) & (self.split == "train")
        arrays = {
            "phi": phi,
            "x": triads.x,
            "k": triads.k,
            "m": triads.m,
            "percolates": triads.percolates,
            "phi_index": index,
            "replicate": replicate,
            "fold": validation.astype(np.int8),
            "excluded": excluded,
        }
        return arrays, {span.start + i: reason for i, reason in triads.failures.items()}

    def configuration(self) -> dict[str, Any]:
        """All that decides the bytes of the store, as JSON gives it back."""
        chain, preset = self.case.chain, self.case.preset
        described = self._described()
        solver = getattr(chain.property_, "solver", "")
        packages = _PACKAGES + _FEM_PACKAGES * (solver == "dolfinx")
        process, excluded = chain.process, self.case.excluded
        bounds = [list(pair) for pair in zip(process.lower, process.upper, strict=True)]
        made = {
            "case": self.case.name,
            "split": self.split,
            "samples": self.samples,
            "replicates": self.replicates,
            "seed": self.seed,
            "chunk": self.chunk,
            "preset": preset.name,
            "filter": preset.filter,
            "void_fraction": None if "fractions" in described else preset.void_fraction,
            "formulation": getattr(chain.property_, "formulation", ""),
            "solver": solver,
            "n": chain.structure.n,
            "phases": chain.phases,
            "gamma": getattr(chain.structure, "gamma", None),
            **described,
            "names": list(process.names),
            "units": list(process.units),
            "bounds": bounds,
            "symmetries": process.to_json()["symmetries"],
            "excluded_region": None if excluded is None else [list(end) for end in excluded],
            "versions": versions(packages),
        }
        return json.loads(json.dumps(made))

    def _described(self) -> dict[str, Any]:
        """What only some structures and properties have."""
        chain = self.case.chain
        of = {"fractions": chain.structure, "smoothing": chain.structure}
        of |= {"conductivities": chain.property_}
        found = {name: getattr(part, name, None) for name, part in of.items()}
        return {name: value for name, value in found.items() if value is not None}

    def _seed(self, *key: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=key)


def make_plan(
    case: Case,
    *,
    split: str = "train",
    samples: int | None = None,
    replicates: int | None = None,
    seed: int = 0,
    scale: float = 1.0,
    chunk: int | None = None,
) -> Plan:
    """Settles the sizes of a store from what the caller gives and what the case says.

    Arguments:
        case: The problem.
        split: One of the case's splits.
        samples: The *total* number of triads, φ times replicates; the case's own if None.
        replicates: The number of microstructures a φ; the case's own if None.
        seed: The root seed, not negative.
        scale: Multiplies the case's number of φ (of a grid: its number of replicates).
        chunk: The number of samples a chunk; a few seconds of work if None.

    Raises:
        InputError: If the split does not exist, or the numbers do not fit together.
    """
    if split not in case.splits:
        raise InputError(
            f"'split' is {split!r} but {case.name} has {', '.join(case.splits)}; choose one of "
            "those."
        )
    _check_positive(samples=samples, replicates=replicates, scale=scale, chunk=chunk)
    if seed < 0:
        raise InputError(f"'seed' is {seed}; give a whole number that is not negative.")
    if samples is not None and scale != 1.0:
        raise InputError(
            f"'samples' ({samples}) and 'scale' ({scale:g}) both set the size; give one."
        )
    sizes = _grid_sizes if case.splits[split].grid else _random_sizes
    points, each = sizes(case.splits[split], len(case.process), samples, replicates, scale)
    size = chunk or (250 if case.chain.structure.n <= 64 else 50)
    return Plan(case, split, points, each, seed, size)


def _random_sizes(
    split: Split, parameters: int, samples: int | None, replicates: int | None, scale: float
) -> tuple[int, int]:
    each = replicates or split.replicates
    if samples is None:
        return max(1, round(split.points * scale)), each
    if samples % each:
        raise InputError(
            f"'samples' is {samples}, the total number of triads, but every φ gets {each} "
            f"replicates; give a multiple of {each}, or other 'replicates'."
        )
    return samples // each, each


def _grid_sizes(
    split: Split, parameters: int, samples: int | None, replicates: int | None, scale: float
) -> tuple[int, int]:
    points = split.points**parameters
    each = replicates or max(1, round(split.replicates * scale))
    if samples is not None and replicates is None:
        each = samples // points
    if samples is not None and samples != points * each or each < 1:
        raise InputError(
            f"'samples' is {samples}, but the grid of this split has {points} φ; give {points} "
            "times the number of replicates."
        )
    return points, each


def _check_positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value > 0:
            raise InputError(f"'{name}' is {value:g}; give a number above 0.")
