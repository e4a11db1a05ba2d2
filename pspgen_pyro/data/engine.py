"""Writing a triads store: chunk by chunk, interruptible, the same bytes whoever writes."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr
from tqdm import tqdm

from ..errors import InputError
from ..io.publish import refuse_existing
from ..study import Case
from ..study import case as study_case
from . import layout, workers
from .files import Workplace
from .plan import Plan, make_plan
from .store import Store, open_triads

__all__ = ["generate"]


def generate(
    case: Case | str,
    path: str | Path,
    *,
    samples: int | None = None,
    replicates: int | None = None,
    seed: int = 0,
    workers: int = 1,
    split: str = "train",
    scale: float = 1.0,
    chunk: int | None = None,
    resume: bool = False,
    scheduler: str | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Simulates triads (φ, x, m) into a Zarr store.

    The store appears under `path` when it is complete and on disk, not before; until then it grows
    in `<path>.partial`, and `resume` goes on from there after an interruption of any kind. Its
    bytes depend on the arguments in the first list only.

    Arguments:
        case: A case of the study, or its name.
        path: The store to make.
        samples: The *total* number of triads, φ times replicates; the case's own if None.
        replicates: The number of microstructures a φ; the case's own if None.
        seed: The root of all random numbers.
        split: "train", "test" or "reference"; no two share a random number.
        scale: Multiplies the case's number of φ (of the reference grid: of replicates).
        chunk: The number of samples a chunk.

    Other arguments:
        workers: The number of local processes.
        resume: Whether to go on with an interrupted run of the same configuration.
        scheduler: The address of a dask scheduler to use instead of local processes.
        progress: Whether to show the progress, the rate and the time left on standard error.

    Returns:
        The triads, opened by `open_triads`.

    Raises:
        InputError: If the arguments do not fit together, `path` exists, or another run writes it.
        DataError: If there is something else to resume than this.
        StorageError: If a file cannot be written.
        WorkerError: If worker processes keep dying.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> triads = generate("case1", f"{folder}/triads.zarr", samples=8, seed=1)
        >>> dict(triads.sizes)["sample"]
        8
    """
    chosen = study_case(case) if isinstance(case, str) else case
    plan = make_plan(
        chosen,
        split=split,
        samples=samples,
        replicates=replicates,
        seed=seed,
        scale=scale,
        chunk=chunk,
    )
    if workers < 1:
        raise InputError(f"'workers' is {workers}; give at least 1.")
    out = Path(path).absolute()
    if resume and out.exists():
        Store(out).check_configuration(plan.configuration())
        Workplace(out).discard()
        return open_triads(out)
    refuse_existing(out)
    place = Workplace(out)
    with place.locked(resume=resume):
        _begin(plan, place)
        finished = [j for j in range(plan.chunks) if _finished(place, plan, j)]
        rest = [j for j in range(plan.chunks) if j not in set(finished)]
        task = partial(_build, plan, place)
        done = _dispatch(task, rest, min(workers, max(1, len(rest))), scheduler)
        initial = sum(len(plan.span(j)) for j in finished)
        bar = tqdm(
            total=plan.samples,
            initial=initial,
            unit="triad",
            desc=out.name,
            disable=None if progress else True,
        )
        with bar, closing(done):
            for j in done:
                bar.update(len(plan.span(j)))
        _finish(plan, place)
    return open_triads(out)


def _dispatch(
    task: workers.Task, chunks: list[int], count: int, scheduler: str | None
) -> Generator[int]:
    if scheduler is not None and chunks:
        return workers.on_cluster(task, chunks, scheduler)
    if count > 1:
        return workers.on_pool(task, chunks, count)
    return workers.on_this_process(task, chunks)


def _begin(plan: Plan, place: Workplace) -> None:
    """Writes what does not belong to a chunk, or checks that it is of the same configuration."""
    configuration = plan.configuration()
    if place.configuration.exists():
        found = json.loads(place.configuration.read_text(encoding="utf-8"))
        Store.compare(found, configuration, place.folder)
    place.put(layout.metadata_files(plan))
    place.put_json(place.configuration, configuration)


def _build(plan: Plan, place: Workplace, j: int) -> int:
    """Simulates and writes chunk j, then its record: the task of a worker."""
    arrays, failures = plan.simulate(j)
    files = layout.chunk_files(plan, j, arrays)
    place.put(files)
    digests = {key: layout.sha256(data) for key, data in files.items()}
    place.put_json(place.record(j), {"files": digests, "failures": failures})
    return j


def _record(place: Workplace, j: int) -> dict[str, Any]:
    return json.loads(place.record(j).read_text(encoding="utf-8"))


def _finished(place: Workplace, plan: Plan, j: int) -> bool:
    """Whether chunk j is recorded and its files are what the record says."""
    if not place.record(j).exists():
        return False
    files = _record(place, j)["files"]
    return len(files) == len(layout.VARIABLES) and all(
        (place.store / key).is_file() and layout.sha256((place.store / key).read_bytes()) == digest
        for key, digest in files.items()
    )


def _finish(plan: Plan, place: Workplace) -> None:
    """Writes the manifest and gives the store its name."""
    digests = {key: layout.sha256(data) for key, data in layout.metadata_files(plan).items()}
    failures: dict[str, str] = {}
    for j in range(plan.chunks):
        record = _record(place, j)
        digests |= record["files"]
        failures |= record["failures"]
    key, data = layout.manifest_file(plan.configuration(), digests, failures)
    place.put({key: data})
    place.publish()
