"""What was asked and what was told, in files that are only ever added.

The folder `journal` holds `0001.json`, `0002.json` and so on. Each is published whole, under a
number that nobody else can take: of two processes that add at once one is refused, reads what the
other wrote, and adds after it. So a process that is killed leaves a whole entry or none, and the
state of a campaign is what its entries say, in their order.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..data.layout import encoded, sha256
from ..errors import DataError
from ..io.publish import publish_new
from ..io.validation import Record, read

__all__ = ["FORMAT", "Asked", "Experiment", "Journal", "Result", "Told", "sealed", "unsealed"]

FORMAT = 1


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
        return all(b is None or a == b for a, b in known)

    def matches(self, other: Result) -> bool:
        """Whether this may be the same material as one that was told before."""
        return self.completes(other) or (self.failed == other.failed and other.completes(self))

    def with_what(self, other: Result) -> Result:
        """What this and another result tell of one material together."""
        more, less = (self, other) if self.completes(other) else (other, self)
        return more.model_copy(update={"image": more.image or less.image})

    def __str__(self) -> str:
        values = ", ".join("unknown" if v is None else f"{v:g}" for v in self.values)
        return "failed" if self.failed else f"({values})"


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


class _Stored(Record):
    """A sealed file."""

    format: int
    content: dict[str, Any]
    sha256: str

    @model_validator(mode="after")
    def _whole(self) -> _Stored:
        if self.sha256 != sha256(encoded(self.content).encode()):
            raise ValueError("the file does not have its checksum; restore it from a copy")
        return self


class _Line(Record):
    """The content of an entry, told apart by its kind."""

    entry: Annotated[Entry, Field(discriminator="kind")]


def sealed(content: dict[str, Any]) -> bytes:
    """The bytes of a file with its format and its checksum."""
    stored = {"format": FORMAT, "content": content, "sha256": sha256(encoded(content).encode())}
    return (json.dumps(stored, indent=1, ensure_ascii=False) + "\n").encode()


def unsealed(path: Path) -> dict[str, Any]:
    """The content of a sealed file.

    Raises:
        DataError: If it is missing, damaged, or of another format; the sentence has its path.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{str(path)!r} cannot be read ({error}); restore it from a copy."
        ) from error
    format_ = stored.get("format") if isinstance(stored, dict) else None
    if isinstance(format_, int) and format_ != FORMAT:
        raise DataError(
            f"{str(path)!r} is of the campaign format {format_}; this version of the package "
            f"reads format {FORMAT}, so take the version that wrote it."
        )
    return read(_Stored, stored, str(path)).content


@dataclass(frozen=True)
class Journal:
    """The entries of a campaign.

    Arguments:
        folder: Where they are.
    """

    folder: Path

    def entries(self) -> tuple[Entry, ...]:
        """Every entry, in order.

        Raises:
            DataError: If one is missing or damaged; the sentence names it.
        """
        if not self.folder.is_dir():
            raise DataError(f"{str(self.folder)!r} is missing; restore it from a copy.")
        found = {path.name for path in self.folder.glob("[0-9]*.json")}
        expected = [self._path(number).name for number in range(1, len(found) + 1)]
        if missing := [name for name in expected if name not in found]:
            raise DataError(
                f"{str(self.folder / missing[0])!r} is missing among {len(found)} entries; "
                "restore it from a copy."
            )
        return tuple(
            read(_Line, {"entry": unsealed(path)}, str(path)).entry
            for path in (self.folder / name for name in expected)
        )

    def add(self, before: int, entry: Entry) -> bool:
        """Adds the entry that follows so many; False if somebody else has added one.

        Raises:
            StorageError: If writing fails.
        """
        return publish_new(self._path(before + 1), sealed(entry.model_dump(mode="json")))

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:04d}.json"
