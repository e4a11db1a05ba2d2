"""Opening a triads store: looking at every file, and saying what a triad is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import xarray as xr
from pydantic import ConfigDict, Field, Json

from ..errors import DataError, InputError
from ..io.folders import CheckedFolder
from ..io.sealing import newer, parsed
from ..io.validation import Record, local_path, read
from ..schema import Schema
from . import layout
from .checked import CheckedFiles
from .expected import check_arrays, check_metadata
from .manifest import OLD_FORMAT, Manifest, Recipe, version_of
from .store import Store, case_of

__all__ = ["open_store"]


class _Root(Record):
    """The attributes of a store that say what it is."""

    model_config = ConfigDict(extra="ignore")

    format: str
    schema_: str = Field(alias="schema")
    notes: Json[list[str]] = []
    warnings: Json[list[str]] = []


def open_store(path: str | Path, *, excluded: bool, verify: bool) -> tuple[Schema, xr.Dataset]:
    """The schema and the data set of a store; `Triads.open` tells the arguments."""
    store = Store(local_path(path, "path").absolute())
    manifest = store.manifest()
    folder = store.checked(manifest)
    if verify:
        folder.check()
    old = manifest.format == OLD_FORMAT
    if not old:
        check_metadata(folder, verify=verify)
    data = _read(folder, verify=verify, decode=old)
    if old:
        schema, data = _from_old(store.path, manifest, data)
    else:
        root = read(_Root, data.attrs, f"{store.path}/zarr.json.attributes")
        if root.format != layout.FORMAT:
            _refuse(folder, root.format)
        schema = Schema.from_json(_parsed(root.schema_, folder), f"{store.path}/schema")
        check_arrays(folder, schema, data)
    for name in ("parameter", "property", "direction"):
        if name in data.dims:
            data[name] = [str(label) for label in data[name].values]
    if not excluded and "excluded" in data:
        data = data.isel(sample=~data["excluded"].values)
    return schema, data


def _refuse(folder: CheckedFolder, format_: str) -> NoReturn:
    """Raises what is to be said of another format than the manifest's."""
    version = version_of(format_)
    if version is not None and version > layout.VERSION:
        raise newer(f"'path' is {str(folder.path)!r}, whose zarr.json", version, layout.VERSION)
    raise folder.fault("zarr.json", f"says {format_!r:.60} but the manifest {layout.FORMAT!r}")


def _read(folder: CheckedFolder, *, verify: bool, decode: bool) -> xr.Dataset:
    """The data set, whose arrays are read when they are used."""
    try:
        return xr.open_zarr(
            CheckedFiles(folder, verify=verify),
            consolidated=False,
            chunks=None,
            mask_and_scale=decode,
            decode_times=decode,
        )
    except DataError:
        raise
    # metadata that are wrong on purpose make zarr and xarray raise whatever they meet first
    except Exception as error:
        raise folder.fault("zarr.json", f"or the zarr.json of an array is wrong ({error})") from (
            error
        )


def _parsed(text: str, folder: CheckedFolder) -> Any:
    try:
        return parsed(text)
    except ValueError as error:
        raise folder.fault(
            "zarr.json", f"has an attribute 'schema' that is no JSON ({error})"
        ) from (error)


def _from_old(path: Path, manifest: Manifest, data: xr.Dataset) -> tuple[Schema, xr.Dataset]:
    """The schema and the variables of a store of the first format.

    Raises:
        DataError: If it was not simulated from a case of the study.
    """
    try:
        recipe = read(Recipe, manifest.configuration, str(path))
        schema = case_of(recipe).chain.schema
    except InputError as error:
        raise DataError(
            f"'path' is {str(path)!r}, a store of the first format that was not made by a case of "
            "the study, so that it does not say what its properties are; simulate it again."
        ) from error
    value = data["k"].load()
    data = data.drop_vars(["k", "percolates"]).assign(
        value=value,
        m=(("sample", "property"), schema.scaled(value.values)),
        percolates=(("sample", "direction"), data["percolates"].values),
        direction=["horizontal", "vertical"],
    )
    fixed = {"format": manifest.format, "schema": layout.encoded(schema.to_json())}
    return schema, data.assign_attrs(fixed)
