r"""What the latents hold: :math:`z_1 = g(\varphi)` over the process space, and what a material's
:math:`z_0` says about its properties.

For a material :math:`(x, \varphi)` the posterior that does not know m,

.. math:: p(z_0 \mid x, \varphi) \propto p(x \mid z_0, g(\varphi))\, p(z_0 \mid \varphi),

is sampled by Hamiltonian Monte Carlo on the model's own density, in the coordinates in which the
prior is standard normal. The guide :math:`q(z_0 \mid x, m, \varphi)` is no substitute, since it
has seen m; importance weights from it degenerate in 64 dimensions. Each draw of :math:`z_0` gives
one draw of m, and the cloud of those should surround the measured m, more tightly than
:math:`p(m \mid \varphi)` does if x has something to say.

References:
    PSP-GEN (Zang & Koutsourelakis, 2024), Figures 5 and 6
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..design import Materials
from ..design.posterior.hmc import Leapfrog, warm_up
from ..design.probability import sobol_normal
from ..io.validation import check_positive, check_seed
from ..model import PSPGen
from ..plots import PALETTE, panel, parameter_labels, property_labels

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["latent_posterior", "plot_latent_properties", "plot_process_latent", "process_latent"]


def latent_posterior(
    model: PSPGen,
    materials: Materials,
    *,
    draws: int = 100,
    chains: int = 20,
    warmup: int = 120,
    thin: int = 4,
    seed: int = 0,
) -> xr.Dataset:
    """Draws of z0 from p(z0 | x, φ) for each material, and one m of each.

    Arguments:
        model: The trained model.
        materials: The materials; their m is not used for the draws.

    Other arguments:
        draws: Draws a material, rounded up to a multiple of `chains`.
        chains: Chains a material, all of them side by side.
        warmup: Transitions in which step size and metric settle.
        thin: Transitions a draw.
        seed: Seeds them.

    Returns:
        `z0` over (material, draw, latent) and `m` over (material, draw, property); `m_prior`
        likewise with z0 from the prior; `log_density`, the log of p(m | x, φ) at the measured m,
        and `log_density_prior`, that of p(m | φ); `m_true`, `phi` and the mean `acceptance_rate`.
        The first is a mean over the draws, and noisy beside a decoder as sharp as
        `PropertyItself`.

    Raises:
        InputError: If a number is not positive, the seed is none, or there is no material.
    """
    check_positive(draws=draws, chains=chains, warmup=warmup, thin=thin, materials=len(materials))
    check_seed(seed)
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    x, phi = (
        model.tensor(v).repeat_interleave(chains, dim=0) for v in (materials.images, materials.phi)
    )
    density = _ImageDensity(model, x, phi)
    start = torch.randn(len(x), model.dims.latent, generator=generator).to(model.m_loc)
    state = Leapfrog(density.gradient, start, generator, step_size=0.1)
    warm_up(state, warmup, math.pi / 2, 0.8, lambda _: None)
    kept, rates = [], []
    for _ in range(-(-draws // chains)):
        for _ in range(thin):
            rates.append(state.transition(math.pi / 2)["acceptance_rate"])
        kept.append(density.latent(state.position).detach())
    z0 = torch.stack(kept, dim=1).unflatten(0, (len(materials), chains)).flatten(1, 2)
    rate = torch.stack(rates).mean(dim=0).unflatten(0, (len(materials), chains)).mean(dim=1)
    return _labelled(model, materials, z0, rate, generator)


class _ImageDensity:
    r"""The log-density of :math:`\epsilon` given x and φ, a row each."""

    def __init__(self, model: PSPGen, x: Tensor, phi: Tensor) -> None:
        self.model, self.x, self.inner = model, x, model.standardise(phi)
        with torch.no_grad():
            self.z1 = model.latent_of_process(phi)

    def latent(self, noise: Tensor) -> Tensor:
        return self.model.prior.transport(noise, self.inner)

    def gradient(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        inputs = noise.detach().requires_grad_(True)
        with torch.enable_grad():
            fit = self.model.decoder_x(self.latent(inputs), self.z1).log_prob(self.x)
            value = fit - 0.5 * inputs.square().sum(dim=-1)
            (slope,) = torch.autograd.grad(value.sum(), inputs)
        return value.detach(), slope


@torch.no_grad()
def _labelled(
    model: PSPGen, materials: Materials, z0: Tensor, rate: Tensor, generator: torch.Generator
) -> xr.Dataset:
    import xarray as xr

    phi, true = (model.tensor(v)[:, None] for v in (materials.phi, materials.m))
    phi = phi.expand(*z0.shape[:2], -1)
    noise = torch.randn(z0.shape, generator=generator).to(z0)
    prior = model.prior.transport(noise, model.standardise(phi))
    z1 = model.latent_of_process(phi)
    laws = {name: model.property_given(z, z1) for name, z in (("", z0), ("_prior", prior))}
    found: dict[str, tuple[tuple[str, ...], Tensor]] = {"z0": (("material", "draw", "latent"), z0)}
    for name, law in laws.items():
        found[f"m{name}"] = (("material", "draw", "property"), law.draw(generator))
        score = torch.logsumexp(law.log_prob(true), dim=1) - math.log(z0.shape[1])
        found[f"log_density{name}"] = (("material",), score)
    if (exact := model.property_given_process(phi[:, 0])) is not None:
        found["log_density_prior"] = (("material",), exact.log_prob(true[:, 0]))
    found["acceptance_rate"] = (("material",), rate)
    return xr.Dataset(
        {name: (dims, values.double().cpu().numpy()) for name, (dims, values) in found.items()}
        | {
            "m_true": (("material", "property"), materials.m),
            "phi": (("material", "parameter"), materials.phi),
        },
        coords={
            "property": (
                ["property"],
                list(model.property_names),
                {"labels": property_labels(model.schema)},
            ),
            "parameter": list(model.process.names),
        },
    )


def process_latent(
    model: PSPGen, phi: ArrayLike | None = None, *, count: int = 2000
) -> xr.Dataset:
    r"""The latents :math:`z_1 = g(\varphi)` over the process space, in two coordinates.

    Arguments:
        model: The trained model.
        phi: Settings, with shape `(N, P)`; `count` random ones if None.

    Other arguments:
        count: How many settings to take.

    Returns:
        `phi` over (sample, parameter), `z1` over (sample, latent), and `map` over (sample,
        component): z1 itself if it has at most two entries, else its two principal components,
        whose share of the variance is in `share`; `mean_m` over (sample, property), the mean of
        p(m | φ), by 64 Sobol points of z0 where it has no closed form.
    """
    import xarray as xr

    rng = np.random.default_rng(0)
    settings = model.process.sample(count, rng) if phi is None else model.process.check(phi)
    with torch.no_grad():
        inputs = model.tensor(settings)
        z1 = model.latent_of_process(inputs).double().cpu().numpy()
        mean = _mean_property(model, inputs).double().cpu().numpy()
    coordinates, share = _two_coordinates(z1)
    return xr.Dataset(
        {
            "phi": (("sample", "parameter"), settings),
            "z1": (("sample", "latent"), z1),
            "map": (("sample", "component"), coordinates),
            "share": ("component", share),
            "mean_m": (("sample", "property"), mean),
        },
        coords={"parameter": list(model.process.names), "property": list(model.property_names)},
    )


def _mean_property(model: PSPGen, phi: Tensor) -> Tensor:
    if (law := model.property_given_process(phi)) is not None:
        return law.mean
    inner, z1 = model.standardise(phi), model.latent_of_process(phi)
    noise = torch.as_tensor(sobol_normal(64, model.dims.latent, 0)).to(phi)
    means = [
        model.property_given(model.prior.transport(row.expand(len(phi), -1), inner), z1).mean
        for row in noise
    ]
    return torch.stack(means).mean(dim=0)


def _two_coordinates(z1: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if z1.shape[1] <= 2:
        variance = z1.var(axis=0)
        return z1, variance / variance.sum()
    u, s, _ = np.linalg.svd(z1 - z1.mean(axis=0), full_matrices=False)
    return u[:, :2] * s[:2], s[:2] ** 2 / (s**2).sum()


def plot_process_latent(found: xr.Dataset, model: PSPGen, *, property_: int = 0) -> Figure:
    """Settings, their z1 and the model's mean m there, coloured alike by one mean property.

    Arguments:
        found: What `process_latent` returned.
        model: The model, for the labels.

    Other arguments:
        property_: The property that colours the points.
    """
    figure, axes = plt.subplots(1, 3, figsize=(11.0, 3.2), layout="constrained")
    labels, names = parameter_labels(model.process), property_labels(model.schema)
    share = [f" ({100 * float(s):.0f} % of the variance)" for s in found["share"]]
    panels = [
        (found["phi"].values, labels),
        (found["map"].values, [f"z1, coordinate {i + 1}{s}" for i, s in enumerate(share)]),
        (found["mean_m"].values, [f"mean of {name}" for name in names]),
    ]
    colour = found["mean_m"].values[:, property_]
    image = None
    for ax, (values, words) in zip(axes, panels, strict=True):
        second = values[:, 1] if values.shape[1] > 1 else np.zeros(len(values))
        image = ax.scatter(values[:, 0], second, c=colour, s=5, lw=0, rasterized=True)
        ax.set_xlabel(words[0], fontsize="small")
        ax.set_ylabel(words[1] if len(words) > 1 else "", fontsize="small")
    if image is not None:
        figure.colorbar(image, ax=axes, label=f"mean of {names[property_]}", shrink=0.9)
    return figure


def plot_latent_properties(found: xr.Dataset, material: int = 0, ax: Axes | None = None) -> Axes:
    """The cloud of m from p(z0 | x, φ) around the m that the material has, p(m | φ) behind it.

    Arguments:
        found: What `latent_posterior` returned.
        material: Which material.
        ax: The axes; new ones if None.
    """
    ax = ax or panel(3.8, 3.6)[1]
    one = found.isel(material=material)
    names = found["property"].attrs["labels"]
    for name, colour, label in (("m_prior", "grey", "p(m | φ)"), ("m", "blue", "p(m | x, φ)")):
        ax.scatter(
            *one[name].values[:, :2].T, s=9, lw=0, alpha=0.7, c=PALETTE[colour], label=label
        )
    star = {"marker": "*", "ms": 15, "ls": "", "c": PALETTE["vermilion"], "mec": "k"}
    ax.plot(*one["m_true"].values[:2], label="m of the material", **star)
    ax.set(xlabel=names[0], ylabel=names[1])
    ax.legend(fontsize="small")
    return ax
