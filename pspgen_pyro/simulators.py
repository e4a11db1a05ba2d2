"""The two links of a chain: structure simulators φ → x and property simulators x → v, and how a
function of one's own becomes one.

A simulator declares what it returns, so that a chain knows what its triads are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .io.provenance import name_of
from .schema import Microstructure, Property

__all__ = [
    "PropertyFunction",
    "PropertySimulator",
    "StructureFunction",
    "StructureSimulator",
]


@runtime_checkable
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


@runtime_checkable
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

    def describe(self) -> str:
        """What it computes, in which units and how, in one line."""
        names = ", ".join(f"{p.name} [{p.unit}]" for p in self.properties)
        return f"{name_of(self.function)}: {names}"

    def check_images(self, microstructure: Microstructure | None) -> None:
        """Takes any images: the function has to know."""

    def __call__(self, *inputs: Any) -> NDArray[np.float64]:
        return self.function(*inputs)
