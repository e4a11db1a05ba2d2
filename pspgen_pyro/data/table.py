"""A CSV file, with or without images beside it, as a labelled data set of triads."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..io.validation import check_instance
from ..schema import Property, Schema
from .arrays import triads_of_arrays
from .columns import chosen
from .declared import Process, Properties, read_properties, read_settings
from .images import matching, read_images

__all__ = ["censored", "images_of", "parse_csv", "read_csv", "read_text", "triads_of_table"]

_UNKNOWN = ("", "nan", "na", "n/a", "null", "none")
_DECIMAL = re.compile(r"[<>=+-]*\s*\d*[.,]\d*([eE][+-]?\d+)?")


def triads_of_table(
    path: Path,
    *,
    process: Process,
    properties: Properties,
    images: str | None,
    constraints: str | Sequence[str] = (),
    **declared: Any,
) -> tuple[Schema, xr.Dataset]:
    """The schema and the data set of a table; `Triads.from_table` tells the arguments."""
    frame, said = read_csv(path)
    if process is None:
        raise InputError(
            "'process' is None; name the columns that are settings, as ['T [K]', 't'], among "
            f"{', '.join(frame.columns)}."
        )
    read = read_properties(properties)
    settings = read_settings(process, frame, constraints)
    names = [p.name for p in read]
    phi, of_phi = chosen(frame, settings.names, settings.units, path.name, renaming=False)
    m, of_m = chosen(frame, names, [p.unit for p in read], path.name, renaming=False)
    try:
        x, about_images = images_of(images, frame, path.parent)
        return triads_of_arrays(
            phi,
            x,
            censored(m, read),
            process=process,
            constraints=constraints,
            properties=read,
            source=path.name,
            said=[*said, *of_phi, *of_m, *about_images],
            **declared,
        )
    except InputError as error:
        raise InputError(f"{path.name}: {error} (Row 1 is the first below the header.)") from error


def read_csv(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The cells of a CSV file as text under their column names, NaN where they are empty.

    The file is UTF-8, its separator the comma, the semicolon or the tabulator, whichever the
    header has; beside semicolons and tabulators a decimal comma is understood.

    Returns:
        The table, and what was understood.

    Raises:
        InputError: If the file cannot be read, or a row has more or fewer cells than the header.
    """
    return parse_csv(read_text(path), path)


def parse_csv(text: str, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """As `read_csv`, from the text of the file at `path`."""
    lines, separator = _lines(text, path)
    if len(lines) < 2:
        raise InputError(f"{str(path)!r} has no rows below a header.")
    (_, header), *rows = lines
    for line, cells in rows:
        if len(cells) != len(header):
            raise InputError(
                f"{path.name}: line {line} has {len(cells)} cells but the header has "
                f"{len(header)}, separated by {separator!r}; mend the line, and write decimal "
                "points, or separate by semicolons."
            )
    table = [[_cell(cell) for cell in cells] for _, cells in rows]
    said = _with_points(table, path) if separator != "," else []
    return pd.DataFrame(table, columns=pd.Index([name.strip() for name in header])), said


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte-order mark.

    Raises:
        InputError: If it cannot be read, or is no such text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{str(path)!r} is no UTF-8 text ({error.reason} at byte {error.start}); save the "
            "table as CSV in UTF-8."
        ) from error
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read ({error.strerror}).") from error


def _lines(text: str, path: Path) -> tuple[list[tuple[int, list[str]]], str]:
    """The cells of each line that is not empty, with its number, and the separator."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        lines = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise InputError(
            f"{str(path)!r} is no CSV ({error} in line {reader.line_num})."
        ) from error
    return [
        (line, cells) for line, cells in lines if any(cell.strip() for cell in cells)
    ], separator


def _cell(text: str) -> str | None:
    """The text of a cell; None if it says that the value is unknown."""
    return None if text.strip().lower() in _UNKNOWN else text.strip()


def _with_points(table: list[list[str | None]], path: Path) -> list[str]:
    """Writes decimal points for the decimal commas of a table, and says so if it has any."""
    places = [
        (i, j) for i, row in enumerate(table) for j, cell in enumerate(row) if _has(cell, ",")
    ]
    if not places:
        return []
    points = [cell for row in table for cell in row if _has(cell, ".")]
    if points:
        i, j = places[0]
        raise InputError(
            f"{path.name} has {table[i][j]!r} and {points[0]!r}; write decimal commas only, or "
            "decimal points only."
        )
    for i, j in places:
        table[i][j] = str(table[i][j]).replace(",", ".")
    return ["decimal commas were read as decimal points"]


def _has(cell: str | None, mark: str) -> bool:
    """Whether a cell is a number with this decimal mark."""
    return cell is not None and mark in cell and _DECIMAL.fullmatch(cell) is not None


def censored(frame: pd.DataFrame, properties: Sequence[Property]) -> pd.DataFrame:
    """The table with "<v" and ">v" as the declared detection limit, where v lies beyond it."""
    columns = {p.name: [_held(cell, p) for cell in frame[p.name]] for p in properties}
    return pd.DataFrame(columns, dtype=object)


def _held(cell: Any, p: Property) -> Any:
    below, above = p.detection_limit
    if not isinstance(cell, str) or cell[0] not in "<>":
        return cell
    try:
        value = float(cell.lstrip("<>= "))
    except ValueError:
        return cell
    if cell[0] == "<" and below is not None and value <= below:
        return below
    return above if cell[0] == ">" and above is not None and value >= above else cell


def images_of(
    images: str | None, frame: pd.DataFrame, folder: Path
) -> tuple[NDArray[Any] | None, list[str]]:
    """The image of each row, by a column of paths or by a pattern, and how they were matched."""
    if images is None:
        return None, []
    check_instance(str, "the name of a column, or a pattern of files", images=images)
    if images in frame.columns:
        column = frame[images]
        empty = np.flatnonzero(column.isna())
        if len(empty):
            raise InputError(
                f"column {images!r} names no image in row {empty[0] + 1} ({len(empty)} such "
                "rows); every row needs one, or leave 'images' out for all."
            )
        files = [folder / name for name in column]
    else:
        files = matching(images, folder)
        if len(files) != len(frame):
            raise InputError(
                f"{len(files)} images match {images!r} but the table has {len(frame)} rows, which "
                "are matched in order; name the images in a column instead."
            )
    ends = f"row 1 is {files[0].name}, row {len(files)} is {files[-1].name}"
    return read_images(files), [f"images: {len(files)} files; {ends}"]
