"""Shared data: one small triads set, simulated once, and one model trained on it for a moment."""

import gc
from functools import partial

import pytest

# the package is imported where it is used: the process that hands out the tests needs none of it

# the libraries hold a million objects: looking through them took a tenth of the time
gc.set_threshold(100_000, 50, 1000)


@pytest.fixture(scope="session")
def toy_path(tmp_path_factory):
    from pspgen_pyro import generate

    path = tmp_path_factory.mktemp("triads") / "triads.zarr"
    generate("case1", path, samples=240, seed=3)
    return path


@pytest.fixture(scope="session")
def toy_triads(toy_path):
    from pspgen_pyro import Triads

    triads = Triads.open(toy_path)
    return Triads(triads.schema, triads.data.load())


@pytest.fixture(scope="session")
def toy_run(toy_triads, tmp_path_factory):
    """The folder of a model trained for a moment on the toy triads, in single precision."""
    from pspgen_pyro import fit

    few = {"reader_steps": 100, "prior_steps": 100, "epochs": 4, "batch_size": 50}
    run = fit(toy_triads, progress=False, **few)
    return run.save(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def few_candidates(monkeypatch):
    """Generated images are the best of two instead of 64, where a test is about something else."""
    from pspgen_pyro.diagnosis.solved import materials_at

    few = partial(materials_at, candidates=2)
    for place in ("diagnosis.generated", "report.sections"):
        monkeypatch.setattr(f"pspgen_pyro.{place}.materials_at", few)


@pytest.fixture
def short_refinement(monkeypatch):
    """A closed loop ends with 20 steps of learning, where a test is about something else."""
    from pspgen_pyro.design import Refinement, design_in_loop

    monkeypatch.setitem(design_in_loop.__kwdefaults__, "refine", Refinement(steps=20))
