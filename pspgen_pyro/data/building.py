"""Chunk by chunk: what a worker of `generate` does, without what only its parent needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..io.validation import Record, read
from .files import Workplace
from .manifest import Entry
from .plan import Plan

__all__ = ["Finished", "build", "content", "finished"]


class Finished(Record):
    """A finished chunk: its files, and the reason of each failed sample."""

    files: dict[str, Entry]
    failures: dict[str, str]


def build(plan: Plan, place: Workplace, j: int) -> None:
    """Simulates and writes chunk j, then its record: the task of a worker.

    A worker that the cluster had given up may come back when somebody else uses the folder; then
    it writes nothing.
    """
    arrays, failures = plan.simulate(j)
    if not place.configuration.exists() or content(place.configuration) != plan.configuration():
        return
    files = plan.layout.chunk_files(j, arrays)
    place.put(files)
    record = {
        "files": {key: Entry.of(data).model_dump() for key, data in files.items()},
        "failures": failures,
    }
    place.put_json(place.record(j), record)


def content(path: Path) -> Any:
    """The content of a small file of the workplace.

    Raises:
        DataError: If it is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(
            f"'out' has an unfinished store whose {path} is damaged; remove the folder "
            f"{path.parent} and start again."
        ) from error


def finished(place: Workplace, j: int) -> Finished:
    """The record of chunk j."""
    return read(Finished, content(place.record(j)), str(place.record(j)))
