"""The package's own solvers as property simulators of a chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..schema import Microstructure, Property
from ..schema.properties import DIRECTIONS
from ..schema.units import conversion
from . import Formulation, Solver, conductivity, length, permeability
from ._inputs import choice
from .conductivity import phase_values
from .edges import EDGES, Edges
from .elasticity import Plane, elastic_stiffness, phase_stiffness

__all__ = ["EffectiveConductivity", "ElasticStiffness", "Permeability"]

_BLOCKED = 1e-12


@dataclass(frozen=True)
class Permeability:
    """The permeability of the void phase along (horizontal, vertical), by one formulation only.

    Its unit is the area of an image, or that of an area once the size of a pixel is known.

    Arguments:
        formulation: "study" or "consistent", see `pspgen_pyro.properties.permeability`.
        solver: "multifrontal" or "dolfinx".
        detection_limit: The permeability at or below which a direction counts as blocked. If
            None, 1e-12 of "consistent", whose blocked directions have k = 0 and no logarithm, and
            no limit of "study", whose blocked directions leak.
        edges: "periodic", "walls" or "mirrored", see `pspgen_pyro.properties.permeability`.
            Images that are not periodic need one of the latter two.
        pixel_size: The side of a pixel with its unit, such as "0.5 um", as the images declare it.
        unit: The unit of k: "m^2" or what converts to it, as "mD", where the pixel size is known;
            else "1".

    Raises:
        InputError: If there is no such formulation, solver or edge, the limit or the pixel size is
            not positive, or the unit does not go with the pixel size.

    Example:
        >>> print(Permeability(pixel_size="0.5 um", unit="mD").describe().split(";")[0])
        the permeability of the void phase by Stokes flow: horizontal [mD], vertical [mD]
    """

    formulation: Formulation = "study"
    solver: Solver = "multifrontal"
    detection_limit: float | None = None
    edges: Edges = "periodic"
    pixel_size: str | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        unit = self.unit or ("m^2" if self.pixel_size else "1")
        object.__setattr__(self, "unit", unit)
        choice("formulation", self.formulation, ("study", "consistent"))
        choice("solver", self.solver, ("multifrontal", "dolfinx"))
        choice("edges", self.edges, EDGES)
        area = self._pixel_area()
        if self.detection_limit is None and self.formulation == "consistent":
            object.__setattr__(self, "detection_limit", _BLOCKED * area)
        _ = self.properties

    @property
    def properties(self) -> tuple[Property, ...]:
        """Its components along the two directions, as logarithms."""
        return _along("permeability", self.unit, self.detection_limit)

    @property
    def provenance(self) -> dict[str, Any]:
        made = {"property": "Permeability", "formulation": self.formulation, "solver": self.solver}
        # data sets made before there was a choice are periodic and do not name it
        made |= {} if self.edges == "periodic" else {"edges": self.edges}
        return made if self.pixel_size is None else made | {"pixel_size": self.pixel_size}

    def describe(self) -> str:
        """What it computes, in which units and how, in one line."""
        return _described("the permeability of the void phase by Stokes flow", self)

    def check_images(self, microstructure: Microstructure | None) -> None:
        """Takes images of two phases and of pixels of its size, periodic ones unless the edges are
        walls or mirrors."""
        images = _check_cell(self, microstructure, 2)
        if self.pixel_size is None:
            return
        declared = f"{images.pixel_size} {images.pixel_unit}" if images.pixel_size else ""
        if not declared or not np.isclose(length(declared), length(self.pixel_size), rtol=1e-9):
            raise InputError(
                f"'property_' is for pixels of {self.pixel_size}, but 'structure' makes {images}; "
                "declare the same pixel size in both."
            )

    def __call__(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        k = permeability(
            x, self.formulation, self.solver, edges=self.edges, pixel_size=self.pixel_size
        )
        return k if self.pixel_size is None else k * conversion("m^2", self.unit, "unit")[0]

    def _pixel_area(self) -> float:
        """The area of a pixel in the unit; 1 where its size is not known."""
        if self.pixel_size is None:
            if self.unit != "1":
                raise InputError(
                    f"'unit' is {self.unit!r}, but without 'pixel_size' the unit of k is the area "
                    'of an image; pass the side of a pixel, such as "0.5 um".'
                )
            return 1.0
        return length(self.pixel_size, "pixel_size") ** 2 * conversion("m^2", self.unit, "unit")[0]


@dataclass(frozen=True)
class EffectiveConductivity:
    """The effective conductivity along (horizontal, vertical), of volumes along (horizontal,
    vertical, through), of any number of phases.

    Arguments:
        conductivities: The conductivity of each phase, in the order of the labels.
        solver: "scipy" or "dolfinx", see `pspgen_pyro.properties.conductivity`.
        formulation: "bilinear", the only one; data sets name it.
        unit: The unit of the conductivities.
        detection_limit: The conductivity at or below which a direction counts as blocked. If
            None, 1e-12 of the best conductor where a phase insulates, so that a blocked
            direction has a logarithm, and no limit where every phase conducts.
        edges: What lies beyond the images, see `pspgen_pyro.properties.conductivity`.
        dimensions: 2, or 3 for volumes, which "scipy" alone solves.

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
    dimensions: Literal[2, 3] = 2

    def __post_init__(self) -> None:
        phases = phase_values(self.conductivities)
        if self.dimensions not in (2, 3) or (self.dimensions, self.solver) == (3, "dolfinx"):
            raise InputError(
                f"'dimensions' is {self.dimensions!r} and 'solver' {self.solver!r}; choose 2, or "
                "3 with solver='scipy'."
            )
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
        """Its components along the directions, as logarithms."""
        names = DIRECTIONS[: self.dimensions]
        return _along("conductivity", self.unit, self.detection_limit, names)

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

    def describe(self) -> str:
        """What it computes, in which units and how, in one line."""
        return _described("the effective conductivity", self)

    def check_images(self, microstructure: Microstructure | None) -> None:
        """Takes images with one phase a conductivity, periodic ones unless the edges are walls or
        mirrors."""
        _check_cell(self, microstructure, len(self.conductivities), self.dimensions)

    def __call__(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        return conductivity(x, self.conductivities, self.solver, edges=self.edges)


@dataclass(frozen=True)
class ElasticStiffness:
    """The effective elastic stiffness of any number of phases: C11 (horizontal), C22 (vertical),
    C12 and C66.

    Arguments:
        young: Young's modulus of each phase, in the order of the labels; 0 for a void.
        poisson: Poisson's ratio of each phase.
        plane: "strain" or "stress".
        solver: "multifrontal" or "dolfinx", see `pspgen_pyro.properties.elastic_stiffness`.
        formulation: "bilinear", the only one; data sets name it.
        unit: The unit of the moduli.
        edges: "periodic" or "mirrored".

    Raises:
        InputError: If a modulus or a ratio is out of its bounds, or there is no such plane, solver
            or formulation.

    Example:
        >>> layers = np.repeat([0, 1], 4)[None, :, None].repeat(8, axis=2).astype(np.uint8)
        >>> ElasticStiffness((1.0, 3.0), (0.0, 0.0))(layers).round(6)
        array([[2.  , 1.5 , 0.  , 0.75]])
    """

    young: tuple[float, ...]
    poisson: tuple[float, ...]
    plane: Plane = "strain"
    solver: Literal["multifrontal", "dolfinx"] = "multifrontal"
    formulation: Literal["bilinear"] = "bilinear"
    unit: str = "GPa"
    edges: Literal["periodic", "mirrored"] = "periodic"

    def __post_init__(self) -> None:
        phase_stiffness(self.young, self.poisson, self.plane)
        choice("edges", self.edges, ("periodic", "mirrored"))
        choice("solver", self.solver, ("multifrontal", "dolfinx"))
        choice("formulation", self.formulation, ("bilinear",))

    @property
    def properties(self) -> tuple[Property, ...]:
        """C11 and C22 as one quantity along two directions, C12 and C66; the first two and the
        last as logarithms."""
        along = _along("stiffness", self.unit, None, names=("C11", "C22"))
        shear = Property(name="C66", unit=self.unit, scale="log")
        return (*along, Property(name="C12", unit=self.unit), shear)

    @property
    def provenance(self) -> dict[str, Any]:
        return {
            "property": "ElasticStiffness",
            "formulation": self.formulation,
            "solver": self.solver,
            "young": list(self.young),
            "poisson": list(self.poisson),
            "plane": self.plane,
            "edges": self.edges,
        }

    def describe(self) -> str:
        """What it computes, in which units and how, in one line."""
        return _described("the effective elastic stiffness", self)

    def check_images(self, microstructure: Microstructure | None) -> None:
        """Takes images with one phase a modulus, periodic ones unless they are mirrored."""
        _check_cell(self, microstructure, len(self.young))

    def __call__(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        c = elastic_stiffness(
            x, self.young, self.poisson, self.plane, self.solver, edges=self.edges
        )
        return np.stack([c[:, i, j] for i, j in ((0, 0), (1, 1), (0, 1), (2, 2))], axis=-1)


def _along(
    quantity: str,
    unit: str,
    below: float | None,
    names: Sequence[str] = ("horizontal", "vertical"),
) -> tuple[Property, ...]:
    """A quantity along the first directions, as logarithms by these names."""
    return tuple(
        Property(
            name=name,
            unit=unit,
            scale="log",
            quantity=quantity,
            direction=direction,
            detection_limit=(below, None),
        )
        for name, direction in zip(names, DIRECTIONS, strict=False)
    )


def _described(
    what: str, simulator: Permeability | EffectiveConductivity | ElasticStiffness
) -> str:
    names = ", ".join(f"{p.name} [{p.unit}]" for p in simulator.properties)
    made = {"edges": simulator.edges} | simulator.provenance
    how = ", ".join(f"{key} {value}" for key, value in made.items() if key != "property")
    return f"{what}: {names}; {how}"


def _check_cell(
    simulator: Permeability | EffectiveConductivity | ElasticStiffness,
    images: Microstructure | None,
    phases: int,
    dimensions: int = 2,
) -> Microstructure:
    """Returns `images`, or raises InputError unless the simulator's solver takes them."""
    if images is None or images.phases != phases:
        made = "no images" if images is None else f"images of {images.phases} phases"
        raise InputError(
            f"'property_' is for {phases} phases but 'structure' makes {made}; take a property "
            "simulator for those, such as EffectiveConductivity with one conductivity a phase."
        )
    if simulator.edges == "periodic" and not images.periodic:
        raise InputError(
            f"'structure' makes {images}, but {type(simulator).__name__} solves on a periodic "
            'cell; pass edges="mirrored", or declare periodic images.'
        )
    if images.dimensions != dimensions:
        raise InputError(
            f"'structure' makes {images}, but this {type(simulator).__name__} solves in "
            f"{dimensions} dimensions; EffectiveConductivity(dimensions=3) takes volumes."
        )
    return images
