"""Shared data: one small triads set, simulated once, and one model trained on it for a moment."""

import pytest
import torch

from pspgen_pyro import Batches, PSPGen, fit, generate
from pspgen_pyro.design import Support
from pspgen_pyro.runs import Run, describe, process_of, save_run
from pspgen_pyro.training.stages import PriorStage, PropertyStage


@pytest.fixture(scope="session")
def toy_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("triads") / "triads.zarr"
    generate("case1", path, samples=240, seed=3)
    return path


@pytest.fixture(scope="session")
def toy_triads(toy_path):
    from pspgen_pyro import open_triads

    return open_triads(toy_path).load()


@pytest.fixture(scope="session")
def toy_run(toy_triads, tmp_path_factory):
    """The folder of a model trained for a moment on the toy triads, in single precision."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    torch.manual_seed(0)
    model = PSPGen(process_of(toy_triads), (36, 36)).float()
    stages = {
        "property_stage": PropertyStage(steps=100, refit=100),
        "prior_stage": PriorStage(steps=200),
    }
    data = Batches.from_dataset(toy_triads)
    history = fit(model, data, epochs=4, batch_size=50, progress=False, **stages)
    story = {"settings": {"epochs": 4}}
    support = Support.from_dataset(toy_triads)
    save_run(Run(model, history, describe(toy_triads), story, support), folder)
    return folder
