"""What happens when a dask cluster of separate processes dies, in part or as a whole.

The reference is one undisturbed run in this process; whatever dies, the store is its bytes, or
there is an error and the run can be resumed to them.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from test_faults import records, run, wait_for

import pspgen_pyro as psp
from pspgen_pyro.data import Store, check_store, engine, generate
from pspgen_pyro.data.building import build
from pspgen_pyro.data.files import Workplace
from pspgen_pyro.errors import InputError, WorkerError

# triads of twelve pixels a side in chunks of two settings: as many as twelve kills need
PHI, CHUNKS = 800, 400


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed") / "t.zarr"
    run(path, PHI)
    return Store(path).digest()


def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """A scheduler and workers of one thread, each with a nanny, all of them processes."""

    def __init__(self, workers, number=None):
        self.number = number or port()
        self.address = f"tcp://127.0.0.1:{self.number}"
        self.scheduler = self._start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", str(self.number), "--no-dashboard"
        )
        wait_for(self._answers)
        self.nannies = [
            self._start("dask_worker", self.address, "--nthreads", "1", "--no-dashboard")
            for _ in range(workers)
        ]

    def _start(self, program, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.{program}", *arguments]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.number)) == 0

    def worker(self, k):
        """The process that works for the k-th nanny."""
        children = psutil.Process(self.nannies[k].pid).children(recursive=True)
        return next(p for p in children if "spawn_main" in " ".join(p.cmdline()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (*self.nannies, self.scheduler):
            family = [psutil.Process(process.pid)] if process.poll() is None else []
            for one in [
                p for parent in family for p in (*parent.children(recursive=True), parent)
            ]:
                one.kill()
            process.wait()


def in_a_thread(function, *arguments, **options):
    """Calls a function beside the test; what it raises is in the list."""
    raised = []

    def call():
        try:
            function(*arguments, **options)
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    return thread, raised


@pytest.mark.slow
def test_every_one_of_four_workers_may_die_three_times(undisturbed, tmp_path):
    from distributed import LocalCluster
    from distributed.core import Status

    def works(nanny):
        return nanny.process is not None and nanny.process.status == Status.running

    def gone(nanny):
        # it gives up where a worker dies before it has begun
        return nanny.status in (Status.closing, Status.closed, Status.failed)

    path, rng, killed = tmp_path / "t.zarr", np.random.default_rng(0), []
    with LocalCluster(n_workers=4, threads_per_worker=1, dashboard_address=None) as cluster:
        nannies = list(cluster.workers.values())
        thread, raised = in_a_thread(run, path, PHI, scheduler=cluster.scheduler_address)
        for k in rng.permutation(np.repeat(np.arange(4), 3)):
            nanny = nannies[k]
            wait_for(lambda n=nanny: works(n) or gone(n) or not thread.is_alive(), 240)
            time.sleep(rng.uniform(0, 1.5))
            # it may just be replacing its worker
            worker = None if nanny.process is None else nanny.process.process
            if thread.is_alive() and worker is not None and worker.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)
                    killed.append(int(k))
        # one that joins late
        cluster.scale(5)
        thread.join(240)
    print(f"killed {killed}, {records(path) if raised else CHUNKS} of {CHUNKS} chunks, {raised}")
    assert killed
    assert all(isinstance(error, WorkerError) for error in raised)
    if raised:
        run(path, PHI, resume=True)
    assert Store(path).digest() == undisturbed
    assert not Workplace(path).folder.exists()


@pytest.mark.slow
def test_a_scheduler_that_dies_is_one_sentence_and_another_goes_on(undisturbed, tmp_path):
    path = tmp_path / "t.zarr"
    with Cluster(2) as cluster:
        thread, raised = in_a_thread(run, path, PHI, scheduler=cluster.address)
        wait_for(lambda: records(path) > 4)
        with pytest.raises(InputError, match="written by another run"):
            run(path, PHI, scheduler=cluster.address, resume=True)
        cluster.scheduler.kill()
        thread.join(60)
        assert not thread.is_alive()
        assert "the scheduler tcp://" in str(raised[0])
        assert "resume" in str(raised[0])
        done = records(path)
    assert 4 < done < CHUNKS
    with Cluster(1, cluster.number) as again:
        run(path, PHI, scheduler=again.address, resume=True)
    assert Store(path).digest() == undisturbed


@pytest.mark.slow
def test_a_worker_that_was_given_up_and_returns_changes_nothing(undisturbed, tmp_path):
    path = tmp_path / "t.zarr"
    with Cluster(2) as cluster:
        thread, raised = in_a_thread(run, path, PHI, scheduler=cluster.address)
        wait_for(lambda: records(path) > 4)
        late = cluster.worker(0)
        late.suspend()
        os.kill(cluster.nannies[0].pid, signal.SIGKILL)
        late.resume()
        thread.join(120)
        assert not thread.is_alive()
        assert raised == []
    assert check_store(path).sound
    assert Store(path).digest() == undisturbed


def test_a_late_worker_leaves_the_folder_of_another_run_alone(tmp_path):
    """The same name, another seed: what the first run's worker still computes is not written."""
    from test_faults import ARGUMENTS, toy

    place = Workplace(tmp_path / "t.zarr")
    plans = [engine.make_plan(toy(), **_whole(ARGUMENTS | {"seed": seed})) for seed in (1, 2)]
    with place.locked(resume=False):
        engine._begin(plans[1], place)
        build(plans[0], place, 0)
        assert records(place.out) == 0
        build(plans[1], place, 0)
        assert records(place.out) == 1
    place.discard()
    build(plans[1], place, 1)
    assert not place.folder.exists()


def _whole(given):
    rest = {"split": "train", "samples": None, "replicates": None, "points": None, "scale": 1.0}
    return rest | given


@pytest.mark.slow
def test_members_of_an_ensemble_learn_the_same_on_a_cluster(tmp_path):
    triads = generate("case1", tmp_path / "t.zarr", samples=60, seed=1)
    short = {"epochs": 1, "reader_steps": 5, "prior_steps": 20, "progress": False, "members": 2}
    alone = psp.fit(triads, **short)
    with Cluster(2) as cluster:
        beside = psp.fit(triads, scheduler=cluster.address, **short)
    for one, other in zip(alone.members, beside.members, strict=True):
        for name, weights in one.state_dict().items():
            assert weights.equal(other.state_dict()[name]), name


def test_a_cluster_for_one_member_is_refused(tmp_path):
    triads = generate("case1", tmp_path / "t.zarr", samples=24, seed=1)
    with pytest.raises(InputError, match="'members' is 1"):
        psp.fit(triads, scheduler="tcp://127.0.0.1:1", progress=False)
