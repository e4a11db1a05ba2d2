"""The arrays of an opened store against the schema that it says it has."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..io.folders import CheckedFolder
from ..schema import Schema
from .layout import VARIABLES, Layout

__all__ = ["OPTIONAL", "check_arrays"]

OPTIONAL = {"x", "percolates", "excluded"}
"""The variables that may be absent; `x` where the schema has no microstructure."""


def check_arrays(folder: CheckedFolder, schema: Schema, data: xr.Dataset) -> None:
    """Looks at the type, the dimensions, the shape, the fill value and the files of every array.

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
    fill = folder.json(f"{name}/zarr.json", verify=False).get("fill_value")
    if fill != 0 or {"_FillValue", "scale_factor", "add_offset"} & set(found.attrs):
        return "has a fill value, a factor or an offset, which a store does not"
    count = -(-shape[0] // found.encoding["chunks"][0])
    keys = (f"{name}/c.{j}" + ".0" * (len(shape) - 1) for j in range(count))
    missing = [key for key in keys if key not in folder.files]
    return f"has no {missing[0]} in the manifest" if missing else ""
