"""A CSV file, with or without images beside it, as a labelled data set of triads."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..schema import Property, Schema
from .arrays import triads_of_arrays
from .columns import chosen
from .declared import Images, Process, Properties, read_properties, read_settings
from .images import matching, read_images

__all__ = ["read_csv", "triads_of_table"]

_UNKNOWN = ("", "nan", "na", "n/a", "null", "none")


def triads_of_table(
    path: Path,
    *,
    process: Process,
    properties: Properties,
    images: str | None,
    microstructure: Images,
    validation: float,
    seed: int,
) -> tuple[Schema, xr.Dataset]:
    """The schema and the data set of a table; `Triads.from_table` tells the arguments."""
    frame, said = read_csv(path)
    if process is None:
        raise InputError(
            "'process' is None; name the columns that are settings, as ['T [K]', 't'], among "
            f"{', '.join(frame.columns)}."
        )
    declared = read_properties(properties)
    settings = read_settings(process, frame)
    names = [p.name for p in declared]
    phi, _ = chosen(frame, settings.names, settings.units, path.name, renaming=False)
    m, _ = chosen(frame, names, [p.unit for p in declared], path.name, renaming=False)
    try:
        x, about_images = _images(images, frame, path.parent)
        return triads_of_arrays(
            phi,
            x,
            _censored(m, declared),
            process=process,
            properties=declared,
            microstructure=microstructure,
            validation=validation,
            seed=seed,
            source=path.name,
            said=[*said, *about_images],
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
    lines, separator = _lines(path)
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
    frame = pd.DataFrame([cells for _, cells in rows], columns=[c.strip() for c in header])
    frame = frame.apply(lambda column: column.str.strip())
    frame = frame.mask(frame.apply(lambda column: column.str.lower().isin(_UNKNOWN)))
    if separator == ",":
        return frame, []
    return _with_points(frame, path)


def _lines(path: Path) -> tuple[list[tuple[int, list[str]]], str]:
    """The cells of each line that is not empty, with its number, and the separator."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{str(path)!r} is no UTF-8 text ({error.reason} at byte {error.start}); save the "
            "table as CSV in UTF-8."
        ) from error
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read ({error.strerror}).") from error
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = next((mark for mark in (";", "\t") if mark in first), ",")
    reader = csv.reader(text.splitlines(keepends=True), delimiter=separator)
    try:
        lines = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise InputError(
            f"{str(path)!r} is no CSV ({error} in line {reader.line_num})."
        ) from error
    return [
        (line, cells) for line, cells in lines if any(cell.strip() for cell in cells)
    ], separator


def _with_points(frame: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The table with decimal points for decimal commas, if it has any."""
    comma, point = (
        frame.apply(lambda column, form=form: column.str.fullmatch(form, na=False))
        for form in (r"[<>=+-]*\d*,\d+([eE][+-]?\d+)?", r"[<>=+-]*\d*\.\d+([eE][+-]?\d+)?")
    )
    if not comma.to_numpy().any():
        return frame, []
    if point.to_numpy().any():
        a, b = (frame.to_numpy()[mask.to_numpy()][0] for mask in (comma, point))
        raise InputError(
            f"{path.name} has {a!r} and {b!r}; write either decimal commas or decimal points."
        )
    swapped = frame.apply(lambda column: column.str.replace(",", ".", regex=False))
    return frame.mask(comma, swapped), ["decimal commas were read as decimal points"]


def _censored(frame: pd.DataFrame, properties: Sequence[Property]) -> pd.DataFrame:
    """The table with "<v" and ">v" as the declared detection limit, where v lies beyond it."""
    frame = frame.copy()
    for p in properties:
        column = frame[p.name]
        for sign, limit, way in zip("<>", p.detection_limit, (1, -1), strict=True):
            if limit is None:
                continue
            marked = column.str.startswith(sign, na=False)
            ends = pd.to_numeric(column.str.lstrip("<>= "), errors="coerce")
            column = column.mask(marked & (way * ends <= way * limit), str(limit))
        frame[p.name] = column
    return frame


def _images(
    images: str | None, frame: pd.DataFrame, folder: Path
) -> tuple[NDArray[Any] | None, list[str]]:
    """The image of each row, by a column of paths or by a pattern, and how they were matched."""
    if images is None:
        return None, []
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
