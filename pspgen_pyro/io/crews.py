"""Who does the work: this process, a pool of local processes, or a dask cluster.

A task is given once to each worker, and then one item after the other; what comes back does not
depend on who did what, nor on who died meanwhile. So a task that writes does so file by file,
each whole or not at all and the same whoever writes it.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from multiprocessing.synchronize import Event
from typing import Any, ClassVar

from ..errors import InputError, WorkerError
from .optional import optional
from .validation import check_whole

__all__ = ["Crew"]

_RESTARTS = 3
_AGAIN = "what was finished in a folder is kept, so go on there with 'resume'"
_UNGUARDED = (
    "the worker processes died before they began. A worker begins by running the script that "
    "called it, so keep what the script does under 'if __name__ == \"__main__\":', or give "
    "workers=1."
)


@dataclass(frozen=True)
class Crew:
    """Those who work.

    Arguments:
        workers: How many local processes; with one, this one does everything.
        scheduler: The address of a dask scheduler to use instead; None for none.

    Raises:
        InputError: If `workers` is no positive number, or no scheduler answers.
        MissingDependencyError: If there is a scheduler and `distributed` is missing.
    """

    workers: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        check_whole(workers=self.workers)
        address = self.scheduler
        if address is None:
            return
        if not (isinstance(address, str) and re.fullmatch(r"\w+://[^\s:]+(:\d+)?\S*", address)):
            raise InputError(
                f"'scheduler' is {address!r:.60}; give its address, as tcp://host:8786."
            )
        _client(address)[1].close()

    @property
    def alone(self) -> bool:
        """Whether nobody but this process works."""
        return self.workers == 1 and self.scheduler is None

    def perform[Item, Result](
        self, task: Callable[[Item], Result], items: Iterable[Item]
    ) -> Generator[tuple[Item, Result]]:
        """Does a task for every item, and yields each with what came back as soon as it is done.

        Arguments:
            task: What to do; unless this process is alone, something that can be sent to others.
            items: What to do it for, likewise.

        Raises:
            InputError: If no scheduler answers, or the task is in no file that workers can import.
            WorkerError: If workers keep dying, or cannot begin, or the scheduler dies.
        """
        items = list(items)
        count = min(self.workers, len(items))
        if self.scheduler is not None and items:
            done = _on_cluster(task, items, self.scheduler)
        elif count > 1:
            done = _on_pools(task, items, count)
        else:
            done = ((j, task(item)) for j, item in enumerate(items))
        with closing(done):
            for j, result in done:
                yield items[j], result


class _Whole(ForkingPickler):
    """A pickler whose bytes hold everything: torch's own leave tensors in memory that one reader
    can take once."""

    _extra_reducers: ClassVar[dict[type, Any]] = {}


def _on_pools(
    task: Callable[[Any], Any], items: Sequence[Any], workers: int
) -> Generator[tuple[int, Any]]:
    """A pool that lost a worker is replaced, up to three times."""
    pending = list(range(len(items)))
    for _ in range(_RESTARTS + 1):
        try:
            with closing(_on_pool(task, items, list(pending), workers)) as finished:
                for j, result in finished:
                    pending.remove(j)
                    yield j, result
            return
        except BrokenProcessPool:
            continue
    raise WorkerError(
        f"worker processes died {_RESTARTS + 1} times, as when memory runs out; {_AGAIN} and "
        "fewer workers."
    )


def _on_pool(
    task: Callable[[Any], Any], items: Sequence[Any], pending: Sequence[int], workers: int
) -> Generator[tuple[int, Any]]:
    context, before = multiprocessing.get_context("spawn"), set(multiprocessing.active_children())
    begun = context.Event()
    # with every item: as an argument of a worker's start it blocks this process for ever if the
    # worker dies before it has read it
    told = bytes(_Whole.dumps(task))
    executor = ProcessPoolExecutor(
        min(workers, len(pending)), mp_context=context, initializer=_start, initargs=(begun,)
    )
    finished = False
    try:
        futures = {executor.submit(_work, told, items[j]): j for j in pending}
        crew = set(multiprocessing.active_children()) - before
        for future in as_completed(futures):
            yield futures[future], future.result()
        finished = True
    except BrokenProcessPool as error:
        executor.shutdown(wait=True)
        # below zero: killed
        if not begun.is_set() and any((process.exitcode or 0) > 0 for process in crew):
            raise WorkerError(_UNGUARDED) from error
        raise
    finally:
        if not finished:
            # after Ctrl-C or an error nobody waits for what is under way
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
        executor.shutdown(wait=True, cancel_futures=True)


_task: list[Callable[[Any], Any]] = []


def _start(begun: Event) -> None:
    """Leaves Ctrl-C to the parent, and does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    begun.set()


def _work(told: bytes, item: Any) -> Any:
    if not _task:
        try:
            _task.append(_Whole.loads(told))  # pyright: ignore
        except (AttributeError, ImportError) as error:
            # as of a notebook, whose functions are in no file
            raise InputError(
                f"worker processes cannot find what they are to do ({error}); put functions of "
                "your own into a file and import them, or give workers=1."
            ) from error
    return _task[0](item)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _on_cluster(
    task: Callable[[Any], Any], items: Sequence[Any], address: str
) -> Generator[tuple[int, Any]]:
    """The workers of a `dask.distributed` scheduler, which see the same file system."""
    dask, client = _client(address)
    lost = WorkerError(
        f"the scheduler {address} went away; {_AGAIN} as soon as one answers, or without."
    )
    with client:
        futures = client.map(task, items, pure=False)
        numbers = {future.key: j for j, future in enumerate(futures)}
        try:
            for future in dask.as_completed(futures, loop=client.loop):
                result = future.result()
                yield numbers.pop(future.key), result
        except dask.KilledWorker as error:
            raise WorkerError(
                "the cluster lost the workers of a task again and again, as when memory runs "
                f"out; {_AGAIN}."
            ) from error
        except (dask.CancelledError, dask.comm.CommClosedError) as error:
            raise lost from error
        finally:
            if client.status == "running":
                client.cancel(futures)
    # a client that is cut off may also just stop
    if numbers:
        raise lost


def _client(address: str) -> tuple[Any, Any]:
    """The library, and a client of the scheduler at this address."""
    dask = optional("distributed", "A dask scheduler", "cluster")
    try:
        return dask, dask.Client(address, timeout="3s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"'scheduler' is {address!r}, where no scheduler answers ({error}); start one, or "
            "leave it out."
        ) from error
