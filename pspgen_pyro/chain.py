r"""The chain as one seeded simulator.

.. math:: \varphi \;\to\; x \sim p(x \mid \varphi) \;\to\; k(x), \qquad m = \log k.

All randomness is in the structure; the property is a deterministic function of it. Every sample
has a seed of its own, so a sample does not depend on the samples it was simulated with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .process import ProcessSpace
from .properties import Formulation, Solver, conductivity, percolation, permeability
from .properties._inputs import choice, labels
from .properties.conductivity import positive_values

__all__ = [
    "Chain",
    "ChainSample",
    "EffectiveConductivity",
    "Permeability",
    "Property",
    "Structure",
]


class Structure(Protocol):
    """Process → structure: one image of `n` × `n` phase labels per row of `phi`.

    One with more than two phases says so in an attribute `phases`.
    """

    @property
    def n(self) -> int: ...

    def __call__(
        self, phi: ArrayLike, seeds: Sequence[np.random.SeedSequence]
    ) -> NDArray[np.uint8]: ...


class Property(Protocol):
    """Structure → property: positive numbers `(N, K)` of images `(N, n, n)`.

    Three attributes are used where they exist: `phases`, the number of phases that it needs, and
    `quantity` and `unit`, what data sets call its numbers.
    """

    @property
    def names(self) -> tuple[str, ...]: ...

    def __call__(self, x: NDArray[np.uint8]) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Permeability:
    """The permeability of the void phase along (horizontal, vertical), by one formulation only.

    Arguments:
        formulation: "study" or "consistent", see `pspgen_pyro.properties.permeability`.
        solver: "multifrontal" or "dolfinx".

    Raises:
        InputError: If there is no such formulation or solver.
    """

    formulation: Formulation = "study"
    solver: Solver = "multifrontal"

    names = ("horizontal", "vertical")
    phases = 2
    quantity = "effective permeability"
    unit = "area of the unit cell"

    def __post_init__(self) -> None:
        if self.formulation not in ("study", "consistent"):
            raise InputError(
                f"'formulation' is {self.formulation!r}; choose 'study' or 'consistent'."
            )
        if self.solver not in ("multifrontal", "dolfinx"):
            raise InputError(f"'solver' is {self.solver!r}; choose 'multifrontal' or 'dolfinx'.")

    def __call__(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        return permeability(x, self.formulation, self.solver)


@dataclass(frozen=True)
class EffectiveConductivity:
    """The effective conductivity along (horizontal, vertical) of any number of phases.

    Arguments:
        conductivities: The conductivity of each phase, in the order of the labels and in any one
            unit.
        solver: "scipy" or "dolfinx", see `pspgen_pyro.properties.conductivity`.
        formulation: "bilinear", the only one; data sets name it.

    Raises:
        InputError: If a conductivity is not positive and finite, or there is no such formulation
            or solver.

    Example:
        >>> layers = np.repeat([0, 1, 2], 2)[None, :, None].repeat(6, axis=2).astype(np.uint8)
        >>> EffectiveConductivity((1.0, 2.0, 6.0))(layers).round(6)
        array([[3. , 1.8]])
    """

    conductivities: tuple[float, ...]
    solver: Literal["scipy", "dolfinx"] = "scipy"
    formulation: Literal["bilinear"] = "bilinear"

    names = ("horizontal", "vertical")
    quantity = "effective conductivity"
    unit = "that of the conductivities"

    def __post_init__(self) -> None:
        positive_values(self.conductivities)
        choice("solver", self.solver, ("scipy", "dolfinx"))
        choice("formulation", self.formulation, ("bilinear",))

    @property
    def phases(self) -> int:
        """The number of phases."""
        return len(self.conductivities)

    def __call__(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        return conductivity(x, self.conductivities, self.solver)


@dataclass(frozen=True)
class ChainSample:
    """Simulated triads.

    Arguments:
        phi: The process parameters, with shape `(N, P)`.
        x: The microstructures as phase labels (two-phase: 1 = void, 0 = solid), with shape
            `(N, n, n)`.
        k: The properties, with shape `(N, K)`; NaN where the simulation failed.
        m: Their natural logarithms, with shape `(N, K)`; −∞ where k is 0.
        percolates: Whether the phase with the last label percolates (two-phase: the void), with
            shape `(N, 2)`.
        failures: The reason of each failed sample, by its index.
    """

    phi: NDArray[np.float64]
    x: NDArray[np.uint8]
    k: NDArray[np.float64]
    m: NDArray[np.float64]
    percolates: NDArray[np.bool_]
    failures: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.phi)


@dataclass(frozen=True)
class Chain:
    r"""Process ∘ structure ∘ property.

    Arguments:
        process: The admissible process parameters.
        structure: The structure simulator.
        property_: The property of a structure, a `Permeability` in the study.

    Raises:
        InputError: If the property is for another number of phases than the structure has.

    Example:
        >>> from pspgen_pyro.structure import PhaseSeparatedField, two_mode_spectrum
        >>> process = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
        >>> chain = Chain(process, PhaseSeparatedField(12, two_mode_spectrum), Permeability())
        >>> chain.simulate([[5.0, 1.0]], np.random.SeedSequence(0).spawn(1)).m.shape
        (1, 2)
    """

    process: ProcessSpace
    structure: Structure
    property_: Property

    def __post_init__(self) -> None:
        needed = getattr(self.property_, "phases", self.phases)
        if needed != self.phases:
            raise InputError(
                f"'property_' is for {needed} phases but 'structure' makes {self.phases}; take a "
                "property for that many, such as EffectiveConductivity with one conductivity each."
            )

    @property
    def phases(self) -> int:
        """The number of phases of a microstructure."""
        return getattr(self.structure, "phases", 2)

    def simulate(self, phi: ArrayLike, seeds: Sequence[np.random.SeedSequence]) -> ChainSample:
        """Simulates one triad per row of `phi`.

        Arguments:
            phi: The process parameters, with shape `(N, P)`.
            seeds: One seed sequence a row.

        Returns:
            The triads; a sample that cannot be simulated is there, as NaN and with the reason.

        Raises:
            InputError: If `phi` is not admissible or there is not one seed a row.
        """
        values = self.process.check(phi)
        if values.ndim != 2 or len(seeds) != len(values):
            raise InputError(
                f"'phi' has shape {values.shape} and 'seeds' {len(seeds)} entries; give shape "
                f"(N, {len(self.process)}) and N seed sequences."
            )
        n, count = self.structure.n, len(values)
        failures: dict[int, str] = {}
        x = np.zeros((count, n, n), dtype=np.uint8)
        k = np.full((count, len(self.property_.names)), np.nan)
        _fill(x, lambda i: self.structure(values[i], [seeds[j] for j in i]), failures)
        _fill(k, lambda i: self.property_(x[i]), failures)
        m = np.log(k, out=np.full_like(k, -np.inf), where=~(k <= 0))
        last = labels(x, self.phases) == self.phases - 1
        return ChainSample(values, x, k, m, percolation(last), failures)


def _fill(
    out: NDArray[Any],
    function: Callable[[NDArray[np.int64]], NDArray[Any]],
    failures: dict[int, str],
) -> None:
    """Fills `out` for the samples not failed yet: all at once, or one by one if that fails."""
    index = np.array([i for i in range(len(out)) if i not in failures], dtype=np.int64)
    if not len(index):
        return
    try:
        out[index] = function(index)
    except (ArithmeticError, RuntimeError, ValueError):
        for i in index:
            try:
                out[i] = function(np.array([i]))[0]
            except (ArithmeticError, RuntimeError, ValueError) as error:
                failures[int(i)] = f"{type(error).__name__}: {error}"
