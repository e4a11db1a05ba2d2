"""Small objects that survive JSON: the name of their class, and the arguments it was made with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from ..errors import DataError

__all__ = ["Kind", "described", "revived"]


class Kind:
    """A family of small dataclasses that survive JSON, each known by the name of its class.

    The family itself is made with `family`, the noun for what all of them are.
    """

    kinds: ClassVar[dict[str, type[Any]]]
    family: ClassVar[str]

    def __init_subclass__(cls, family: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if family:
            cls.kinds, cls.family = {}, family
        elif not cls.__name__.startswith("_"):
            cls.kinds[cls.__name__] = cls

    def to_json(self) -> dict[str, Any]:
        """The name of the class and the arguments, ready for JSON."""
        return described(self)

    @classmethod
    def from_json(cls, spec: Mapping[str, Any]) -> Self:
        """The member of the family that `to_json` described.

        Raises:
            DataError: If the kind is unknown or its arguments do not fit.
        """
        return revived(spec, cls.kinds, cls.family)


def described(thing: Any) -> dict[str, Any]:
    """The class name of a dataclass, as `kind`, and its fields, ready for JSON.

    Example:
        >>> from pspgen_pyro.process.symmetries import Mirror
        >>> described(Mirror("phi1"))
        {'kind': 'Mirror', 'parameter': 'phi1', 'properties': None}
    """
    fields = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    return {"kind": type(thing).__name__} | {
        name: described(value) if dataclasses.is_dataclass(value) else value
        for name, value in fields.items()
    }


def revived(spec: Mapping[str, Any], kinds: Mapping[str, type[Any]], noun: str) -> Any:
    """What `described` described.

    Arguments:
        spec: The description.
        kinds: The classes to choose from, by name.
        noun: What they all are, for the sentence of an error.

    Raises:
        DataError: If the kind is unknown or its arguments do not fit.
    """
    arguments = {key: _argument(value, kinds, noun) for key, value in spec.items()}
    kind = arguments.pop("kind", None)
    if kind not in kinds:
        raise DataError(
            f"'kind' is {kind!r}, which is no {noun} of this package; known ones are "
            f"{', '.join(sorted(kinds))}."
        )
    try:
        return kinds[kind](**arguments)
    except TypeError as error:
        raise DataError(f"the arguments of {kind} do not fit: {error}.") from error


def _argument(value: Any, kinds: Mapping[str, type[Any]], noun: str) -> Any:
    if isinstance(value, dict):
        return revived(value, kinds, noun)
    return tuple(value) if isinstance(value, list) else value
