r"""Simulation-based calibration of the design posterior.

In a trial the truth and the posterior draws have one distribution given the datum, so the
randomised rank of any quantity :math:`f(\varphi, z_0)` of the truth among its draws is uniform.
Ranked here: every process parameter, :math:`\lVert z_0 \rVert`, and the log-likelihood of the
trial's own datum. The last one matters: draws from the prior, which ignore the datum, give uniform
ranks for the other two.

References:
    Validating Bayesian Inference Algorithms with Simulation-Based Calibration (Talts et al., 2018)
    Simulation-Based Calibration Checking for Bayesian Computation: The Choice of Test Quantities
    Shapes Sensitivity (Modrák et al., 2023)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .ranks import randomised_ranks
from .trials import Trials
from .uniformity import Uniformity, uniformity

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["sbc", "sbc_verdicts"]


def sbc(trials: Trials) -> xr.DataTree:
    """The ranks of the truths among their posterior draws, ready for ArviZ.

    Arguments:
        trials: Truths and draws.

    Returns:
        A tree with the group `prior_sbc`: one variable for every process parameter, `norm_z0` and
        `log_likelihood`, over the dimension `sample`; and the group `constant_data` with the cell
        of every trial. `arviz_plots.plot_ecdf_pit(tree, sample_dims=["sample"])` draws it.

    Example:
        >>> import torch
        >>> from pspgen_pyro import ProcessSpace, PSPGen, Schema
        >>> from pspgen_pyro.diagnosis import Partition, simulate_trials
        >>> process = ProcessSpace(("a", "b"), (0.0, 0.0), (1.0, 1.0))
        >>> model = PSPGen(Schema(process=process, properties=("p", "q")))
        >>> model.standardise_by(torch.randn(100, 2))
        >>> cells = Partition(((0.0,), (0.0,)))
        >>> ignore = lambda model, cells, c, n, seed: (np.zeros((n, 20, 2)), np.zeros((n, 20, 2)))
        >>> trials = simulate_trials(model, cells, simulations=20, draws=3, sampler=ignore)
        >>> list(sbc(trials)["prior_sbc"].data_vars)
        ['a', 'b', 'norm_z0', 'log_likelihood']
    """
    import arviz_base

    names = trials.model.process.names
    pairs = {name: (trials.phi[:, j], trials.drawn_phi[..., j]) for j, name in enumerate(names)}
    pairs["norm_z0"] = (
        np.linalg.norm(trials.z0, axis=-1),
        np.linalg.norm(trials.drawn_z0, axis=-1),
    )
    pairs["log_likelihood"] = (
        trials.log_likelihood(trials.phi, trials.z0),
        trials.log_likelihood(trials.drawn_phi, trials.drawn_z0),
    )
    ranks = {
        name: randomised_ranks(truth, drawn, seed=trials.seed + j)
        for j, (name, (truth, drawn)) in enumerate(pairs.items())
    }
    return arviz_base.from_dict(
        {"prior_sbc": ranks, "constant_data": {"cell": trials.cell}},
        sample_dims=["sample"],
        dims={"cell": ["sample"]},
        attrs={"/": {"simulations": len(trials), "draws": len(trials.drawn_phi)}},
    )


def sbc_verdicts(tree: xr.DataTree) -> dict[str, Uniformity]:
    """The uniformity of every variable in the group `prior_sbc`, by name."""
    ranks = tree["prior_sbc"].to_dataset()
    return {str(name): uniformity(values.values) for name, values in ranks.items()}
