"""Reading the files of a store with their checksums: a damaged byte never becomes a number."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype

from ..errors import DataError
from .layout import sha256
from .manifest import Entry

__all__ = ["CheckedFiles", "check_files", "damaged"]


def damaged(path: Path, key: str, what: str, more: int = 0) -> DataError:
    """The sentence for a file that is not what was written."""
    beside = f" (and {more} more)" if more else ""
    return DataError(
        f"'path' is {str(path)!r}, where {key} {what}{beside}; run `pspgen data verify "
        f"{path} --repair`, which simulates what is damaged again, or restore it from a copy."
    )


def check_files(path: Path, files: Mapping[str, Entry]) -> None:
    """Looks for every file of a store, and at its size.

    Raises:
        DataError: If a file is missing or of another size.
    """
    faults = []
    for key, entry in files.items():
        try:
            size = (path / key).stat().st_size
        except OSError:
            faults.append((key, "is missing"))
            continue
        if entry.size is not None and size != entry.size:
            faults.append((key, f"has {size} bytes instead of {entry.size}"))
    if faults:
        raise damaged(path, *faults[0], more=len(faults) - 1)


class CheckedFiles(Store):
    """The files of a store, read only, each compared with its checksum when it is read.

    Arguments:
        path: The folder of the store.
        files: Its files, by their keys.
    """

    def __init__(self, path: Path, files: Mapping[str, Entry]) -> None:
        super().__init__(read_only=True)
        self.path, self.files = path, dict(files)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CheckedFiles) and self.path == other.path

    def __str__(self) -> str:
        return f"file://{self.path}"

    @property
    def supports_writes(self) -> bool:
        return False

    @property
    def supports_deletes(self) -> bool:
        return False

    @property
    def supports_listing(self) -> bool:
        return True

    def _read(self, key: str) -> bytes | None:
        if key not in self.files:
            return None
        try:
            data = (self.path / key).read_bytes()
        except OSError as error:
            raise damaged(self.path, key, "cannot be read") from error
        if sha256(data) != self.files[key].sha256:
            raise damaged(self.path, key, "does not have its checksum")
        return data

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        data = self._read(key)
        return None if data is None else prototype.buffer.from_bytes(_part(data, byte_range))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        return key in self.files

    async def set(self, key: str, value: Buffer) -> None:
        self._check_writable()

    async def delete(self, key: str) -> None:
        self._check_writable()

    async def list(self) -> AsyncIterator[str]:
        for key in self.files:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for key in self.files:
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        inside = f"{prefix.rstrip('/')}/" if prefix else ""
        names = {k.removeprefix(inside).split("/")[0] for k in self.files if k.startswith(inside)}
        for name in sorted(names):
            yield name


def _part(data: bytes, part: Any) -> bytes:
    if part is None:
        return data
    if isinstance(part, RangeByteRequest):
        return data[part.start : part.end]
    if isinstance(part, OffsetByteRequest):
        return data[part.offset :]
    return data[-part.suffix :]
