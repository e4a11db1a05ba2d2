"""What happens to a store when processes die, disks fill and bits flip: done, not imagined.

The reference is one undisturbed run of a small case; after every fault and a resumed run the whole
store must have the same SHA-256.
"""

import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import psutil
import pytest

from pspgen_pyro.chain import Chain, Permeability
from pspgen_pyro.data import Store, Triads, check_store, generate
from pspgen_pyro.data import engine as engine_module
from pspgen_pyro.data.files import Workplace
from pspgen_pyro.data.plan import Plan
from pspgen_pyro.errors import (
    DataError,
    InputError,
    MissingDependencyError,
    StorageError,
    WorkerError,
)
from pspgen_pyro.io import crews
from pspgen_pyro.process import ProcessSpace
from pspgen_pyro.structure import CALIBRATED, PhaseSeparatedField, two_mode_spectrum
from pspgen_pyro.study import Case, Split

ARGUMENTS = {"seed": 9, "chunk": 4}


def toy(phi=12):
    process = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
    chain = Chain(process, PhaseSeparatedField(12, two_mode_spectrum), Permeability())
    return Case("toy", chain, CALIBRATED, {}, {"train": Split(0, phi, 2)})


def run(path, phi=12, **changes):
    return generate(toy(phi), path, **ARGUMENTS | changes)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The digests of undisturbed runs: of the small store, and of one with 24 φ."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for phi in (12, 24):
        run(folder / f"{phi}.zarr", phi)
    return {phi: Store(folder / f"{phi}.zarr").digest() for phi in (12, 24)}


def program(body):
    """A child process that can use this file's names."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    code += f"from test_faults import *\nif __name__ == '__main__':\n    {body}\n"
    # a program started in the background ignores Ctrl-C, and so would its children
    listening = f"import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n{code}"
    return subprocess.Popen([sys.executable, "-c", listening], start_new_session=True)


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def records(path):
    return len(list((Workplace(path).folder / "records").glob("*.json")))


def test_any_number_of_workers_gives_the_same_bytes(undisturbed, tmp_path):
    run(tmp_path / "t.zarr", workers=3)
    assert Store(tmp_path / "t.zarr").digest() == undisturbed[12]


def test_a_dask_cluster_gives_the_same_bytes(undisturbed, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        run(tmp_path / "t.zarr", scheduler=cluster.scheduler_address)
    assert Store(tmp_path / "t.zarr").digest() == undisturbed[12]


def test_without_dask_the_sentence_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match=r"pspgen-pyro\[cluster\]"):
        run(tmp_path / "t.zarr", scheduler="tcp://localhost:1")


def kill_at_random_moments(moments, folder, undisturbed):
    """Forks a run, kills it after a random time, resumes it; returns the chunks then done."""
    start = time.monotonic()
    run(folder / "timed.zarr", 24)
    duration = time.monotonic() - start
    done = []
    for i, delay in enumerate(np.random.default_rng(0).uniform(0.0, duration, moments)):
        path = folder / f"{i}.zarr"
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                run(path, 24)
            os._exit(0)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        done.append(records(path) if not path.exists() else 12)
        if path.exists():
            assert check_store(path).sound
        run(path, 24, resume=True)
        assert Store(path).digest() == undisturbed, f"after a kill at {delay:.3f} s"
        assert not Workplace(path).folder.exists()
    return done


KILLS = "print(json.dumps(kill_at_random_moments({moments}, Path({folder!r}), {digest!r})))"


@pytest.mark.parametrize(
    "moments", [2, pytest.param(50, marks=pytest.mark.slow)], ids=["two", "fifty"]
)
def test_a_run_killed_at_random_moments_resumes_to_the_same_bytes(moments, undisturbed, tmp_path):
    body = KILLS.format(moments=moments, folder=str(tmp_path), digest=undisturbed[24])
    assert program(body).wait(timeout=500) == 0


def test_when_the_parent_is_killed_its_workers_go_and_the_run_can_be_resumed(
    undisturbed, tmp_path
):
    path = tmp_path / "t.zarr"
    parent = program(f"run({str(path)!r}, 24, workers=2)")
    wait_for(lambda: records(path) > 2)
    workers = psutil.Process(parent.pid).children(recursive=True)
    parent.kill()
    parent.wait()
    assert workers
    assert not psutil.wait_procs(workers, timeout=10)[1]
    assert not path.exists()
    run(path, 24, resume=True)
    assert Store(path).digest() == undisturbed[24]


def test_a_killed_worker_is_replaced(undisturbed, tmp_path):
    path = tmp_path / "t.zarr"

    def kill_one():
        wait_for(lambda: records(path) > 2)
        active_children()[0].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    run(path, 24, workers=2)
    killer.join()
    assert Store(path).digest() == undisturbed[24]


@pytest.mark.slow
def test_workers_killed_at_random_moments_change_no_byte(undisturbed, tmp_path):
    rng, killed = np.random.default_rng(3), []

    def kill_one(delay):
        wait_for(active_children)
        time.sleep(delay)
        for child in active_children()[:1]:
            child.kill()
            killed.append(delay)

    for i in range(50):
        path = tmp_path / f"{i}.zarr"
        killer = threading.Thread(target=kill_one, args=(rng.uniform(0.0, 3.0),))
        killer.start()
        run(path, 24, workers=2)
        killer.join()
        assert Store(path).digest() == undisturbed[24]
    assert len(killed) > 12


class Deadly(PhaseSeparatedField):
    """A structure whose simulation ends its process, as the kernel does when memory runs out."""

    def __call__(self, phi, seeds):
        os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_keep_dying_end_in_one_error_that_says_resume(tmp_path):
    body = f"dying({str(tmp_path / 't.zarr')!r})"
    assert program(body).wait(timeout=100) == 0
    assert not (tmp_path / "t.zarr").exists()


def dying(path):
    chain = Chain(toy().process, Deadly(12, two_mode_spectrum), Permeability())
    case = Case("toy", chain, CALIBRATED, {}, toy().splits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crews, "_RESTARTS", 1)
        with pytest.raises(WorkerError, match="resume"):
            generate(case, path, workers=2, **ARGUMENTS)


def test_functions_of_a_notebook_are_not_sent_to_workers_and_the_sentence_says_where_to_put_them():
    lines = "def own(j): return j\nlist(Crew(2).perform(own, range(3)))"
    body = f"from pspgen_pyro.io.crews import Crew\n{lines}"
    found = subprocess.run(
        [sys.executable, "-c", body], capture_output=True, text=True, timeout=100
    )
    assert re.search("InputError: worker processes cannot find .* file", found.stderr)


UNGUARDED = """
from functools import partial
import numpy as np
from pspgen_pyro.io.crews import Crew
print("run", flush=True)
list(Crew(2).perform(partial(np.add, np.zeros(1_000_000)), range(3)))
"""


def test_workers_called_from_the_top_level_of_a_script_end_in_one_error_that_says_so(tmp_path):
    """What a worker is told is longer than a pipe, so that a worker that dies could block all."""
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    found = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100)
    assert found.returncode == 1
    # this process and each worker, unless the first to die takes the other with it
    assert found.stdout.count("run") in (2, 3)
    assert re.search("^pspgen_pyro.errors.WorkerError: .*__main__", found.stderr, re.MULTILINE)


def test_ctrl_c_leaves_a_store_that_can_be_resumed(undisturbed, tmp_path):
    path = tmp_path / "t.zarr"
    child = program(f"run({str(path)!r}, 24, workers=2)")
    wait_for(lambda: records(path) > 2)
    os.killpg(child.pid, signal.SIGINT)
    assert child.wait(timeout=60) != 0
    assert not path.exists()
    assert 2 < records(path) < 12
    run(path, 24, resume=True)
    assert Store(path).digest() == undisturbed[24]


def begun_and_slept(path):
    Path(path).touch()
    time.sleep(300)


@pytest.mark.slow
def test_ctrl_c_waits_for_no_task_that_is_under_way(tmp_path):
    paths = [str(tmp_path / name) for name in "ab"]
    child = program(f"list(crews.Crew(2).perform(begun_and_slept, {paths}))")
    wait_for(lambda: all(os.path.exists(path) for path in paths))
    # to this process only; a terminal would send it to its workers too
    os.kill(child.pid, signal.SIGINT)
    assert child.wait(timeout=60) != 0


def test_a_second_run_on_the_same_folder_is_refused(undisturbed, tmp_path):
    path = tmp_path / "t.zarr"
    with Workplace(path).locked(resume=False):
        for resume in (False, True):
            with pytest.raises(InputError, match="another run"):
                run(path, resume=resume)
    with pytest.raises(InputError, match="resume"):
        run(path)
    run(path, resume=True)
    assert Store(path).digest() == undisturbed[12]


def test_an_interrupted_run_of_another_configuration_is_not_resumed(tmp_path):
    path = tmp_path / "t.zarr"
    interrupt(path, after=3)
    with pytest.raises(DataError, match="another configuration"):
        run(path, seed=10, resume=True)
    with pytest.raises(DataError, match="resume"):
        Triads.open(path)


def interrupt(path, after):
    """Stops a run by an exception once some chunks are done."""
    simulate, left = Plan.simulate, iter(range(after))

    def stopping(plan, j):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return simulate(plan, j)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Plan, "simulate", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(path)


def test_a_finished_chunk_is_not_simulated_again_and_a_torn_one_is(undisturbed, tmp_path):
    path = tmp_path / "t.zarr"
    interrupt(path, after=4)
    (Workplace(path).store / "x" / "c.1.0.0").write_bytes(b"torn")
    Workplace(path).record(2).unlink()
    simulated = []
    with pytest.MonkeyPatch.context() as patch:
        simulate = Plan.simulate
        patch.setattr(Plan, "simulate", lambda p, j: simulated.append(j) or simulate(p, j))
        run(path, resume=True)
    assert simulated == [1, 2, 4, 5]
    assert Store(path).digest() == undisturbed[12]


@contextlib.contextmanager
def full_after(writes):
    """A disk that has room for so many files: the next one fails as a real one does."""
    sync, left = os.fsync, iter(range(writes))

    def fsync(descriptor):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield


@pytest.mark.parametrize("writes", [0, 3, 14, 40, 75, 78])
def test_a_full_disk_is_a_storage_error_with_path_and_bytes(writes, undisturbed, tmp_path):
    """Wherever it strikes, nothing half-written is visible, and there is something to resume."""
    path = tmp_path / "t.zarr"
    with full_after(writes), pytest.raises(StorageError, match=r"t\.zarr.*\(\d+ bytes\)"):
        run(path)
    assert not path.exists()
    assert not list(Workplace(path).temporary.iterdir())
    run(path, resume=True)
    assert Store(path).digest() == undisturbed[12]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 160 kB; where none can be mounted, a folder that behaves like one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    with contextlib.nullcontext() if mounted else full_after(40):
        yield folder
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_really_full_disk_leaves_nothing_half_written(workers, small_disk):
    path = small_disk / "t.zarr"
    with pytest.raises(StorageError, match=r"t\.zarr.*\(\d+ bytes\)"):
        run(path, 100, workers=workers)
    assert not path.exists()
    for record in (Workplace(path).folder / "records").iterdir():
        files = json.loads(record.read_text())["files"]
        store = Store(Workplace(path).store)
        assert all(store.digest(key) == entry["sha256"] for key, entry in files.items())


@pytest.mark.parametrize("damage", ["flipped bit", "truncated", "missing"])
def test_a_damaged_chunk_is_found_and_only_that_chunk_is_rebuilt(damage, undisturbed, tmp_path):
    path = tmp_path / "t.zarr"
    run(path)
    chunk = path / "x" / "c.3.0.0"
    data = bytearray(chunk.read_bytes())
    if damage == "flipped bit":
        data[len(data) // 2] ^= 4
        chunk.write_bytes(data)
    elif damage == "truncated":
        chunk.write_bytes(data[:-5])
    else:
        chunk.unlink()
    with pytest.raises(DataError, match=r"x/c\.3\.0\.0 .*verify .* --repair"):
        Triads.open(path).data.load()
    others = {key: (path / key).stat().st_mtime_ns for key in Store(path).names()}
    report = check_store(path)
    assert (report.sound, report.damaged, report.chunks) == (False, ("x/c.3.0.0",), (3,))

    simulated, simulate = [], Plan.simulate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Plan, "simulate", lambda p, j: simulated.append(j) or simulate(p, j))
        assert check_store(path, repair=True, source=toy()).sound
    assert simulated == [3]
    assert Store(path).digest() == undisturbed[12]
    for key, time_of_change in others.items():
        assert key == "x/c.3.0.0" or (path / key).stat().st_mtime_ns == time_of_change


def test_the_store_appears_only_when_it_is_complete(monkeypatch, tmp_path):
    path, seen = tmp_path / "t.zarr", []
    publish = Workplace.publish

    def watched(place):
        seen.append((path.exists(), (place.store / "manifest" / "zarr.json").exists()))
        publish(place)

    monkeypatch.setattr(engine_module.Workplace, "publish", watched)
    run(path)
    assert seen == [(False, True)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.zarr"]
