"""Reading the files of a store with their checksums: a damaged byte never becomes a number."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype

from ..io.folders import CheckedFolder

__all__ = ["CheckedFiles"]


class CheckedFiles(Store):
    """The files of a store, read only, each compared with its checksum when it is read.

    Arguments:
        folder: The folder of the store.
        verify: Whether the checksums matter.
    """

    def __init__(self, folder: CheckedFolder, *, verify: bool = True) -> None:
        super().__init__(read_only=True)
        self.folder, self.verify = folder, verify

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CheckedFiles) and self.folder == other.folder

    def __str__(self) -> str:
        return f"file://{self.folder.path}"

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
        if key not in self.folder.files:
            return None
        if key.endswith(".json"):
            # whoever damages on purpose makes the checksum fit
            self.folder.json(key, verify=self.verify)
        return self.folder.read(key, verify=self.verify)

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
        return key in self.folder.files

    async def set(self, key: str, value: Buffer) -> None:
        self._check_writable()

    async def delete(self, key: str) -> None:
        self._check_writable()

    async def list(self) -> AsyncIterator[str]:
        for key in self.folder.files:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for key in self.folder.files:
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        inside = f"{prefix.rstrip('/')}/" if prefix else ""
        names = {
            k.removeprefix(inside).split("/")[0] for k in self.folder.files if k.startswith(inside)
        }
        for name in sorted(names):
            yield name


def _part(data: bytes, part: ByteRequest | None) -> bytes:
    if part is None:
        return data
    if isinstance(part, RangeByteRequest):
        return data[part.start : part.end]
    if isinstance(part, OffsetByteRequest):
        return data[part.offset :]
    return data[-part.suffix :]
