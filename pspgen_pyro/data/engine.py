"""Writing a triads store: chunk by chunk, interruptible, the same bytes whoever writes."""

from __future__ import annotations

import shutil
from contextlib import closing
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..chain import Chain
from ..errors import InputError
from ..io.crews import Crew
from ..io.publish import refuse_existing
from ..io.validation import Record, check_flags, check_instance, local_path, read
from ..study import Case
from ..study import case as study_case
from .building import build
from .files import Workplace
from .manifest import Entry, Manifest
from .plan import Plan, make_plan
from .store import Store
from .triads import Triads

__all__ = ["generate"]


class _Finished(Record):
    """A finished chunk: its files, and the reason of each failed sample."""

    files: dict[str, Entry]
    failures: dict[str, str]


def generate(
    source: Case | Chain | str,
    path: str | Path,
    *,
    samples: int | None = None,
    replicates: int | None = None,
    points: int | None = None,
    seed: int = 0,
    workers: int = 1,
    split: str = "train",
    scale: float = 1.0,
    chunk: int | None = None,
    resume: bool = False,
    scheduler: str | None = None,
    progress: bool = False,
) -> Triads:
    """Simulates triads (φ, x, m) into a Zarr store.

    The store appears under `path` when it is complete and on disk, not before; until then it grows
    in `<path>.partial`, and `resume` goes on from there after an interruption of any kind. Its
    bytes depend on the arguments in the first list only.

    Arguments:
        source: A case of the study, its name, or any chain.
        path: The store to make.
        samples: The *total* number of triads, φ times replicates; the case's own if None.
        replicates: The number of triads a φ; the case's own if None, of a chain 1.
        points: The number of φ along each axis of a reference grid; the case's own if None.
        seed: The root of all random numbers.
        split: "train", "test" or "reference"; no two share a random number.
        scale: Multiplies the case's number of φ (of the reference grid: of replicates).
        chunk: The number of samples a chunk.

    Other arguments:
        workers: The number of local processes; each needs to import the functions of a chain.
        resume: Whether to go on with an interrupted run of the same configuration.
        scheduler: The address of a dask scheduler to use instead of local processes.
        progress: Whether to show the progress, the rate and the time left on standard error.

    Returns:
        The triads, opened by `Triads.open`.

    Raises:
        InputError: If the arguments do not fit together, `path` exists, or another run writes it.
        DataError: If there is something else to resume than this.
        StorageError: If a file cannot be written.
        WorkerError: If worker processes keep dying.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> triads = generate("case1", f"{folder}/triads.zarr", samples=8, seed=1)
        >>> len(triads), triads.schema.property_names
        (8, ('horizontal', 'vertical'))
    """
    source = study_case(source) if isinstance(source, str) else source
    check_instance((Case, Chain), "a case of the study, its name, or a Chain", source=source)
    plan = make_plan(
        source,
        split=split,
        samples=samples,
        replicates=replicates,
        points=points,
        seed=seed,
        scale=scale,
        chunk=chunk,
    )
    check_flags(resume=resume, progress=progress)
    out = local_path(path, "path").absolute()
    if resume and out.exists():
        Store(out).check_configuration(plan.configuration())
        Workplace(out).discard()
        return Triads.open(out)
    crew = Crew(workers, scheduler)
    if not crew.alone:
        _check_importable(plan)
    refuse_existing(out)
    _check_room(plan, out)
    place = Workplace(out)
    with place.locked(resume=resume):
        _begin(plan, place)
        _simulate(plan, place, crew, progress)
        _finish(plan, place)
    return Triads.open(out)


def _simulate(plan: Plan, place: Workplace, crew: Crew, progress: bool) -> None:
    """Makes every chunk that is not finished."""
    spans = [plan.layout.span(j) for j in range(plan.layout.chunks)]
    rest = [j for j in range(len(spans)) if not _finished(place, plan, j)]
    initial = plan.samples - sum(len(spans[j]) for j in rest)
    done = crew.perform(partial(build, plan, place), rest)
    bar = tqdm(
        total=plan.samples,
        initial=initial,
        unit="triad",
        desc=place.out.name,
        disable=None if progress else True,
    )
    with bar, closing(done):
        for j, _ in done:
            bar.update(len(spans[j]))


def _check_room(plan: Plan, out: Path) -> None:
    """Refuses a store that does not fit the disk, though its bytes be packed to an eighth."""
    schema, images = plan.chain.schema, plan.chain.schema.microstructure
    pixels = 0 if images is None else images.pixels * np.dtype(images.dtype).itemsize
    numbers = len(schema.process) + 2 * len(schema.properties)
    needs = plan.samples * (pixels + 8 * numbers) / 8
    if needs > (free := shutil.disk_usage(out.parent).free):
        raise InputError(
            f"{plan.samples} triads need at least {needs / 2**30:.3g} GiB of disk, and "
            f"{str(out.parent)!r} has {free / 2**30:.3g} free; give fewer 'samples', or less of "
            "what multiplies them."
        )


def _check_importable(plan: Plan) -> None:
    """Refuses a chain that cannot be sent to another process."""
    try:
        ForkingPickler.dumps(plan.chain)
    except Exception as error:
        raise InputError(
            f"'source' cannot be sent to worker processes ({error}); make its functions of a "
            "module, no lambdas or functions inside others, or use one worker."
        ) from error


def _begin(plan: Plan, place: Workplace) -> None:
    """Writes what does not belong to a chunk, or checks that it is of the same configuration."""
    configuration = plan.configuration()
    if place.configuration.exists():
        Store.compare(place.read_json(place.configuration), configuration, place.folder)
    place.put(plan.layout.metadata_files())
    place.put_json(place.configuration, configuration)


def _record(place: Workplace, j: int) -> _Finished:
    path = place.record(j)
    return read(_Finished, place.read_json(path), str(path))


def _finished(place: Workplace, plan: Plan, j: int) -> bool:
    """Whether chunk j is recorded and its files are what the record says."""
    if not place.record(j).exists():
        return False
    files = _record(place, j).files
    store = Store(place.store)
    return len(files) == len(plan.layout.variables) and all(
        store.digest(key) == entry.sha256 for key, entry in files.items()
    )


def _finish(plan: Plan, place: Workplace) -> None:
    """Writes the manifest and gives the store its name."""
    files = {key: Entry.of(data) for key, data in plan.layout.metadata_files().items()}
    failures: dict[str, str] = {}
    for j in range(plan.layout.chunks):
        record = _record(place, j)
        files |= record.files
        failures |= record.failures
    manifest = Manifest(
        configuration=plan.configuration(), files=dict(sorted(files.items())), failures=failures
    )
    place.put(dict([manifest.file()]))
    place.publish()
