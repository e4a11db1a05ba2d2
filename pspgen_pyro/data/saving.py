"""Saving triads that are in memory as a store of the same format as simulated ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from ..errors import InputError
from ..io.publish import publishing
from ..schema import Schema
from . import layout
from .expected import OPTIONAL
from .layout import Layout
from .manifest import Entry, Manifest

__all__ = ["save_store"]


def save_store(schema: Schema, data: xr.Dataset, path: str | Path) -> None:
    """As `Triads.save`."""
    out = Path(path).absolute()
    unknown = sorted({str(name) for name in data.data_vars} - set(layout.VARIABLES))
    if unknown:
        raise InputError(
            f"'triads' has the variable {unknown[0]!r}, which a store does not hold; it holds "
            f"{', '.join(layout.VARIABLES)}."
        )
    names = tuple(name for name in layout.VARIABLES if _has(schema, data, name))
    attributes = {k: v for k, v in data.attrs.items() if k not in ("format", "schema")}
    try:
        attributes = json.loads(layout.encoded(attributes))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"'triads' has an attribute that is not ready for JSON ({error}); give text, finite "
            "numbers, lists and dictionaries."
        ) from error
    size = layout.chunk_size(schema)
    made = Layout(schema, data.sizes["sample"], names, attributes, size)
    arrays = {name: _array(data, made, name) for name in names}
    with publishing(out) as folder:
        entries = _write(folder, made.metadata_files())
        for j in range(made.chunks):
            part = slice(made.span(j).start, made.span(j).stop)
            entries |= _write(
                folder, made.chunk_files(j, {name: a[part].values for name, a in arrays.items()})
            )
        _write(folder, dict([Manifest(files=dict(sorted(entries.items()))).file()]))


def _has(schema: Schema, data: xr.Dataset, name: str) -> bool:
    """Whether a store of these triads holds a variable.

    Raises:
        InputError: If it should be there and is not, or the other way round.
    """
    present = name in data
    needed = name not in OPTIONAL or (name == "x" and schema.microstructure is not None)
    if needed and not present or name == "x" and present and not needed:
        raise InputError(
            f"'triads' has {'a' if present else 'no'} variable {name!r}, but its schema says "
            f"otherwise (microstructure: {schema.microstructure})."
        )
    return present


def _array(data: xr.Dataset, made: Layout, name: str) -> xr.DataArray:
    """A variable, if its dimensions, its sizes and its type are those of the store."""
    found, dtype = data[name], np.dtype(made.dtype(name))
    dims, shape = made.dims(name), made.shape(name)
    if found.dims != dims or found.shape != shape or found.dtype != dtype:
        raise InputError(
            f"'triads' has {name} of {found.dtype}, dimensions {found.dims} and shape "
            f"{found.shape}; a store of this schema holds {dtype}, {dims} and {shape}."
        )
    return found


def _write(folder: Path, files: Mapping[str, bytes]) -> dict[str, Entry]:
    for key, data in files.items():
        (folder / key).parent.mkdir(exist_ok=True)
        (folder / key).write_bytes(data)
    return {key: Entry.of(data) for key, data in files.items()}
