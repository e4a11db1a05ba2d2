"""One chunk of a store: what a worker of `generate` does, without what only its parent needs."""

from __future__ import annotations

from .files import Workplace
from .manifest import Entry
from .plan import Plan

__all__ = ["build"]


def build(plan: Plan, place: Workplace, j: int) -> None:
    """Simulates and writes chunk j, then its record: the task of a worker.

    A worker that the cluster had given up may come back when somebody else uses the folder; then
    it writes nothing.
    """
    arrays, failures = plan.simulate(j)
    told = place.configuration
    if not told.exists() or place.read_json(told) != plan.configuration():
        return
    files = plan.layout.chunk_files(j, arrays)
    place.put(files)
    record = {
        "files": {key: Entry.of(data).model_dump() for key, data in files.items()},
        "failures": failures,
    }
    place.put_json(place.record(j), record)
