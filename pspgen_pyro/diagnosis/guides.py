r"""Does the guide agree with the prior *given φ*?

Training shows the decoders only :math:`z_0 \sim q(z_0 \mid x, m, \varphi)`, and every probability
integrates over :math:`z_0 \sim p(z_0 \mid \varphi)`. The two agree if the aggregate of the guide
over real materials of one :math:`\varphi` is the prior,

.. math:: \int q(z_0 \mid x, m, \varphi)\, p(x, m \mid \varphi)\, dx\, dm = p(z_0 \mid \varphi).

The marginal over all :math:`\varphi` can agree while this fails, because shifts and widths of
opposite sign cancel. So the process space is cut into cells of equal counts, and in each cell the
aggregate's mean and variance, in units of the prior there, stand beside the noise that :math:`n`
materials leave: :math:`1/\sqrt{n}` in a mean and :math:`\sqrt{2/n}` in a variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..design import Materials
from ..errors import InputError
from ..model import PSPGen
from ..plots import PALETTE

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["GuideCheck", "guide_check", "plot_guide", "process_cells"]

_BATCH = 500


@dataclass(frozen=True)
class GuideCheck:
    """The aggregate of the guide beside the prior.

    Arguments:
        cells: Per cell and entry of z0 `mean` and `variance` in units of the prior, and per cell
            the `count` of materials, its `nats`, and its middle in φ as `centre`.
        marginal: `mean` and `variance` per entry over all materials, and `nats`.
        reads: How many entries of z0, counted from the first, the property decoder sees.
    """

    cells: xr.Dataset
    marginal: xr.Dataset
    reads: int

    def to_json(self) -> dict[str, Any]:
        """The summary as plain numbers: all entries of z0, and those that the property decoder
        reads."""
        noise = float((2 / self.cells["count"].mean()) ** 0.5)
        found: dict[str, Any] = {
            "materials": int(self.cells["count"].sum()),
            "cells": self.cells.sizes["cell"],
            "noise_of_a_cell_variance": noise,
            "noise_of_a_cell_mean": noise / 2**0.5,
            "nats_marginal": float(self.marginal["nats"]),
            "nats_per_cell": self.cells["nats"].values.tolist(),
            "nats_of_noise": float((1 / self.cells["count"]).mean() * self.cells.sizes["latent"]),
        }
        for name, entries in (("all_entries", slice(None)), ("entries_read", slice(self.reads))):
            part, whole = self.cells.isel(latent=entries), self.marginal.isel(latent=entries)
            found[name] = {
                "variance_range_marginal": _range(whole["variance"]),
                "variance_range_in_cells": _range(part["variance"]),
                "largest_mean_marginal": float(abs(whole["mean"]).max()),
                "largest_mean_in_cells": float(abs(part["mean"]).max()),
                "share_off_by_three_noises": float(
                    (
                        (abs(part["variance"] - 1) > 3 * noise)
                        | (abs(part["mean"]) > 3 * noise / 2**0.5)
                    ).mean()
                ),
            }
        return found


def guide_check(
    model: PSPGen, materials: Materials, *, cells: int = 16, seed: int = 0
) -> GuideCheck:
    """Aggregates the guide over real materials, over all of them and in cells of φ.

    Arguments:
        model: The trained model.
        materials: Real or simulated materials, spread over the process space.

    Other arguments:
        cells: How many cells, a power of two.
        seed: Seeds the draws of the prior.

    Raises:
        InputError: If a cell would have fewer than ten materials.
    """
    import xarray as xr

    if cells < 1 or len(materials) < 10 * cells:
        raise InputError(
            f"'materials' holds {len(materials)} for {cells} cells; give at least 10 a cell."
        )
    model.eval()
    mu, variance = _guide_moments(model, materials)
    low, high = _prior_moments(model, materials.phi)
    index = process_cells(materials.phi, cells)
    rows = [_aggregate(mu[i], variance[i], low[i], high[i]) for i in _members(index)]
    mean, spread = (np.array(column) for column in zip(*rows, strict=True))
    centre = np.array([materials.phi[i].mean(axis=0) for i in _members(index)])
    count = np.bincount(index)
    table = xr.Dataset(
        {
            "mean": (("cell", "latent"), mean),
            "variance": (("cell", "latent"), spread),
            "nats": ("cell", _nats(mean, spread)),
            "count": ("cell", count),
            "centre": (("cell", "parameter"), centre),
        },
        coords={"parameter": list(model.process.names)},
    )
    whole_mean, whole_spread = _aggregate(mu, variance, low, high)
    whole = xr.Dataset(
        {
            "mean": ("latent", whole_mean),
            "variance": ("latent", whole_spread),
            "nats": ((), _nats(whole_mean, whole_spread)),
        }
    )
    reads = model.decoder_m.reads
    return GuideCheck(table, whole, reads)


def process_cells(phi: NDArray[np.float64], cells: int) -> NDArray[np.int64]:
    """Cells of equal counts: halved at the median along one parameter after the other until there
    are `cells` of them, a power of two; with shape `(N)`.

    Raises:
        InputError: If `cells` is no power of two.

    Example:
        >>> process_cells(np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), 4).tolist()
        [0, 1, 2, 3]
    """
    if cells < 1 or cells & (cells - 1):
        raise InputError(f"'cells' is {cells}; give a power of two.")
    index = np.zeros(len(phi), dtype=np.int64)
    for level in range(cells.bit_length() - 1):
        column, halves = phi[:, level % phi.shape[1]], 2 * index
        for members in _members(index):
            order = members[np.argsort(column[members], kind="stable")]
            halves[order[len(order) // 2 :]] += 1
        index = halves
    return index


def _members(index: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(index == c) for c in range(index.max() + 1)]


@torch.no_grad()
def _guide_moments(model: PSPGen, materials: Materials) -> tuple[NDArray, NDArray]:
    means, variances = [], []
    for i in range(0, len(materials), _BATCH):
        part = slice(i, i + _BATCH)
        x, m, phi = (
            model.tensor(values[part]) for values in (materials.images, materials.m, materials.phi)
        )
        q = model.latent_given(x, m, phi)
        means.append(q.mean.double().cpu().numpy())
        variances.append(q.variance.double().cpu().numpy())
    return np.concatenate(means), np.concatenate(variances)


@torch.no_grad()
def _prior_moments(model: PSPGen, phi: NDArray) -> tuple[NDArray, NDArray]:
    """The mean and the variance of p(z0 | φ) at each φ."""
    inputs = model.standardise(model.tensor(phi))
    prior = model.prior(inputs)
    found = prior.mean, prior.variance
    mean, variance = (t.expand(len(phi), -1).double().cpu().numpy() for t in found)
    return mean, variance


def _aggregate(
    mu: NDArray, variance: NDArray, low: NDArray, high: NDArray
) -> tuple[NDArray, NDArray]:
    """The aggregate's mean and variance in units of the prior's aggregate."""
    prior = high.mean(axis=0) + low.var(axis=0)
    mean = (mu.mean(axis=0) - low.mean(axis=0)) / prior**0.5
    return mean, (variance.mean(axis=0) + mu.var(axis=0)) / prior


def _nats(mean: NDArray, variance: NDArray) -> NDArray:
    """The Kullback–Leibler divergence of Gaussians with these moments from the prior."""
    return 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum(axis=-1)


def _range(values: xr.DataArray) -> list[float]:
    return [float(values.min()), float(values.max())]


def plot_guide(check: GuideCheck) -> Figure:
    """Mean and variance of the aggregate per entry of z0: all materials, and each cell of φ."""
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.2), layout="constrained")
    entry = np.arange(check.cells.sizes["latent"])
    noise = float((1 / check.cells["count"].mean()) ** 0.5)
    for ax, name, middle, width in (
        (axes[0], "mean", 0.0, 3 * noise),
        (axes[1], "variance", 1.0, 3 * noise * 2**0.5),
    ):
        ax.axhspan(middle - width, middle + width, color=PALETTE["grey"], alpha=0.25, lw=0)
        ax.plot(
            entry,
            check.cells[name].values.T,
            ls="",
            marker=".",
            ms=3,
            color=PALETTE["vermilion"],
            alpha=0.6,
        )
        ax.plot(entry, check.marginal[name], color=PALETTE["blue"], lw=1.4)
        ax.set(xlabel="entry of z0", ylabel=f"{name}, in units of the prior")
    axes[0].set_title("line: all materials; dots: cells of φ; grey: 3 × noise", fontsize="small")
    return figure
