"""Every test starts from the same seeds; tensors are float64 unless a test asks otherwise."""

from collections.abc import Iterator

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pyro
import pytest
import torch

torch.set_num_threads(1)  # two threads wait for each other on a loaded machine


@pytest.fixture(autouse=True)
def _reproducible(request: pytest.FixtureRequest) -> Iterator[None]:
    """Seeds every generator and keeps Pyro's global parameters out of the next test."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    if not isinstance(request.node, pytest.DoctestItem):
        torch.set_default_dtype(torch.float64)
    with pyro.get_param_store().scope():
        yield
    torch.set_default_dtype(torch.float32)
