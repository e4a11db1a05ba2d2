"""The bytes of a triads store: Zarr version 3, encoded in memory, file by file.

A store holds one array a variable, chunked along `sample` only, so that one writer owns one file
of every variable. Nothing here touches the disk; only whole files do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import MemoryStore

from ..io.sealing import encoded, sha256
from ..schema import Schema
from ..structure import phase_names

__all__ = [
    "FORMAT",
    "VARIABLES",
    "VERSION",
    "Layout",
    "chunk_of",
    "chunk_size",
    "encoded",
    "sha256",
]

VERSION = 2
FORMAT = f"pspgen triads {VERSION}"
"""The name and the version of the format, in the attribute `format`."""

_FOLDS = {"flag_values": [0, 1], "flag_meanings": "train validation"}
VARIABLES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "phi": ("float64", ("sample", "parameter"), "process parameters"),
    "x": ("uint8", ("sample", "row", "column"), "microstructure"),
    "value": ("float64", ("sample", "property"), "properties in their units"),
    "m": ("float64", ("sample", "property"), "properties on their scales"),
    "percolates": ("bool", ("sample", "direction"), "whether a phase percolates"),
    "phi_index": ("int64", ("sample",), "number of the process parameters"),
    "replicate": ("int64", ("sample",), "number of the triad of its phi"),
    "fold": ("int8", ("sample",), "fold, split by phi"),
    "excluded": ("bool", ("sample",), "in the region without training data"),
}
"""Every variable: its type (of `x` where it holds labels), its dimensions (of `x` in two
dimensions) and its name in words;
`x`, `percolates` and `excluded` may be absent."""

_SMALL_IMAGE = 64 * 64


@dataclass(frozen=True)
class Layout:
    """What decides every byte of a store but the numbers.

    Arguments:
        schema: What a triad is.
        samples: The number of triads.
        variables: The names of the variables.
        attributes: Further attributes of the store, ready for JSON.
        chunk: The number of samples a chunk.
    """

    schema: Schema
    samples: int
    variables: tuple[str, ...]
    attributes: Mapping[str, Any]
    chunk: int

    @property
    def chunks(self) -> int:
        """The number of chunks."""
        return -(-self.samples // self.chunk)

    def span(self, j: int) -> range:
        """The samples of chunk j."""
        return range(j * self.chunk, min((j + 1) * self.chunk, self.samples))

    def dtype(self, name: str) -> str:
        """The type of a variable."""
        return self.schema.images.dtype if name == "x" else VARIABLES[name][0]

    def dims(self, name: str) -> tuple[str, ...]:
        """The dimensions of a variable."""
        return ("sample", *self.schema.images.dims) if name == "x" else VARIABLES[name][1]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a variable."""
        images = self.schema.microstructure
        sizes = {} if images is None else dict(zip(images.dims, images.shape, strict=True))
        sizes |= {
            "sample": self.samples,
            "parameter": len(self.schema.process),
            "property": len(self.schema.properties),
            "direction": 0 if images is None else images.dimensions,
        }
        return tuple(sizes[dim] for dim in self.dims(name))

    def metadata_files(self) -> dict[str, bytes]:
        """The files that do not belong to a chunk: groups, arrays and coordinates."""
        fixed = {"format": FORMAT, "schema": encoded(self.schema.to_json())}
        files, arrays = self._store({**self.attributes, **fixed})
        for name, labels in self.coordinates().items():
            arrays[name][:] = np.array(labels, dtype=object)
        return {key: value.to_bytes() for key, value in files.items()}

    def chunk_files(self, j: int, variables: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
        """The files of chunk j, one a variable."""
        files, arrays = self._store({})
        known, span = set(files), self.span(j)
        for name in self.variables:
            arrays[name][span.start : span.stop] = variables[name]
        return {key: value.to_bytes() for key, value in files.items() if key not in known}

    def coordinates(self) -> dict[str, tuple[str, ...]]:
        """The labels of the coordinates."""
        found = {"parameter": self.schema.process.names, "property": self.schema.property_names}
        if "percolates" in self.variables:
            found["direction"] = self.schema.images.directions
        return found

    def _described(self, name: str) -> dict[str, Any]:
        """The attributes of a variable."""
        found: dict[str, Any] = {"long_name": VARIABLES[name][2]}
        images = self.schema.microstructure
        if name == "phi":
            found["units"] = ", ".join(self.schema.process.units)
        if name == "value":
            found["units"] = ", ".join(p.unit for p in self.schema.properties)
        if name == "m":
            found["long_name"] = ", ".join(p.label for p in self.schema.properties)
        if name == "fold":
            found |= _FOLDS
        if images is None or images.phases == "grey" or name not in ("x", "percolates"):
            return found
        names = phase_names(images.phases)
        if name == "percolates":
            last = "the void" if images.phases == 2 else names[-1]
            return {"long_name": f"whether {last} percolates along the direction"}
        meanings = " ".join(label.replace(" ", "_") for label in names)
        return found | {"flag_values": list(range(images.phases)), "flag_meanings": meanings}

    def _store(
        self, attributes: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, zarr.Array]]:
        """An empty store in memory: its files by key, and its arrays by name."""
        files: dict[str, Any] = {}
        group = zarr.create_group(MemoryStore(files), attributes=dict(attributes))
        arrays = {
            name: _array(group, name, (len(labels),), (len(labels),), str, (name,), {})
            for name, labels in self.coordinates().items()
        }
        for name in self.variables:
            dims, shape = self.dims(name), self.shape(name)
            chunks = (min(self.chunk, self.samples), *shape[1:])
            arrays[name] = _array(
                group, name, shape, chunks, self.dtype(name), dims, self._described(name)
            )
        return files, arrays


def chunk_size(schema: Schema) -> int:
    """The number of samples a chunk, if nobody says: seconds of the study's work."""
    images = schema.microstructure
    return 250 if images is None or images.pixels <= _SMALL_IMAGE else 50


def chunk_of(key: str) -> int | None:
    """The chunk to which a file belongs; None for metadata and coordinates."""
    name, _, rest = key.partition("/")
    return int(rest.split(".")[1]) if name in VARIABLES and rest.startswith("c.") else None


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
