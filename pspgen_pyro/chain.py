r"""The chain as one seeded simulator.

.. math:: \varphi \;\to\; x \sim p(x \mid \varphi) \;\to\; v(x) \;\to\; m,

with the properties v in their units and m on their scales. In the study all randomness is in the
structure; the property is a deterministic function of it. Every sample has a seed of its own, so a
sample does not depend on the samples it was simulated with.

A chain declares what its triads are: the process space, the images of its structure simulator and
the properties of its property simulator make its `Schema`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .io.validation import check_instance, returned_numbers
from .process import ProcessSpace
from .properties import percolation
from .properties.simulators import EffectiveConductivity, ElasticStiffness, Permeability
from .schema import Microstructure, Schema
from .simulators import (
    PropertyFunction,
    PropertySimulator,
    StructureFunction,
    StructureSimulator,
)

__all__ = [
    "Chain",
    "ChainSample",
    "EffectiveConductivity",
    "ElasticStiffness",
    "Permeability",
    "PropertyFunction",
    "PropertySimulator",
    "StructureFunction",
    "StructureSimulator",
    "percolating",
]


@dataclass(frozen=True)
class ChainSample:
    """Simulated triads.

    Arguments:
        phi: The process parameters, with shape `(N, P)`.
        x: The microstructures, with shape `(N, H, W)`: uint8 labels (two-phase: 1 = void, 0 =
            solid) or float32 grey values; None in a chain without images.
        value: The properties in their units, with shape `(N, K)`; NaN where unknown.
        m: The same on the properties' scales, with shape `(N, K)`.
        percolates: Whether the phase with the last label (two-phase: the void) percolates along
            (horizontal, vertical), with shape `(N, 2)`, of volumes also through; None where
            that is not defined, see `percolating`.
        failures: The reason of each failed sample, by its index.
    """

    phi: NDArray[np.float64]
    x: NDArray[Any] | None
    value: NDArray[np.float64]
    m: NDArray[np.float64]
    percolates: NDArray[np.bool_] | None
    failures: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.phi)


@dataclass(frozen=True)
class Chain:
    r"""Process ∘ structure ∘ property.

    Arguments:
        process: The admissible process parameters.
        structure: The structure simulator; None in a chain without images, whose property
            simulator is called with φ and seeds.
        property_: The property simulator, a `Permeability` in the study.

    Raises:
        InputError: If the property cannot take the images, or the process declares a symmetry that
            the images or the properties do not have.

    Example:
        >>> from pspgen_pyro.structure import PhaseSeparatedField, two_mode_spectrum
        >>> process = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
        >>> chain = Chain(process, PhaseSeparatedField(12, two_mode_spectrum), Permeability())
        >>> chain.simulate([[5.0, 1.0]], np.random.SeedSequence(0).spawn(1)).m.shape
        (1, 2)
    """

    process: ProcessSpace
    structure: StructureSimulator | None
    property_: PropertySimulator

    def __post_init__(self) -> None:
        check_instance(ProcessSpace, "a ProcessSpace", process=self.process)
        if self.structure is not None:
            what = "a structure simulator, such as a StructureFunction, or None"
            check_instance(StructureSimulator, what, structure=self.structure)
        what = "a property simulator, such as a PropertyFunction"
        check_instance(PropertySimulator, what, property_=self.property_)
        self.property_.check_images(self.schema.microstructure)

    @cached_property
    def schema(self) -> Schema:
        """What its triads are."""
        images = None if self.structure is None else self.structure.microstructure
        properties = tuple(self.property_.properties)
        return Schema(process=self.process, microstructure=images, properties=properties)

    @property
    def provenance(self) -> dict[str, Any]:
        """What decides its numbers beside the schema; ready for JSON."""
        structure = {} if self.structure is None else self.structure.provenance
        return {**structure, **self.property_.provenance}

    def simulate(self, phi: ArrayLike, seeds: Sequence[np.random.SeedSequence]) -> ChainSample:
        """Simulates one triad per row of `phi`.

        Arguments:
            phi: The process parameters, with shape `(N, P)`.
            seeds: One seed sequence a row.

        Returns:
            The triads; a sample that cannot be simulated is there, as NaN and with the reason.

        Raises:
            InputError: If `phi` is not admissible, there is not one seed a row, or a simulator
                returns something else than it declares.
        """
        values = self.process.check(phi)
        if values.ndim != 2 or len(seeds) != len(values):
            raise InputError(
                f"'phi' has shape {values.shape} and 'seeds' {len(seeds)} entries; give shape "
                f"(N, {len(self.process)}) and N seed sequences."
            )
        failures: dict[int, str] = {}
        x = self._images(values, seeds, failures)
        value = np.full((len(values), len(self.schema.properties)), np.nan)

        def solve(i: NDArray[np.int64]) -> Any:
            return self.property_(*((values[i], [seeds[j] for j in i]) if x is None else (x[i],)))

        _fill(value, solve, self._checked_values, failures)
        m = _on_scales(self.schema, value, failures)
        return ChainSample(values, x, value, m, _flags(x, self.schema.microstructure), failures)

    def _images(
        self,
        phi: NDArray[np.float64],
        seeds: Sequence[np.random.SeedSequence],
        failures: dict[int, str],
    ) -> NDArray[Any] | None:
        if self.structure is None:
            return None
        structure, images = self.structure, self.structure.microstructure
        x = np.zeros((len(phi), *images.shape), dtype=images.dtype)
        check = partial(images.checked, who="structure")
        _fill(x, lambda i: structure(phi[i], [seeds[j] for j in i]), check, failures)
        return x

    def _checked_values(self, value: Any, count: int) -> NDArray[Any]:
        names = ", ".join(self.schema.property_names)
        return returned_numbers(value, "property_", (count, len(self.schema.properties)), names)


def percolating(microstructure: Microstructure | None) -> bool:
    """Whether percolation is recorded of such images: labelled phases on a periodic cell of at
    least 3 pixels a side."""
    if microstructure is None or microstructure.grey or not microstructure.periodic:
        return False
    return min(microstructure.shape) >= 3


def _flags(x: NDArray[Any] | None, images: Microstructure | None) -> NDArray[np.bool_] | None:
    """Whether the last phase of each image percolates, where that is defined."""
    if x is None or images is None or not percolating(images):
        return None
    return percolation(x == images.last_label)


def _fill(
    out: NDArray[Any],
    function: Callable[[NDArray[np.int64]], Any],
    check: Callable[[Any, int], NDArray[Any]],
    failures: dict[int, str],
) -> None:
    """Fills `out` for the samples not failed yet: all at once, or one by one if that fails."""
    index = np.array([i for i in range(len(out)) if i not in failures], dtype=np.int64)
    if not len(index):
        return
    result, reason = _attempt(function, index)
    if not reason:
        out[index] = check(result, len(index))
        return
    for i in index:
        result, reason = _attempt(function, np.array([i]))
        if reason:
            failures[int(i)] = reason
        else:
            out[i] = check(result, 1)[0]


def _attempt(
    function: Callable[[NDArray[np.int64]], Any], index: NDArray[np.int64]
) -> tuple[Any, str]:
    """What the function returns, or the reason why it does not."""
    try:
        return function(index), ""
    except (ArithmeticError, RuntimeError, ValueError) as error:
        return None, f"{type(error).__name__}: {error}"


def _on_scales(
    schema: Schema, value: NDArray[np.float64], failures: dict[int, str]
) -> NDArray[np.float64]:
    """m of `value`; an entry that has no m becomes NaN in both, and its sample gets a reason."""
    try:
        return schema.scaled(value)
    except InputError:
        pass
    for i, j in np.ndindex(value.shape):
        p = schema.properties[j]
        try:
            p.scaled(value[i, j])
        except InputError:
            failures[i] = (
                f"property {p.name!r} is {value[i, j]:g}, which has no m on a {p.scale} scale; "
                "declare a detection limit, or another scale."
            )
            value[i, j] = np.nan
    return schema.scaled(value)
