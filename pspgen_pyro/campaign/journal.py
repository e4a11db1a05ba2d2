"""What was asked and what was told, in files that are only ever added.

The folder `journal` holds `0001.json`, `0002.json` and so on. Each is published whole, under a
number that nobody else can take: of two processes that add at once one is refused, reads what the
other wrote, and adds after it. So a process that is killed leaves a whole entry or none, and the
state of a campaign is what its entries say, in their order. Each carries its own checksum and that
of the one before it, so that none can be changed, exchanged or lost among the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ..errors import DataError
from ..io.folders import CheckedFolder
from ..io.publish import publish_new
from ..io.sealing import sealed, sha256, unsealed
from ..io.validation import Record, read

__all__ = ["COPY", "FORMAT", "Asked", "Experiment", "Journal", "Result", "Told"]

FORMAT = 2
"""The format of a campaign's files; in the first one entries did not know what they follow."""
COPY = "copy it again"
_ROUNDING = 1e-6


class Experiment(Record):
    """A setting to experiment at.

    Arguments:
        id: Its name.
        phi: The setting, in the units of the process.
    """

    id: str
    phi: tuple[float, ...]


class Result(Record):
    """One material that was made, or that was tried.

    Arguments:
        experiment: The name of the experiment that was asked for; None for one of the
            laboratory's own.
        phi: The setting it was made at.
        values: Its properties in their units; None where one is unknown.
        failed: Whether the experiment failed.
        image: The file of its image in the folder `images`; None if there is none.
    """

    experiment: str | None
    phi: tuple[float, ...]
    values: tuple[float | None, ...]
    failed: bool = False
    image: str | None = None

    def completes(self, other: Result) -> bool:
        """Whether this may be the same material as another one, and tells no less of it."""
        if self.phi != other.phi or self.failed != other.failed:
            # what failed first may succeed at last
            return self.phi == other.phi and other.failed
        known = zip(self.values, other.values, strict=True)
        return all(b is None or _same(a, b) for a, b in known)

    def matches(self, other: Result) -> bool:
        """Whether this may be the same material as one that was told before."""
        return self.completes(other) or (self.failed == other.failed and other.completes(self))

    def with_what(self, other: Result) -> Result:
        """What this and another result tell of one material together."""
        # what was told first stays where the second only rounds it
        more = other if other.completes(self) else self
        return more.model_copy(update={"image": self.image or other.image})

    def __str__(self) -> str:
        values = ", ".join("unknown" if v is None else f"{v:g}" for v in self.values)
        return "failed" if self.failed else f"({values})"


def _same(a: float | None, b: float) -> bool:
    """Whether two values are one, by another program or with fewer digits."""
    return a is not None and math.isclose(a, b, rel_tol=_ROUNDING)


class Asked(Record):
    """Experiments that were asked for."""

    kind: Literal["asked"] = "asked"
    experiments: Annotated[tuple[Experiment, ...], Field(min_length=1)]


class Told(Record):
    """A table of results.

    Arguments:
        source: The name of its file.
        digest: The SHA-256 of its text.
        results: What it says.
        corrects: Whether it replaces what was told of its experiments before.
    """

    kind: Literal["told"] = "told"
    source: str
    digest: str
    results: Annotated[tuple[Result, ...], Field(min_length=1)]
    corrects: bool = False


Entry = Asked | Told


class _Line(Record):
    """The content of an entry, told apart by its kind."""

    entry: Annotated[Entry, Field(discriminator="kind")]


@dataclass(frozen=True)
class Journal:
    """The entries of a campaign.

    Arguments:
        folder: Where they are.
        beginning: The file that the first one follows.
    """

    folder: Path
    beginning: Path

    def entries(self) -> tuple[Entry, ...]:
        """Every entry, in order.

        Raises:
            DataError: If one is missing or damaged, or does not follow the one before it; the
                sentence names it.
        """
        if not self.folder.is_dir():
            raise DataError(f"{str(self.folder)!r} is missing; {COPY}.")
        found = {path.name for path in self.folder.glob("[0-9]*.json")}
        expected = [self._path(number) for number in range(1, len(found) + 1)]
        if missing := [path for path in expected if path.name not in found]:
            raise DataError(f"{str(missing[0])!r} is missing among {len(found)} entries; {COPY}.")
        entries, before = [], self._digest(0)
        for path in expected:
            data = self._read(path)
            content, after = unsealed(data, repr(str(path)), FORMAT, COPY)
            if after not in (None, before):
                raise DataError(
                    f"{str(path)!r} does not follow what is before it; {COPY}, with the whole "
                    "journal."
                )
            entries.append(read(_Line, {"entry": content}, str(path)).entry)
            before = sha256(data)
        return tuple(entries)

    def add(self, before: int, entry: Entry) -> bool:
        """Adds the entry that follows so many; False if somebody else has added one.

        Raises:
            StorageError: If writing fails.
        """
        data = sealed(entry.model_dump(mode="json"), FORMAT, self._digest(before))
        return publish_new(self._path(before + 1), data)

    def _digest(self, number: int) -> str:
        """The checksum of an entry; of the beginning for number 0."""
        return sha256(self._read(self._path(number) if number else self.beginning))

    @staticmethod
    def _read(path: Path) -> bytes:
        return CheckedFolder(path.parent, "folder", COPY).read(path.name)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:04d}.json"
