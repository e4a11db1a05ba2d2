"""Tables and arrays of other libraries as named columns of numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..io.validation import plain
from ..schema.units import conversion

__all__ = ["chosen", "frame_of", "named", "numbers", "split_unit"]

_WORDS = "give numbers; for settings that are words, one column of 0 and 1 for each word"
_UNIT = re.compile(r"\s*(?P<name>.*?)\s*(?:\[(?P<unit>[^\]]*)\])?\s*")
_HEADING = re.compile(r"\s*(?P<name>.*?)\s*(?:\[(?P<unit>[^\]]*)\]|\((?P<round>[^)]*)\))\s*")


def split_unit(text: str) -> tuple[str, str | None]:
    """The name and the unit of "name [unit]"; None where there is no unit.

    Example:
        >>> split_unit("T [K]"), split_unit("n")
        (('T', 'K'), ('n', None))
    """
    found = _UNIT.fullmatch(text)
    return (text, None) if found is None else (found["name"], found["unit"])


def frame_of(value: Any, what: str) -> pd.DataFrame:
    """One row a sample and one column a variable; the columns are numbered where `value` has no
    names for them.

    Raises:
        InputError: If `value` has not one or two axes.
    """
    if isinstance(value, pd.Series):
        return value.to_frame()
    if isinstance(value, pd.DataFrame):
        return value
    labels = None
    if isinstance(value, xr.DataArray) and value.ndim == 2 and value.dims[1] in value.coords:
        labels = [str(label) for label in value.coords[value.dims[1]].to_numpy()]
    array = plain(value, what)
    if array.ndim not in (1, 2):
        raise InputError(
            f"{what!r} has shape {array.shape}; give one row a sample and one column a variable."
        )
    return pd.DataFrame(array[:, None] if array.ndim == 1 else array, columns=labels)


def named(frame: pd.DataFrame) -> bool:
    """Whether the columns have names rather than numbers."""
    return not isinstance(frame.columns, pd.RangeIndex)


def chosen(
    frame: pd.DataFrame,
    names: Sequence[str],
    units: Sequence[str],
    what: str,
    renaming: bool = True,
) -> tuple[pd.DataFrame, list[str]]:
    """The columns that are declared, under their declared names, and what a reader should know.

    A column may be called by its name, by "name [unit]" or by "name (unit)"; where that is another
    unit than the declared one, its numbers are converted. Columns without names, and, if
    `renaming`, as many columns of which none is called like a declared one, are taken in their
    order.

    Raises:
        InputError: If a declared column is missing or there twice, or its unit does not convert.
    """
    found = [_places(frame, name, unit) for name, unit in zip(names, units, strict=True)]
    said: list[str] = []
    if not any(found) and (renaming or not named(frame)) and len(frame.columns) == len(names):
        places = list(range(len(names)))
        if named(frame):
            pairs = zip(map(str, frame.columns), names, strict=True)
            said = [f"columns of {what} renamed: " + ", ".join(f"{a} → {b}" for a, b in pairs)]
    else:
        places = [_place(here, n, frame, what) for here, n in zip(found, names, strict=True)]
    picked = frame.iloc[:, places].reset_index(drop=True)
    columns = {}
    for name, unit, (heading, column) in zip(names, units, picked.items(), strict=True):
        given = _unit_in(heading, name)
        columns[name], changed = _in_unit(column, given or unit, unit, name)
        said += [f"{what}: {heading!r} was converted to {unit!r}"] if changed else []
    return pd.DataFrame(columns), said


def numbers(frame: pd.DataFrame, what: str) -> NDArray[np.float64]:
    """The table as float64, with NaN for empty cells.

    Raises:
        InputError: If a cell is no number.
    """
    columns = []
    for name, column in frame.items():
        known = column.dtype
        text = pd.api.types.is_object_dtype(known) or isinstance(known, pd.StringDtype)
        if not (text or pd.api.types.is_numeric_dtype(known)):
            raise InputError(f"{what!r}: column {name!r} holds {known}; {_WORDS}.")
        parsed = pd.Series(pd.to_numeric(column, errors="coerce"))
        values = parsed.to_numpy(np.float64, na_value=np.nan)
        wrong = np.flatnonzero(np.isnan(values) & column.notna().to_numpy())
        if len(wrong):
            cell = str(column.iloc[int(wrong[0])]).strip()
            raise InputError(
                f"{what!r}: column {str(name)!r} of row {wrong[0] + 1} is {cell!r:.40}, which is "
                f"no number ({len(wrong)} such cells); {_advice(cell, wrong, values)}."
            )
        columns.append(values)
    return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0))


def _places(frame: pd.DataFrame, name: str, unit: str) -> list[int]:
    """The columns of a name: those in its unit or without one, else those in another."""
    wanted = {name, f"{name} [{unit}]", f"{name} ({unit})"}
    columns = [*enumerate(frame.columns)]
    found = [j for j, column in columns if str(column).strip() in wanted]
    return found or [j for j, column in columns if _unit_in(column, name) is not None]


def _unit_in(heading: Any, name: str) -> str | None:
    """The unit in the heading of a column of this name; None if it says none."""
    found = _HEADING.fullmatch(str(heading))
    if found is None or found["name"] != name:
        return None
    return found["unit"] if found["round"] is None else found["round"]


def _in_unit(column: pd.Series, given: str, unit: str, name: str) -> tuple[pd.Series, bool]:
    """The numbers of a column in another unit, and whether that changed any."""
    factor, offset = conversion(given, unit, name)
    if (factor, offset) == (1.0, 0.0):
        return column, False

    def changed(cell: Any) -> Any:
        if not isinstance(cell, str):
            return factor * cell + offset
        number = cell.lstrip("<>= ")
        try:
            return f"{cell[: len(cell) - len(number)]}{factor * float(number) + offset!r}"
        except ValueError:
            return cell

    return column.map(changed, na_action="ignore"), True


def _place(found: list[int], name: str, frame: pd.DataFrame, what: str) -> int:
    """The one column of a name."""
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{what!r} has {len(found)} columns for {name!r}; rename or remove all but one."
        )
    if not named(frame):
        raise InputError(
            f"{what!r} has {len(frame.columns)} column(s), which are not those declared; declare "
            "one name for each column, in their order."
        )
    there = ", ".join(repr(str(column)) for column in frame.columns[:20])
    more = ", …" if len(frame.columns) > 20 else ""
    raise InputError(f"{what!r} has no column {name!r}; there are {there}{more}.")


def _advice(cell: str, wrong: NDArray[np.int64], values: NDArray[np.float64]) -> str:
    """What to do about cells that are no numbers."""
    if cell[:1] in ("<", ">"):
        side, limit = ("below" if cell[0] == "<" else "above"), cell.lstrip("<>= ")
        return f"if that is a detection limit, declare {side}={limit} for this property"
    if len(wrong) == len(values):
        return _WORDS
    if list(wrong) == [0]:
        return "if row 1 holds units, delete it and declare them"
    return "correct the cell, or leave it empty if a property is unknown"
