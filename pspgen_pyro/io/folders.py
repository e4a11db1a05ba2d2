"""A folder whose files are known: the one place where such a file is looked at, read and checked.

What is no file of its own (a link, a pipe, a device, a folder) is refused before it is opened,
what has another size before it is read, and what has another checksum before anybody sees a byte.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DataError
from .sealing import parsed, sha256
from .validation import Record

__all__ = ["CheckedFolder", "Entry"]

_LONGEST = {True: 1 << 26, False: 1 << 29}
"""The most bytes of a file of unknown size: of JSON, and of others."""


class Entry(Record):
    """What is known of a file.

    Arguments:
        sha256: Its checksum.
        size: Its bytes; None if they were not recorded.
    """

    sha256: str
    size: int | None = None

    @classmethod
    def of(cls, data: bytes) -> Entry:
        """The entry of a file with these bytes."""
        return cls(sha256=sha256(data), size=len(data))


@dataclass(frozen=True)
class CheckedFolder:
    """A folder and what is known of its files.

    Arguments:
        path: The folder.
        name: The argument that it came by, for the sentence of an error.
        cure: What to do about a damaged file, for the same sentence.
        files: What is known of each file, by its key, the path in the folder with slashes; of
            others only that they have to be files.
    """

    path: Path
    name: str
    cure: str
    files: Mapping[str, Entry] = field(default_factory=dict)

    def fault(self, key: str, what: str, more: int = 0) -> DataError:
        """The sentence for a file that is not what was written."""
        beside = f" (and {more} more)" if more else ""
        return DataError(
            f"'{self.name}' is {str(self.path)!r}, where {key} {what}{beside}; {self.cure}."
        )

    def check(self) -> None:
        """Looks for every file, and at its kind and size.

        Raises:
            DataError: If one is missing, is none, or has another size.
        """
        parents = {parent for key in self.files for parent in Path(key).parents[:-1]}
        faults = [
            (parent.as_posix(), "is a link; put the folder itself there")
            for parent in sorted(parents)
            if (self.path / parent).is_symlink()
        ]
        faults += [(key, what) for key in self.files if (what := self._wrong(key))]
        if faults:
            raise self.fault(*faults[0], more=len(faults) - 1)

    def read(self, key: str, *, verify: bool = True) -> bytes:
        """The bytes of a file.

        Arguments:
            key: The file.
            verify: Whether it has to have its size and checksum, if they are known.

        Raises:
            DataError: If it is missing, is no file, or is not what was written.
        """
        if what := self._wrong(key, sized=verify):
            raise self.fault(key, what)
        entry = self.files.get(key) if verify else None
        try:
            data = (self.path / key).read_bytes()
        except OSError as error:
            raise self.fault(key, f"cannot be read ({error.strerror})") from error
        if entry is not None and sha256(data) != entry.sha256:
            raise self.fault(key, "does not have its checksum")
        return data

    def json(self, key: str, *, verify: bool = True) -> Any:
        """What a JSON file says.

        Raises:
            DataError: As `read`, or if it is no JSON.
        """
        try:
            return parsed(self.read(key, verify=verify))
        except ValueError as error:
            if isinstance(error, DataError):
                raise
            raise self.fault(key, f"is no JSON ({error})") from error

    def _wrong(self, key: str, *, sized: bool = True) -> str:
        """What is wrong with a file, before it is opened; "" if nothing."""
        try:
            found = os.lstat(self.path / key)
        except OSError as error:
            absent = isinstance(error, FileNotFoundError | NotADirectoryError)
            return "is missing" if absent else f"cannot be read ({error.strerror})"
        if not stat.S_ISREG(found.st_mode):
            return f"is a {_kind(found.st_mode)}, not a file"
        size = self.files[key].size if key in self.files else None
        if sized and size is not None:
            return "" if found.st_size == size else f"has {found.st_size} bytes instead of {size}"
        most = _LONGEST[key.endswith(".json")]
        return "" if found.st_size <= most else f"has {found.st_size} bytes, more than {most}"


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISDIR(mode):
        return "folder"
    return "pipe" if stat.S_ISFIFO(mode) else "device or socket"
