"""The arrays of an opened store against the schema that it says it has."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import xarray as xr
from pydantic import ConfigDict, Field, field_validator

from ..io.folders import CheckedFolder
from ..io.validation import Record, read
from ..schema import Schema
from .layout import VARIABLES, Layout

__all__ = ["OPTIONAL", "check_arrays", "check_metadata"]

_CHANGING = {"_FillValue", "missing_value", "scale_factor", "add_offset"}

OPTIONAL = {"x", "percolates", "excluded"}
"""The variables that may be absent; `x` where the schema has no microstructure."""


class _Array(Record):
    """The metadata of an array, as far as they decide what is read."""

    model_config = ConfigDict(extra="ignore")

    zarr_format: Literal[3]
    node_type: Literal["array"]
    shape: tuple[Annotated[int, Field(ge=0)], ...]
    dimension_names: tuple[str, ...]
    fill_value: Any
    attributes: dict[str, Any] = {}

    @field_validator("fill_value")
    @classmethod
    def _nothing(cls, value: Any) -> Any:
        if value not in (0, ""):
            raise ValueError(f"a store is filled with nothing but zeros, not with {value!r:.40}")
        return value

    @field_validator("attributes")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        if changing := sorted(_CHANGING & value.keys()):
            raise ValueError(f"{changing[0]!r} would change the numbers")
        return value


def check_metadata(folder: CheckedFolder, *, verify: bool) -> None:
    """Looks at the metadata of every array before anything is made of them.

    Raises:
        DataError: If they are not those of a store.
    """
    for key in folder.files:
        if key.endswith("/zarr.json"):
            read(_Array, folder.json(key, verify=verify), f"{folder.path}/{key}")


def check_arrays(folder: CheckedFolder, schema: Schema, data: xr.Dataset) -> None:
    """Looks at the type, the dimensions, the shape and the files of every array.

    Raises:
        DataError: If one is not what a store of this schema holds.
    """
    names = tuple(str(name) for name in data.data_vars)
    absent = {"x"} if schema.microstructure is None else set()
    needed = set(VARIABLES) - (OPTIONAL - {"x"}) - absent
    for name in sorted(needed ^ (set(names) - OPTIONAL | {"x"} & set(names))):
        raise folder.fault(f"{name}/zarr.json", "is missing" if name in needed else "is too many")
    made = Layout(schema, data.sizes["sample"], names, {}, 1)
    for name in names:
        if what := _wrong(made, name, data[name], folder):
            raise folder.fault(f"{name}/zarr.json", what)
    for name, labels in made.coordinates().items():
        if name not in data.coords or tuple(map(str, data[name].values)) != labels:
            raise folder.fault(f"{name}/zarr.json", f"does not belong to the labels {labels}")


def _wrong(made: Layout, name: str, found: xr.DataArray, folder: CheckedFolder) -> str:
    """What is wrong with an array; "" if nothing."""
    dtype, dims, shape = np.dtype(made.dtype(name)), made.dims(name), made.shape(name)
    if found.dtype != dtype or found.dims != dims or found.shape != shape:
        return (
            f"is of {found.dtype}, dimensions {found.dims} and shape {found.shape}; the schema "
            f"says {dtype}, {dims} and {shape}"
        )
    count = -(-shape[0] // found.encoding["chunks"][0])
    keys = (f"{name}/c.{j}" + ".0" * (len(shape) - 1) for j in range(count))
    missing = [key for key in keys if key not in folder.files]
    return f"has no {missing[0]} in the manifest" if missing else ""
