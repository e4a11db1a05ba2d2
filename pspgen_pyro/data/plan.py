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
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..chain import Chain, percolating
from ..errors import InputError
from ..io.provenance import versions
from ..io.validation import check_positive, check_seed, check_whole
from ..study import Case, Split
from .layout import Layout, chunk_size, encoded

__all__ = ["Plan", "make_plan"]

_PACKAGES = ("pspgen-pyro", "numpy", "scipy", "numba", "numcodecs", "zarr")
_FEM_PACKAGES = ("dolfinx-solver-real", "fenics-dolfinx")
_VALIDATION = 10
_SPLITS = {"train": 0, "test": 1, "reference": 2}


@dataclass(frozen=True)
class Plan:
    """One triads store.

    Arguments:
        chain: The simulator.
        split: The name of the split.
        index: The first number of every spawn key of the split.
        points: The number of φ.
        replicates: The number of triads a φ.
        seed: The root seed.
        chunk: The number of samples a chunk; it decides the bytes of the store, not the numbers.
        axis: The number of φ along each axis of a grid; None if the φ are drawn at random.
        case: The problem that the chain belongs to, if it is one with a name.
    """

    chain: Chain
    split: str
    index: int
    points: int
    replicates: int
    seed: int
    chunk: int
    axis: int | None = None
    case: Case | None = None

    @cached_property
    def layout(self) -> Layout:
        """How the store lies on disk."""
        attributes = {k: v for k, v in self.configuration().items() if k != "schema"}
        return Layout(self.chain.schema, self.samples, self._variables(), attributes, self.chunk)

    @property
    def samples(self) -> int:
        """The number of triads."""
        return self.points * self.replicates

    def phi(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """The φ with the given numbers, with shape `(*, P)`."""
        process = self.chain.process
        if self.axis is not None:
            return process.grid(self.axis)[index]
        rngs = [np.random.default_rng(self._seed(self.index, int(i))) for i in index]
        return np.array([process.sample((), rng) for rng in rngs]).reshape(-1, len(process))

    def simulate(self, j: int) -> tuple[dict[str, NDArray[Any]], dict[int, str]]:
        """Simulates chunk j: its variables by name, and the reason of each failed sample."""
        span = self.layout.span(j)
        index, replicate = np.divmod(np.arange(span.start, span.stop), self.replicates)
        unique, inverse = np.unique(index, return_inverse=True)
        phi = self.phi(unique)[inverse]
        pairs = zip(index, replicate, strict=True)
        seeds = [self._seed(self.index, int(i), int(r)) for i, r in pairs]
        triads = self.chain.simulate(phi, seeds)
        training = self.split == "train"
        found = {
            "phi": phi,
            "x": triads.x,
            "value": triads.value,
            "m": triads.m,
            "percolates": triads.percolates,
            "phi_index": index,
            "replicate": replicate,
            "fold": ((index % _VALIDATION == _VALIDATION - 1) & training).astype(np.int8),
        }
        if self.case is not None:
            found["excluded"] = self.case.excludes(triads.m) & training
        arrays = {name: found[name] for name in self.layout.variables}
        return arrays, {span.start + i: reason for i, reason in triads.failures.items()}

    def configuration(self) -> dict[str, Any]:
        """All that decides the bytes of the store, as JSON gives it back.

        Raises:
            InputError: If the provenance of a simulator is not ready for JSON.
        """
        case, given = self.case, self.chain.provenance
        packages = _PACKAGES + _FEM_PACKAGES * (given.get("solver") == "dolfinx")
        excluded = None if case is None else case.excluded
        made = {
            "formulation": None,
            "solver": None,
            **given,
            "case": None if case is None else case.name,
            "preset": given.get("preset") if case is None else case.preset.name,
            "split": self.split,
            "samples": self.samples,
            "replicates": self.replicates,
            "points": self.axis,
            "seed": self.seed,
            "chunk": self.chunk,
            "excluded_region": None if excluded is None else [list(end) for end in excluded],
            "versions": versions(packages),
            "schema": self.chain.schema.to_json(),
        }
        try:
            return json.loads(encoded(made))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"'provenance' of a simulator is not ready for JSON ({error}); give text, finite "
                "numbers, lists and dictionaries."
            ) from error

    def _variables(self) -> tuple[str, ...]:
        images = self.chain.schema.microstructure
        found = ["phi", *(["x"] if images is not None else []), "value", "m"]
        found += ["percolates"] if percolating(images) else []
        found += ["phi_index", "replicate", "fold"]
        excludes = self.case is not None and self.case.excluded is not None
        return (*found, "excluded") if excludes else tuple(found)

    def _seed(self, *key: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=key)


def make_plan(
    source: Case | Chain,
    *,
    split: str = "train",
    samples: int | None = None,
    replicates: int | None = None,
    points: int | None = None,
    seed: int = 0,
    scale: float = 1.0,
    chunk: int | None = None,
) -> Plan:
    """Settles the sizes of a store from what the caller gives and what the case says.

    The arguments are those of `generate`.

    Raises:
        InputError: If the split does not exist, or the numbers do not fit together.
    """
    sizes: dict[str, Any] = {
        "samples": samples,
        "replicates": replicates,
        "points": points,
        "chunk": chunk,
    }
    check_whole(**sizes, optional=True)
    check_positive(scale=scale, optional=False)
    check_seed(seed)
    if samples is not None and scale != 1.0:
        raise InputError(
            f"'samples' ({samples}) and 'scale' ({scale:g}) both set the size; give one."
        )
    case, chain = (None, source) if isinstance(source, Chain) else (source, source.chain)
    part = _split_of(case, split, samples, points, scale)
    if part.grid:
        size = _grid_sizes(part, len(chain.process), samples, replicates, scale)
    else:
        size = _random_sizes(part, samples, replicates, scale)
    axis = part.points if part.grid else None
    return Plan(
        chain, split, part.index, *size, seed, chunk or chunk_size(chain.schema), axis, case
    )


def _split_of(
    case: Case | None, name: str, samples: int | None, points: int | None, scale: float
) -> Split:
    """The split of this name, with its sizes."""
    known = _SPLITS if case is None else case.splits
    if not isinstance(name, str) or name not in known:
        owner = "a chain" if case is None else case.name
        raise InputError(
            f"'split' is {name!r} but {owner} has {', '.join(known)}; choose one of those."
        )
    grid = name == "reference" if case is None else case.splits[name].grid
    if points is not None and not grid:
        raise InputError(
            f"'points' is {points}, the number of φ along each axis of a reference grid, but the "
            f"φ of {name!r} are drawn at random; give 'samples'."
        )
    if case is not None:
        part = case.splits[name]
        return replace(part, points=points) if points is not None else part
    if scale != 1.0:
        raise InputError(f"'scale' is {scale:g}, but a chain has no size of its own; leave it.")
    wanted = points if grid else samples
    if wanted is None:
        missing = "points" if grid else "samples"
        raise InputError(f"'{missing}' is missing; a chain has no size of its own, so give one.")
    return Split(_SPLITS[name], wanted, 1, grid)


def _random_sizes(
    split: Split, samples: int | None, replicates: int | None, scale: float
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
