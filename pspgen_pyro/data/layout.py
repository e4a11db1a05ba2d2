"""The bytes of a triads store: Zarr version 3, encoded in memory, file by file.

A store holds one array a variable, chunked along `sample` only, so that one writer owns one file
of every variable. Nothing here touches the disk; `files` does, and only whole files.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import MemoryStore

from ..structure import phase_names
from .plan import Plan

__all__ = [
    "FORMAT",
    "VARIABLES",
    "chunk_files",
    "chunk_of",
    "manifest_file",
    "manifest_digest",
    "metadata_files",
    "sha256",
]

FORMAT = "pspgen triads 1"
"""The name and the version of the format, in the attribute `format`."""

_FOLDS = {"flag_values": [0, 1], "flag_meanings": "train validation"}
VARIABLES: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "phi": ("float64", ("sample", "parameter"), {"long_name": "process parameters"}),
    "x": (
        "uint8",
        ("sample", "row", "column"),
        {"long_name": "microstructure", "units": "1"},
    ),
    "k": ("float64", ("sample", "property"), {}),
    "m": (
        "float64",
        ("sample", "property"),
        {"long_name": "natural logarithm of k", "units": "1"},
    ),
    "percolates": ("bool", ("sample", "property"), {}),
    "phi_index": ("int64", ("sample",), {"long_name": "number of the process parameters"}),
    "replicate": ("int64", ("sample",), {"long_name": "number of the microstructure of its phi"}),
    "fold": ("int8", ("sample",), {"long_name": "fold, split by phi"} | _FOLDS),
    "excluded": ("bool", ("sample",), {"long_name": "in the region without training data"}),
}
"""Every variable: its type, its dimensions and the attributes that it always has."""


def metadata_files(plan: Plan) -> dict[str, bytes]:
    """The files that do not belong to a chunk: groups, arrays and coordinates."""
    files, arrays = _store(plan, {"format": FORMAT} | plan.configuration())
    for name, labels in _coordinates(plan).items():
        arrays[name][:] = np.array(labels, dtype=object)
    return {key: value.to_bytes() for key, value in files.items()}


def chunk_files(plan: Plan, j: int, variables: dict[str, NDArray[Any]]) -> dict[str, bytes]:
    """The files of chunk j, one a variable."""
    files, arrays = _store(plan, {})
    known = set(files)
    span = plan.span(j)
    for name, values in variables.items():
        arrays[name][span.start : span.stop] = values
    return {key: value.to_bytes() for key, value in files.items() if key not in known}


def chunk_of(key: str) -> int | None:
    """The chunk to which a file belongs; None for metadata and coordinates."""
    name, _, rest = key.partition("/")
    return int(rest.split(".")[1]) if name in VARIABLES and rest.startswith("c.") else None


def manifest_file(
    configuration: dict[str, Any], digests: dict[str, str], failures: dict[str, str]
) -> tuple[str, bytes]:
    """The last file of a store: what made it, the checksum of every file, every failed sample."""
    content = {
        "configuration": configuration,
        "files": dict(sorted(digests.items())),
        "failures": failures,
    }
    files: dict[str, Any] = {}
    attributes = content | {"sha256": manifest_digest(content)}
    zarr.create_group(MemoryStore(files), attributes=attributes)
    return "manifest/zarr.json", files["zarr.json"].to_bytes()


def manifest_digest(content: dict[str, Any]) -> str:
    """The checksum of a manifest without its own."""
    return sha256(json.dumps(content, sort_keys=True).encode())


def sha256(data: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _coordinates(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {"parameter": plan.case.process.names, "property": plan.case.chain.property_.names}


def _attributes(plan: Plan) -> dict[str, dict[str, Any]]:
    """The attributes that depend on the chain, by variable."""
    chain = plan.case.chain
    names = phase_names(chain.phases)
    meanings = " ".join(name.replace(" ", "_") for name in names)
    quantity = getattr(chain.property_, "quantity", "property")
    last = "the void" if chain.phases == 2 else names[-1]
    return {
        "phi": {"units": ", ".join(chain.process.units)},
        "x": {"flag_values": list(range(chain.phases)), "flag_meanings": meanings},
        "k": {"long_name": quantity, "units": getattr(chain.property_, "unit", "1")},
        "percolates": {"long_name": f"whether {last} percolates along the direction"},
    }


def _store(plan: Plan, attributes: dict[str, Any]) -> tuple[dict[str, Any], dict[str, zarr.Array]]:
    """An empty store in memory: its files by key, and its arrays by name."""
    files: dict[str, Any] = {}
    group = zarr.create_group(MemoryStore(files), attributes=attributes)
    n = plan.case.chain.structure.n
    sizes = {"sample": plan.samples, "row": n, "column": n}
    sizes |= {name: len(labels) for name, labels in _coordinates(plan).items()}
    arrays = {}
    for name, labels in _coordinates(plan).items():
        arrays[name] = _array(group, name, (len(labels),), (len(labels),), str, (name,), {})
    for name, (dtype, dims, described) in VARIABLES.items():
        shape = tuple(sizes[dim] for dim in dims)
        chunks = (min(plan.chunk, plan.samples), *shape[1:])
        full = described | _attributes(plan).get(name, {})
        arrays[name] = _array(group, name, shape, chunks, dtype, dims, full)
    return files, arrays


def _array(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: Any,
    dims: tuple[str, ...],
    attributes: dict[str, Any],
) -> zarr.Array:
    # a chunk of zeros is written like any other, so that its checksum can be missed
    return group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        dimension_names=dims,
        attributes=attributes,
        chunk_key_encoding={"name": "default", "separator": "."},
        config={"write_empty_chunks": True},
    )
