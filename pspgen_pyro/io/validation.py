"""What callers hand over, checked in one place: records, numbers, arrays, names, paths, sizes.

Whole numbers are of a whole type, real ones of a number type: neither text, however many digits it
has, nor True is one. What is read from JSON goes through pydantic: one typed sentence with its
path.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import DataError, InputError

__all__ = [
    "Record",
    "check_flags",
    "check_instance",
    "check_memory",
    "check_name",
    "check_positive",
    "check_seed",
    "check_whole",
    "is_number",
    "local_path",
    "plain",
    "read",
    "real_array",
    "returned_numbers",
]

LARGEST = 2**63 - 1
"""The largest whole number that numpy, torch and the stores hold."""


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


def is_number(value: Any) -> bool:
    """Whether a value is one finite real number; True and digits in text are none."""
    real = isinstance(value, int | float | np.integer | np.floating)
    try:
        return real and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def check_positive(
    *, optional: bool = True, most: float = math.inf, **numbers: float | None
) -> None:
    """Raises an InputError unless each is a finite number above 0, up to `most`; None is one that
    nobody gave, if that is allowed."""
    for name, number in numbers.items():
        if number is None and optional:
            continue
        if not (is_number(number) and 0 < number <= most):  # type: ignore[operator]
            end = "" if most == math.inf else f" and at most {most:g}"
            raise InputError(f"'{name}' is {number!r:.40}; it must be positive, finite{end}.")


def check_whole(
    *, least: int = 1, most: int = LARGEST, optional: bool = False, **numbers: int | None
) -> None:
    """Raises an InputError unless each is a whole number from `least` to `most`; None is one that
    nobody gave, if that is allowed."""
    for name, number in numbers.items():
        if number is None and optional:
            continue
        whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
        if not (whole and least <= number <= most):  # type: ignore[operator]
            end = "" if most == LARGEST else f" and at most {most}"
            large = (
                f" below 2^63, at least {least}" if most == LARGEST else f" of at least {least}"
            )
            raise InputError(f"'{name}' is {number!r:.40}; give a whole number{large}{end}.")


def check_seed(seed: Any) -> None:
    """Raises an InputError unless a seed is a whole number from 0 that 63 bits hold."""
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not (whole and 0 <= seed <= LARGEST):
        raise InputError(
            f"'seed' is {seed!r:.40}; give a whole number that is not negative, below 2^63."
        )


def check_flags(**flags: Any) -> None:
    """Raises an InputError unless each is True or False."""
    for name, flag in flags.items():
        if not isinstance(flag, bool | np.bool_):
            raise InputError(f"'{name}' is {flag!r:.40}; give True or False.")


def check_instance(kind: type | tuple[type, ...], what: str, **values: Any) -> None:
    """Raises an InputError unless each is of a class; `what` says of which, in words."""
    for name, value in values.items():
        if not isinstance(value, kind):
            raise InputError(f"'{name}' is {value!r:.60}; give {what}.")


def check_name(name: Any, what: str) -> None:
    """Raises an InputError unless a name or a unit is text that people can read: not blank, and
    without spaces around it, line breaks or control characters."""
    if not (isinstance(name, str) and name and name == name.strip() and name.isprintable()):
        raise InputError(
            f"'{what}' has {name!r:.40}; give words without spaces around them, line breaks "
            "or control characters."
        )


def check_memory(name: str, number: int, each: float) -> None:
    """Raises an InputError if so many of something, of `each` bytes, do not fit this machine's
    memory."""
    needs = number * each / 2**30
    has = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if needs > has:
        raise InputError(
            f"'{name}' is {number}, which needs {needs:.3g} GiB of memory, and this machine has "
            f"{has:.3g}; give less."
        )


def local_path(path: Any, name: str) -> Path:
    """A path from text or a path.

    Raises:
        InputError: If it is neither, or no name that a file can have.
    """
    try:
        found = Path(path)
        if path != "" and "\0" not in str(found):
            found.exists()
            return found
    except (TypeError, ValueError):
        pass
    except OSError as error:
        raise InputError(f"'{name}' is {str(path)!r:.80}: {error.strerror}.") from error
    raise InputError(f"'{name}' is {path!r:.80}; give the path of a file or a folder.")


def plain(value: Any, what: str) -> NDArray[Any]:
    """A numpy array from numpy, torch, xarray or nested lists; masked entries become NaN.

    Raises:
        InputError: If the entries form no array, or are complex.
    """
    torch = sys.modules.get("torch")  # whoever hands over a tensor has loaded it
    try:
        if torch is not None and isinstance(value, torch.Tensor):
            value = value.detach().to_dense().cpu()
            value = (value.double() if value.is_floating_point() else value).numpy()
        if isinstance(value, np.ma.MaskedArray):
            value = np.ma.filled(value.astype(np.float64), np.nan)
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        ragged = "inhomogeneous" in str(error)
        why = (
            "is ragged; give rows of one length" if ragged else f"is no array of numbers ({error})"
        )
        raise InputError(f"{what!r} {why}.") from error
    if np.iscomplexobj(array):
        raise InputError(f"{what!r} holds complex numbers; give real ones.")
    return array


def real_array(value: Any, what: str, form: str) -> NDArray[np.float64]:
    """An array of real numbers as float64.

    Arguments:
        value: What came.
        what: Its name.
        form: What is needed, for the sentence of an error.

    Raises:
        InputError: If it holds anything but real numbers, such as digits in text or True.
    """
    array = plain(value, what)
    if array.size and array.dtype.kind not in "iuf":
        raise InputError(f"{what!r} is {value!r:.60}, of {array.dtype}; give {form}.")
    return array.astype(np.float64, copy=False)


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
