"""What is read from JSON or attributes, through pydantic: one typed sentence with its path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import DataError, InputError

__all__ = ["Record", "check_positive", "returned_numbers", "read"]


class Record(BaseModel):
    """A frozen record that knows all of its entries; what does not fit is an `InputError`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **entries: Any) -> None:
        try:
            super().__init__(**entries)
        except ValidationError as error:
            raise InputError(sentence(error, type(self).__name__)) from error

    # a record inside another one is validated as part of it, so that its faults have their path
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


def read[Kind: BaseModel](kind: type[Kind], content: Any, where: str) -> Kind:
    """A record from what JSON or attributes hold.

    Arguments:
        kind: The class of the record.
        content: What was read.
        where: What it was read from, for the sentence of an error.

    Raises:
        DataError: If an entry is missing, unknown or of another type; the sentence has its path.
    """
    if not isinstance(content, Mapping):
        raise DataError(f"'{where}' is {content!r:.80}; a JSON object is needed.")
    try:
        return kind.model_validate(dict(content))
    except ValidationError as error:
        raise DataError(sentence(error, where)) from error


def check_positive(**numbers: float | None) -> None:
    """Raises an InputError unless each number is positive; None is one that nobody gave."""
    for name, number in numbers.items():
        if number is not None and not number > 0:
            raise InputError(f"'{name}' is {number:g}; it must be positive.")


def returned_numbers(
    came: Any, name: str, shape: tuple[int, ...], declared: str
) -> NDArray[np.float64]:
    """What a simulator returned as an array of numbers.

    Raises:
        InputError: If it is none, or has another shape.
    """
    try:
        found = np.asarray(came)
    except ValueError:
        found = np.array(None)
    if found.dtype.kind not in "biuf" or found.shape != shape:
        raise InputError(
            f"'{name}' returned shape {found.shape} of {found.dtype}, but declares {declared}; "
            f"return numbers of shape {shape} for {shape[0]} sample(s)."
        )
    return found


def sentence(error: ValidationError, where: str) -> str:
    """The first fault as one sentence: the path, what came, what is allowed."""
    first = error.errors(include_url=False)[0]
    path = ".".join([where, *map(str, first["loc"])])
    more = error.error_count() - 1
    rest = f" ({more} more fault{'s' if more > 1 else ''} beside it)" if more else ""
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    if first["type"] == "value_error":
        return f"'{path}': {message}{rest}."
    message = message[0].lower() + message[1:]
    if first["type"] in ("missing", "extra_forbidden"):
        return f"'{path}': {message}{rest}."
    return f"'{path}' is {first['input']!r:.80}: {message}{rest}."
