"""Opening a triads store: looking at every file, and saying what a triad is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import xarray as xr
from pydantic import ConfigDict, Field
from zarr.storage import LocalStore

from ..errors import DataError, InputError
from ..io.validation import Record, read
from ..schema import Schema
from . import layout
from .checked import CheckedFiles, check_files
from .manifest import OLD_FORMAT, Manifest, Recipe
from .store import Store, case_of

__all__ = ["open_store"]


class _Root(Record):
    """The attributes of a store that say what it is."""

    model_config = ConfigDict(extra="ignore")

    format: str
    schema_: str = Field(alias="schema")


def open_store(path: str | Path, *, excluded: bool, verify: bool) -> tuple[Schema, xr.Dataset]:
    """The schema and the data set of a store; `Triads.open` tells the arguments."""
    store = Store(Path(path).absolute())
    manifest = store.manifest()
    if verify:
        check_files(store.path, manifest.files)
    source = CheckedFiles(store.path, manifest.files) if verify else LocalStore(store.path)
    data = xr.open_zarr(source, consolidated=False, chunks=None)
    if manifest.format == OLD_FORMAT:
        schema, data = _from_old(store.path, manifest, data)
    else:
        root = read(_Root, data.attrs, str(store.path))
        schema = Schema.from_json(_parsed(root.schema_, store.path), f"{store.path}/schema")
    for name in ("parameter", "property", "direction"):
        if name in data.dims:
            data[name] = [str(label) for label in data[name].values]
    if not excluded and "excluded" in data:
        data = data.isel(sample=~data["excluded"].values)
    return schema, data


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(
            f"'path' is {str(path)!r}, whose attribute 'schema' is no JSON; simulate it again."
        ) from error


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
