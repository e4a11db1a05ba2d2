"""The schema: process, microstructure and properties, and what follows from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict, field_serializer, field_validator, model_validator

from ..errors import InputError
from ..io.validation import Record, read
from ..process import ProcessSpace, Setting, Symmetry
from .microstructure import Microstructure
from .properties import Property, check_properties

__all__ = ["Schema"]


_EXCHANGED = ("horizontal", "vertical")


class Schema(Record):
    """What a triad is.

    Arguments:
        process: The process space: names, units, bounds and symmetries of φ.
        microstructure: What x is; None if the data have no images.
        properties: The properties, in the order of the last axis of m.

    Raises:
        InputError: If an entry does not fit; the sentence has its path.

    Example:
        >>> furnace = ProcessSpace(("T", "t"), (900.0, 1.0), (1200.0, 8.0), ("K", "h"))
        >>> schema = Schema(process=furnace, properties=(Property.parse("strength [MPa]"),))
        >>> Schema.from_json(schema.to_json()) == schema
        True
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    process: ProcessSpace
    microstructure: Microstructure | None = None
    properties: tuple[Property, ...]

    @field_validator("process", mode="before")
    @classmethod
    def _read_process(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return ProcessSpace.from_json(value)

    @field_serializer("process")
    def _write_process(self, value: ProcessSpace) -> dict[str, Any]:
        return dataclasses.replace(value, symmetries=self.symmetries).to_json()

    @field_validator("properties", mode="before")
    @classmethod
    def _parse_properties(cls, value: Any) -> Any:
        if isinstance(value, str | Property):
            value = (value,)
        try:
            return [Property.parse(p) if isinstance(p, str) else p for p in value]
        except InputError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _consistent(self) -> Schema:
        check_properties(self.properties)
        for symmetry in self.process.symmetries:
            symmetry.check_schema(self.transposed, self.microstructure)
        return self

    def to_json(self) -> dict[str, Any]:
        """The schema, ready for JSON."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, content: Any, where: str = "schema") -> Schema:
        """The schema that `to_json` described.

        Raises:
            DataError: If an entry is missing, unknown or of another type.
        """
        return read(cls, content, where)

    @property
    def images(self) -> Microstructure:
        """What x is, where there are images.

        Raises:
            InputError: If there are none.
        """
        if self.microstructure is None:
            raise InputError("the schema has no images, which are needed here.")
        return self.microstructure

    @property
    def property_names(self) -> tuple[str, ...]:
        """The names of the properties."""
        return tuple(p.name for p in self.properties)

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The numbers of the properties that are one quantity along its directions; a property of
        no quantity is alone."""
        found: dict[str, list[int]] = {}
        for j, p in enumerate(self.properties):
            found.setdefault(p.quantity or f"[{j}]", []).append(j)
        return tuple(tuple(members) for members in found.values())

    @property
    def transposed(self) -> tuple[int, ...] | None:
        """The order of the properties of an image whose rows and columns are exchanged; None if a
        property along one of these directions has no partner along the other. A property of
        another direction, or of none, stays."""
        order = list(range(len(self.properties)))
        for members in self.groups:
            turned = [j for j in members if self.properties[j].direction in _EXCHANGED]
            if len(turned) == 1:
                return None
            for j, partner in zip(turned, reversed(turned), strict=True):
                order[j] = partner
        return tuple(order)

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The symmetries that the process declares, told the order of these properties."""
        return tuple(s.for_order(self.transposed) for s in self.process.symmetries)

    @property
    def ends(self) -> NDArray[np.float64]:
        """The detection limits on the properties' scales, with shape `(2, K)`; infinite where
        there is none."""
        return np.array(list(zip(*(p.ends for p in self.properties), strict=True)))

    def index(self, name: str) -> int:
        """The number of a property.

        Raises:
            InputError: If there is none of this name.
        """
        if name not in self.property_names:
            raise InputError(
                f"{name!r} is no property here; known ones are {', '.join(self.property_names)}."
            )
        return self.property_names.index(name)

    def scaled(self, values: ArrayLike) -> NDArray[np.float64]:
        """m on the properties' scales from values in their units, with shape `(*, K)`."""
        v = self._columns(values)
        return np.stack([p.scaled(v[..., j]) for j, p in enumerate(self.properties)], axis=-1)

    def values(self, m: ArrayLike) -> NDArray[np.float64]:
        """Values in the properties' units from m on their scales, with shape `(*, K)`."""
        m = self._columns(m)
        return np.stack([p.values(m[..., j]) for j, p in enumerate(self.properties)], axis=-1)

    def without_microstructure(self) -> Schema:
        """The same process and properties, without images."""
        process = dataclasses.replace(self.process, symmetries=())
        return Schema(process=process, properties=self.properties)

    def _columns(self, values: ArrayLike) -> NDArray[np.float64]:
        v = np.asarray(values, dtype=np.float64)
        if v.ndim == 0 or v.shape[-1] != len(self.properties):
            raise InputError(
                f"'m' has shape {v.shape} but there are {len(self.properties)} properties "
                f"({', '.join(self.property_names)}); give one column for each."
            )
        return v

    def __str__(self) -> str:
        settings = zip(self.process.names, self.process.settings, strict=True)
        process = ", ".join([*(_shown(*one) for one in settings), *self.process.constraints])
        images = "none" if self.microstructure is None else str(self.microstructure)
        properties = "; ".join(str(p) for p in self.properties)
        return f"process: {process}\nmicrostructure: {images}\nproperties: {properties}"


def _shown(name: str, setting: Setting) -> str:
    low, high = setting.bounds
    if setting.plain:
        return f"{name} [{setting.unit}] in [{low:g}, {high:g}]"
    return f"{name}: {setting.describe()}"
