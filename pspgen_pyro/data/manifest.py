"""The manifest of a triads store: the checksum of every file, and what made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import zarr
from pydantic import ConfigDict, field_validator
from zarr.storage import MemoryStore

from ..errors import DataError
from ..io.validation import Record, read
from .layout import FORMAT, encoded, sha256

__all__ = ["OLD_FORMAT", "Entry", "Manifest", "Recipe", "attributes_of"]

OLD_FORMAT = "pspgen triads 1"
KEY = "manifest/zarr.json"


class Entry(Record):
    """One file of a store.

    Arguments:
        sha256: Its checksum.
        size: Its bytes; None in a store of the first format.
    """

    sha256: str
    size: int | None = None

    @classmethod
    def of(cls, data: bytes) -> Entry:
        """The entry of a file with these bytes."""
        return cls(sha256=sha256(data), size=len(data))


class Recipe(Record):
    """What a store is simulated again from, as far as the chain does not say it."""

    model_config = ConfigDict(extra="ignore")

    case: str | None = None
    preset: str | None = None
    formulation: str | None = None
    solver: str | None = None
    split: str
    samples: int
    replicates: int
    points: int | None = None
    seed: int
    chunk: int
    versions: dict[str, str]


class Manifest(Record):
    """What a store holds.

    Arguments:
        format: The format of the store.
        configuration: What the store was simulated from; None if it was not simulated.
        files: Every file but the manifest, by its key.
        failures: The reason of every failed sample, by its number.
    """

    format: str = OLD_FORMAT
    configuration: dict[str, Any] | None = None
    files: dict[str, Entry]
    failures: dict[str, str] = {}

    @field_validator("files", mode="before")
    @classmethod
    def _with_sizes(cls, value: Any) -> Any:
        """The first format had a checksum only."""
        if not isinstance(value, Mapping):
            return value
        return {k: {"sha256": v} if isinstance(v, str) else v for k, v in value.items()}

    def file(self) -> tuple[str, bytes]:
        """The key and the bytes of the manifest, the last file of a store."""
        content = self.model_dump(mode="json", exclude={"format"}) | {"format": FORMAT}
        files: dict[str, Any] = {}
        attributes = content | {"sha256": sha256(encoded(content).encode())}
        zarr.create_group(MemoryStore(files), attributes=attributes)
        return KEY, files["zarr.json"].to_bytes()

    @classmethod
    def parsed(cls, content: dict[str, Any], where: str) -> Manifest:
        """The manifest with these attributes, if they are what was written.

        Raises:
            DataError: If they are not.
        """
        rest = dict(content)
        digest = rest.pop("sha256", None)
        # the first format hashed JSON with escapes
        written = (encoded(rest), json.dumps(rest, sort_keys=True))
        if not rest or digest not in [sha256(text.encode()) for text in written]:
            raise DataError(
                f"'path' is {where!r}, a triads store whose manifest is damaged; simulate it "
                "again, or restore it from a copy."
            )
        return read(cls, rest, f"{where}/{KEY}")


def attributes_of(data: bytes) -> dict[str, Any]:
    """The attributes in a Zarr metadata file, or none if it cannot be read."""
    try:
        return dict(json.loads(data)["attributes"])
    except (ValueError, KeyError, TypeError):
        return {}
