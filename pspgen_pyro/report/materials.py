r"""Simulated and generated materials at one :math:`\varphi`, judged by the same physics.

Simulated materials come from the chain. Generated ones are the model's: :math:`z_0 \sim p(z_0 \mid
\varphi)`, and the most probable image given :math:`z_0` and :math:`z_1 = g(\varphi)` (every pixel
its most probable phase: void where its Bernoulli mean exceeds ½). Both are then given to the
chain's own property solver, which says what a generated image would really do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..properties import percolation
from ..runs import chain_of
from ..structure import phase_names

if TYPE_CHECKING:
    from ..chain import Chain
    from ..model import PSPGen
    from ..runs import Run

__all__ = ["Materials", "generate_images", "materials_at"]


@dataclass(frozen=True)
class Materials:
    """Microstructures and their properties.

    Arguments:
        source: Where they come from, in words.
        x: The images, with shape `(N, H, W)`.
        m: Their properties by the chain's solver, with shape `(N, K)`; NaN where it has none.
        phases: The number of phases.
    """

    source: str
    x: NDArray[np.uint8]
    m: NDArray[np.float64]
    phases: int = 2

    @property
    def fractions(self) -> dict[str, NDArray[np.float64]]:
        """The volume fraction of each phase but the first, a number an image, by its name."""
        names = phase_names(self.phases)
        return {names[i]: (self.x == i).mean(axis=(1, 2)) for i in range(1, self.phases)}

    @property
    def blocked(self) -> NDArray[np.float64]:
        """The fraction of the images whose last phase (the void) does not percolate, with shape
        `(2)`."""
        return 1 - percolation(self.x == self.phases - 1).mean(axis=0)


@torch.no_grad()
def generate_images(
    model: PSPGen, phi: NDArray[np.float64], count: int, seed: int, candidates: int = 64
) -> NDArray[np.uint8]:
    r"""The most probable image of each of `count` draws of z0, with shape `(count, H, W)`.

    The image's decoder knows the properties u that an image should have, but may miss them. Where
    the guide reads properties off x, one of several `candidates` with the same u and different w
    is drawn in proportion to :math:`q(u \mid x)`: sampling from the decoder's law times what the
    guide says of its image, by importance resampling.

    Raises:
        InputError: If there are no candidates.
    """
    if candidates < 1:
        raise InputError(f"'candidates' is {candidates}; it must be at least 1.")
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    reader = model.encoder.reader
    noise = torch.randn(count, model.dims.latent, generator=generator).to(model.m_loc)
    inputs = torch.tensor(np.tile(phi, (count, 1))).to(model.m_loc)
    z1, inner = model.latent_of_process(inputs), model.standardise(inputs)
    first = model.prior.transport(noise, inner)
    x = _likeliest(model, first, z1)
    if candidates == 1 or reader is None:
        return x.cpu().numpy().astype(np.uint8)
    u, images = first[:, : model.dims.properties], [x]
    for _ in range(candidates - 1):
        noise = torch.randn(noise.shape, generator=generator).to(noise)
        w = model.prior.transport(noise, inner)[:, u.shape[1] :]
        images.append(_likeliest(model, torch.cat([u, w], dim=-1), z1))
    odds = [reader(x).log_prob(u) for x in images]
    weights = torch.stack(odds, dim=1).double().softmax(dim=1).cpu()
    chosen = torch.multinomial(weights, 1, generator=generator).squeeze(1)
    found = torch.stack(images, dim=1)[torch.arange(count), chosen.to(x.device)]
    return found.cpu().numpy().astype(np.uint8)


def _likeliest(model: PSPGen, z0: Tensor, z1: Tensor) -> Tensor:
    # torch gives NaN where both phases are as likely
    return model.decoder_x(z0, z1).mode.nan_to_num(nan=0.0)


def materials_at(
    run: Run,
    phi: NDArray[np.float64],
    triads: xr.Dataset,
    *,
    count: int = 100,
    seed: int = 0,
    candidates: int = 64,
) -> tuple[Materials, Materials]:
    r"""Real and generated materials at one :math:`\varphi`.

    Arguments:
        run: The trained model and its story.
        phi: The setting, with shape `(P)`.
        triads: Training triads; those nearest to `phi` stand in where the simulator is not one of
            the study.

    Other arguments:
        count: How many of each.
        seed: Seeds both.
        candidates: Images among which each generated one is chosen by what the guide reads off
            them, if it reads properties.

    Returns:
        The real ones and the generated ones.
    """
    x = generate_images(run.model, phi, count, seed, candidates)
    phases = run.model.dims.phases
    chain = chain_of(run)
    if chain is None:
        real = _nearest(triads, run, phi, count)
        unsolved = np.full((count, real.m.shape[1]), np.nan)
        return real, Materials("drawn from the model", x, unsolved, phases)
    # a spawn key that neither a data set nor a verification uses
    seeds = [np.random.SeedSequence(seed, spawn_key=(0x5EE, i)) for i in range(count)]
    sample = chain.simulate(np.tile(phi, (count, 1)), seeds)
    return (
        # the study's chains have images
        Materials("simulated by the chain", np.asarray(sample.x), sample.m, phases),
        Materials("drawn from the model", x, _properties(chain, x), phases),
    )


def _nearest(triads: xr.Dataset, run: Run, phi: NDArray[np.float64], count: int) -> Materials:
    process = run.model.process
    width = np.array(process.upper) - np.array(process.lower)
    distance = (((triads["phi"].values - phi) / width) ** 2).sum(axis=1)
    part = triads.isel(sample=np.sort(np.argsort(distance, kind="stable")[:count]))
    x, m = part["x"].values, part["m"].values
    return Materials("training triads nearest to φ*", x, m, run.model.dims.phases)


def _properties(chain: Chain, x: NDArray[np.uint8]) -> NDArray[np.float64]:
    m = np.full((len(x), len(chain.schema.properties)), np.nan)
    images = chain.schema.microstructure
    # flow in a cell without solid has no steady state
    solvable = ~x.all(axis=(1, 2)) | (images is None or images.phases != 2)
    if solvable.any():
        m[solvable] = chain.schema.scaled(chain.property_(x[solvable]))
    return m
