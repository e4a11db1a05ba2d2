"""The manifest of a triads store: the checksum of every file, and what made them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import zarr
from pydantic import ConfigDict, field_validator
from zarr.storage import MemoryStore

from ..io.folders import CheckedFolder, Entry
from ..io.sealing import encoded, newer, sha256
from ..io.validation import Record, read
from .layout import FORMAT, VERSION

__all__ = ["KEY", "OLD_FORMAT", "Entry", "Manifest", "Recipe", "version_of"]

OLD_FORMAT = "pspgen triads 1"
KEY = "manifest/zarr.json"


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
    def opened(cls, folder: CheckedFolder) -> Manifest:
        """The manifest of a store, if it is what was written.

        Raises:
            DataError: If it is not, or the store is of a newer format.
        """
        found = folder.json(KEY)
        rest = dict(_of(found, "attributes"))
        digest, version = rest.pop("sha256", None), version_of(rest.get("format"))
        if version is not None and version > VERSION:
            raise newer(f"'{folder.name}' is {str(folder.path)!r}, which", version, VERSION)
        # the first format hashed JSON with escapes
        written = (encoded(rest), json.dumps(rest, sort_keys=True))
        if digest not in [sha256(text.encode()) for text in written] or not _is_group(found):
            raise folder.fault(KEY, "does not have its checksum")
        return read(cls, rest, f"{folder.path}/{KEY}")


def version_of(format_: Any) -> int | None:
    """The number of a format of a store; None if it is none."""
    found = re.fullmatch(r"pspgen triads (\d{1,9})", format_) if isinstance(format_, str) else None
    return None if found is None else int(found[1])


def _of(content: Any, name: str) -> dict[str, Any]:
    """An entry that is a JSON object; an empty one if there is none."""
    found = content.get(name) if isinstance(content, dict) else None
    return found if isinstance(found, dict) else {}


def _is_group(found: dict[str, Any]) -> bool:
    """Whether everything beside the attributes is what Zarr writes of a group."""
    rest = {name: value for name, value in found.items() if name != "attributes"}
    # versions of zarr differ in whether they say that there is no consolidated metadata
    rest.pop("consolidated_metadata", None)
    return rest == {"zarr_format": 3, "node_type": "group"}
