r"""How much does the design posterior owe to its prior on φ?

The draws under one prior are weighed by the ratio of another to it,

.. math:: w_s \propto \frac{p'(\varphi^{(s)})}{p(\varphi^{(s)})}
    \quad \text{or} \quad
    w_s \propto P(m \in \mathcal{M}_d \mid z_0^{(s)}, g(\varphi^{(s)}))^{\alpha - 1},

and smoothed by a Pareto tail whose shape :math:`k` says whether to trust them (below 0.7). Raising
a uniform prior to a power changes nothing, so the other priors are Beta distributions on
:math:`U_\varphi`: towards the centre, towards the edges, and a slope up and down along each
parameter. The second form raises the *likelihood* to a power: the target counts :math:`\alpha`
times. Where :math:`p(m \mid \varphi)` has a closed form it is :math:`P(m \in \mathcal{M}_d \mid
\varphi)`, for z0 then is not sampled and tells m almost exactly.

References:
    Detecting and diagnosing prior and likelihood sensitivity with power-scaling (Kallioinen,
    Paananen, Bürkner & Vehtari, 2024)
    Pareto smoothed importance sampling (Vehtari et al., 2024)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import beta
from torch.distributions import Distribution

from ..design import DesignPosterior, Draws
from ..design.posterior.draws import RELIABLE_PARETO_K

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["prior_sensitivity", "sensitivity_table"]

_POWERS = (0.8, 1.25)


def prior_sensitivity(posterior: DesignPosterior, draws: Draws) -> xr.Dataset:
    """The posterior of φ under other priors, from the draws at hand.

    Arguments:
        posterior: The posterior that was sampled.
        draws: Its draws.

    Returns:
        Over (prior, parameter) the `mean` and the `sd` of φ, and `shift`, the change of the mean
        in posterior standard deviations; over (prior) `pareto_k` and `effective_draws`. The first
        prior is the one that was used.
    """
    import xarray as xr
    from arviz_stats.base.array import array_stats

    names = posterior.model.process.names
    phi = draws.phi.reshape(-1, len(names))
    rows = _log_ratios(posterior, draws)
    mean, sd, pareto, effective = [], [], [], []
    for log_ratio in rows.values():
        constant = np.ptp(log_ratio) < 1e-12
        log_weight, k = (
            (np.full(len(phi), -np.log(len(phi))), 0.0)
            if constant
            else array_stats.psislw(-log_ratio)
        )
        weight = np.exp(log_weight - np.logaddexp.reduce(log_weight))
        mean.append(weight @ phi)
        sd.append(np.sqrt(weight @ (phi - mean[-1]) ** 2))
        pareto.append(float(k))
        effective.append(1 / (weight**2).sum())
    table = np.array(mean)
    dims = ("prior", "parameter")
    return xr.Dataset(
        {
            "mean": (dims, table),
            "sd": (dims, np.array(sd)),
            "shift": (dims, (table - table[0]) / np.where(sd[0] > 0, sd[0], 1.0)),
            "pareto_k": ("prior", pareto),
            "effective_draws": ("prior", effective),
        },
        coords={"prior": list(rows), "parameter": list(names)},
        attrs={"target": str(posterior.target), "draws": len(phi)},
    )


def _log_ratios(posterior: DesignPosterior, draws: Draws) -> dict[str, NDArray[np.float64]]:
    """The log-weights of every alternative, by its name."""
    process = posterior.model.process
    phi = draws.phi.reshape(-1, len(process))
    low, width = np.array(process.lower), process.feasible.width
    # of levels, names and logarithms no prior but their own is asked
    real = [j for j, one in enumerate(process.settings) if one.plain]
    v = np.clip((phi - low) / width, 1e-7, 1 - 1e-7)
    own = np.zeros(len(phi))
    if posterior.prior is not None:
        inner = torch.tensor(low + width * v)
        prior = posterior.prior
        law = prior.log_prob if isinstance(prior, Distribution) else prior
        own = law(inner).double().cpu().numpy()
    rows = {"as sampled": np.zeros(len(phi))}
    rows["centre"] = beta.logpdf(v[:, real], 2, 2).sum(axis=1) - own
    rows["edges"] = beta.logpdf(v[:, real], 0.5, 0.5).sum(axis=1) - own
    for j in real:
        name = process.names[j]
        rows[f"low {name}"] = beta.logpdf(v[:, j], 1, 2) - own
        rows[f"high {name}"] = beta.logpdf(v[:, j], 2, 1) - own
    likelihood = _log_likelihood(posterior, phi, draws.z0.reshape(len(phi), -1))
    for alpha in _POWERS:
        rows[f"target^{alpha:g}"] = (alpha - 1) * likelihood
    return rows


@torch.no_grad()
def _log_likelihood(
    posterior: DesignPosterior, phi: NDArray[np.float64], z0: NDArray[np.float64]
) -> NDArray[np.float64]:
    model = posterior.model
    inputs, latent = (model.tensor(values) for values in (phi, z0))
    law = model.property_given_process(inputs)
    if law is None:
        law = model.property_given(latent, model.latent_of_process(inputs))
    return posterior.target.log_probability(law).double().cpu().numpy()


def sensitivity_table(found: xr.Dataset) -> str:
    """The data of `prior_sensitivity` as text, one prior a line."""
    names = [str(name) for name in found["parameter"].values]
    head = "".join(f"{name:>12s}{'shift':>8s}" for name in names)
    lines = [f"{'prior':16s}{head}{'Pareto k':>10s}{'draws':>8s}"]
    for prior in found["prior"].values:
        row = found.sel(prior=prior)
        cells = "".join(
            f"{float(row['mean'].sel(parameter=n)):12.4g}{float(row['shift'].sel(parameter=n)):8.2f}"
            for n in names
        )
        k = float(row["pareto_k"])
        mark = "" if k <= RELIABLE_PARETO_K else "  too different to weigh"
        lines.append(f"{prior:16s}{cells}{k:10.2f}{float(row['effective_draws']):8.0f}{mark}")
    return "\n".join(lines)
