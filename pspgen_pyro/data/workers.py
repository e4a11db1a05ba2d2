"""Who simulates the chunks: this process, a pool of local processes, or a dask cluster.

Each yields the numbers of finished chunks. A chunk is simulated, encoded and written by one
worker; only its number travels back, so the result does not depend on who did what.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing.connection import wait
from typing import Any

from ..errors import InputError, WorkerError
from ..io.optional import optional

__all__ = ["check_cluster", "die_with_parent", "on_cluster", "on_pool", "on_this_process"]

Task = Callable[[int], int]
_RESTARTS = 3


def on_this_process(task: Task, chunks: Iterable[int]) -> Generator[int]:
    """One chunk after the other."""
    yield from map(task, chunks)


def on_pool(task: Task, chunks: Iterable[int], workers: int) -> Generator[int]:
    """Local processes; a pool that lost a worker is replaced, up to three times.

    Raises:
        WorkerError: If workers keep dying.
    """
    pending = list(chunks)
    for _ in range(_RESTARTS + 1):
        try:
            with closing(_one_pool(task, list(pending), workers)) as finished:
                for j in finished:
                    pending.remove(j)
                    yield j
            return
        except BrokenProcessPool:
            continue
    raise WorkerError(
        f"worker processes died {_RESTARTS + 1} times, as when memory runs out; what was "
        "finished is kept, so resume with fewer workers."
    )


def on_cluster(task: Task, chunks: Iterable[int], address: str) -> Generator[int]:
    """The workers of a `dask.distributed` scheduler, which see the same file system.

    Raises:
        MissingDependencyError: If `distributed` is missing.
        InputError: If no scheduler answers.
        WorkerError: If the cluster loses the workers of a chunk again and again.
    """
    dask, client = _client(address)
    with client:
        futures = client.map(task, list(chunks), pure=False)
        try:
            for future in dask.as_completed(futures, loop=client.loop):
                yield future.result()
        except dask.KilledWorker as error:
            raise WorkerError(
                "the cluster lost the workers of a chunk again and again, as when memory runs "
                "out; what was finished is kept, so resume."
            ) from error
        finally:
            client.cancel(futures)


def check_cluster(address: str) -> None:
    """Raises as `on_cluster` does unless a scheduler answers at this address."""
    if not (isinstance(address, str) and re.fullmatch(r"\w+://[^\s:]+(:\d+)?\S*", address)):
        raise InputError(f"'scheduler' is {address!r:.60}; give its address, as tcp://host:8786.")
    _client(address)[1].close()


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


def _one_pool(task: Task, chunks: list[int], workers: int) -> Generator[int]:
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        futures: list[Future[int]] = [executor.submit(task, j) for j in chunks]
        for future in as_completed(futures):
            yield future.result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Leaves Ctrl-C to the parent, and does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=die_with_parent, daemon=True).start()


def die_with_parent() -> None:
    """Waits for the parent's end and ends this process with it; for a thread of a worker."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
