"""The two links of a chain: structure simulators φ → x and property simulators x → v, and how a
function of one's own becomes one.

A simulator declares what it returns, so that a chain knows what its triads are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .io.provenance import name_of
from .properties import Formulation, Solver, conductivity, permeability
from .properties._inputs import choice
from .properties.conductivity import phase_values
from .properties.edges import EDGES, Edges
from .schema import Microstructure, Property

__all__ = [
    "EffectiveConductivity",
    "Permeability",
    "PropertyFunction",
    "PropertySimulator",
    "StructureFunction",
    "StructureSimulator",
]

_BLOCKED = 1e-12


class StructureSimulator(Protocol):
    """Process → structure: an image x for each row of φ."""

    @property
    def microstructure(self) -> Microstructure:
        """What the images are."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What decides the images, for the attributes of a data set; ready for JSON."""
        ...

    def __call__(
        self, phi: NDArray[np.float64], seeds: Sequence[np.random.SeedSequence]
    ) -> NDArray[Any]:
        """The images of `phi`, with shape `(N, H, W)`; image i depends on `phi[i]` and `seeds[i]`
        only."""
        ...


class PropertySimulator(Protocol):
    """Structure → property: values `(N, K)`, in the declared units, of images `(N, H, W)`.

    In a chain without images it is called with `(phi, seeds)` instead. NaN is a value that is
    unknown.
    """

    @property
    def properties(self) -> tuple[Property, ...]:
        """What the values are, in the order of their last axis."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What decides the values, for the attributes of a data set; ready for JSON."""
        ...

    def check_images(self, microstructure: Microstructure | None) -> None:
        """Says why such images cannot be taken, if they cannot; None stands for no images.

        Raises:
            InputError: If they cannot.
        """
        ...

    # gradual on purpose: one simulator is called with x, another with φ and seeds
    def __call__(self, *inputs: Any, **options: Any) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class StructureFunction:
    """A function as the structure simulator of a chain.

    Arguments:
        function: Takes φ of shape `(N, P)` and N seed sequences, returns images `(N, H, W)`;
            image i may depend on `phi[i]` and `seeds[i]` only. For several worker processes it
            must be one that a module defines, not a lambda.
        microstructure: What the images are.

    Example:
        >>> def noise(phi, seeds):
        ...     rngs = [np.random.default_rng(seed) for seed in seeds]
        ...     return np.stack([rng.random((4, 6)) < p for rng, p in zip(rngs, phi[:, 0])])
        >>> structure = StructureFunction(noise, Microstructure(shape=(4, 6)))
        >>> structure(np.array([[0.5]]), np.random.SeedSequence(0).spawn(1)).shape
        (1, 4, 6)
    """

    function: Callable[..., NDArray[Any]]
    microstructure: Microstructure

    @property
    def provenance(self) -> dict[str, Any]:
        return {"structure": name_of(self.function)}

    def __call__(
        self, phi: NDArray[np.float64], seeds: Sequence[np.random.SeedSequence]
    ) -> NDArray[Any]:
        return self.function(phi, seeds)


@dataclass(frozen=True)
class PropertyFunction:
    """A function as the property simulator of a chain.

    Arguments:
        function: Takes images `(N, H, W)`, or φ and seeds in a chain without images; returns
            values `(N, K)`.
        properties: What the values are: `Property` each, or the text that `Property.parse` reads.

    Example:
        >>> porosity = PropertyFunction(lambda x: x.mean(axis=(1, 2))[:, None], ("porosity",))
        >>> porosity(np.eye(4)[None])
        array([[0.25]])
    """

    function: Callable[..., NDArray[np.float64]]
    properties: tuple[Property, ...]

    def __post_init__(self) -> None:
        given = self.properties
        one_each = (given,) if isinstance(given, str | Property) else given
        parsed = tuple(Property.parse(p) if isinstance(p, str) else p for p in one_each)
        object.__setattr__(self, "properties", parsed)

    @property
    def provenance(self) -> dict[str, Any]:
        return {"property": name_of(self.function)}

    def check_images(self, microstructure: Microstructure | None) -> None:
        """Takes any images: the function has to know."""

    def __call__(self, *inputs: Any) -> NDArray[np.float64]:
        return self.function(*inputs)


@dataclass(frozen=True)
class Permeability:
    """The permeability of the void phase along (horizontal, vertical), by one formulation only.

    Its unit is the area of the unit cell.

    Arguments:
        formulation: "study" or "consistent", see `pspgen_pyro.properties.permeability`.
        solver: "multifrontal" or "dolfinx".
        detection_limit: The permeability at or below which a direction counts as blocked. If
            None, 1e-12 of "consistent", whose blocked directions have k = 0 and no logarithm, and
            no limit of "study", whose blocked directions leak.

    Raises:
        InputError: If there is no such formulation or solver, or the limit is not positive.
    """

    formulation: Formulation = "study"
    solver: Solver = "multifrontal"
    detection_limit: float | None = None

    def __post_init__(self) -> None:
        choice("formulation", self.formulation, ("study", "consistent"))
        choice("solver", self.solver, ("multifrontal", "dolfinx"))
        if self.detection_limit is None and self.formulation == "consistent":
            object.__setattr__(self, "detection_limit", _BLOCKED)
        _ = self.properties

    @property
    def properties(self) -> tuple[Property, ...]:
        """Its components along the two directions, as logarithms."""
        return _along("permeability", "1", self.detection_limit)

    @property
    def provenance(self) -> dict[str, Any]:
        return {"property": "Permeability", "formulation": self.formulation, "solver": self.solver}

    def check_images(self, microstructure: Microstructure | None) -> None:
        """Takes square periodic images of two phases."""
        images = _of_phases(microstructure, 2)
        if not images.periodic or images.shape[0] != images.shape[1]:
            raise InputError(
                f"'structure' makes {images}, but Permeability solves on a square periodic cell; "
                "declare such images, or take another property simulator."
            )

    def __call__(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        return permeability(x, self.formulation, self.solver)


@dataclass(frozen=True)
class EffectiveConductivity:
    """The effective conductivity along (horizontal, vertical) of any number of phases.

    Arguments:
        conductivities: The conductivity of each phase, in the order of the labels.
        solver: "scipy" or "dolfinx", see `pspgen_pyro.properties.conductivity`.
        formulation: "bilinear", the only one; data sets name it.
        unit: The unit of the conductivities.
        detection_limit: The conductivity at or below which a direction counts as blocked. If
            None, 1e-12 of the best conductor where a phase insulates, so that a blocked
            direction has a logarithm, and no limit where every phase conducts.
        edges: What lies beyond the images, see `pspgen_pyro.properties.conductivity`.

    Raises:
        InputError: If a conductivity is negative or not finite, there is no such formulation,
            solver or edge, or the limit is not positive.

    Example:
        >>> layers = np.repeat([0, 1, 2], 2)[None, :, None].repeat(6, axis=2).astype(np.uint8)
        >>> EffectiveConductivity((1.0, 2.0, 6.0))(layers).round(6)
        array([[3. , 1.8]])
    """

    conductivities: tuple[float, ...]
    solver: Literal["scipy", "dolfinx"] = "scipy"
    formulation: Literal["bilinear"] = "bilinear"
    unit: str = "1"
    detection_limit: float | None = None
    edges: Edges = "periodic"

    def __post_init__(self) -> None:
        phases = phase_values(self.conductivities)
        choice("edges", self.edges, EDGES)
        choice("solver", self.solver, ("scipy", "dolfinx"))
        choice("formulation", self.formulation, ("bilinear",))
        if not phases.any():
            raise InputError(
                f"'conductivities' is {self.conductivities!r}; at least one phase has to conduct."
            )
        if self.detection_limit is None and not phases.all():
            object.__setattr__(self, "detection_limit", _BLOCKED * float(phases.max()))
        _ = self.properties

    @property
    def properties(self) -> tuple[Property, ...]:
        """Its components along the two directions, as logarithms."""
        return _along("conductivity", self.unit, self.detection_limit)

    @property
    def provenance(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "property": "EffectiveConductivity",
            "formulation": self.formulation,
            "solver": self.solver,
            "conductivities": list(self.conductivities),
        }
        # data sets made before there was a choice are periodic and do not name it
        return made if self.edges == "periodic" else made | {"edges": self.edges}

    def check_images(self, microstructure: Microstructure | None) -> None:
        """Takes images with one phase a conductivity, periodic ones unless the edges are walls or
        mirrors."""
        images = _of_phases(microstructure, len(self.conductivities))
        if self.edges == "periodic" and not images.periodic:
            raise InputError(
                f"'structure' makes {images}, but EffectiveConductivity solves on a periodic "
                'cell; pass edges="mirrored", or declare periodic images.'
            )

    def __call__(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        return conductivity(x, self.conductivities, self.solver, edges=self.edges)


def _along(quantity: str, unit: str, below: float | None) -> tuple[Property, ...]:
    """A quantity along the horizontal and the vertical direction, as logarithms."""
    return tuple(
        Property(
            name=direction,
            unit=unit,
            scale="log",
            quantity=quantity,
            direction=direction,
            detection_limit=(below, None),
        )
        for direction in ("horizontal", "vertical")
    )


def _of_phases(images: Microstructure | None, phases: int) -> Microstructure:
    """Returns `images`, or raises InputError unless they are of so many phases."""
    if images is None or images.phases != phases:
        made = "no images" if images is None else f"images of {images.phases} phases"
        raise InputError(
            f"'property_' is for {phases} phases but 'structure' makes {made}; take a property "
            "simulator for those, such as EffectiveConductivity with one conductivity a phase."
        )
    return images
