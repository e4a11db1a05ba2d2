r"""Simulated and generated materials at one :math:`\varphi`, judged by the same physics.

Simulated materials come from the simulator, where there is one, else the training triads nearest
to φ stand in. Generated ones are the model's: :math:`z_0 \sim p(z_0 \mid
\varphi)`, and the most probable image given :math:`z_0` and :math:`z_1 = g(\varphi)` (every pixel
its most probable phase: void where its Bernoulli mean exceeds ½). Both are then given to the
chain's own property solver, which says what a generated image would really do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..chain import Chain, percolating
from ..io.validation import check_positive, check_seed
from ..properties import percolation
from ..runs import chain_of
from ..schema import Microstructure
from ..structure import phase_names

if TYPE_CHECKING:
    from ..data.triads import Triads
    from ..model import PSPGen
    from ..runs import Run

__all__ = ["SolvedImages", "generate_images", "materials_at"]


@dataclass(frozen=True)
class SolvedImages:
    """Microstructures and their properties.

    Arguments:
        source: Where they come from, in words.
        x: The images, with shape `(N, H, W)`.
        m: Their properties on their scales, with shape `(N, K)`; NaN where nobody has solved them.
        images: What the images are.
    """

    source: str
    x: NDArray[Any]
    m: NDArray[np.float64]
    images: Microstructure

    @property
    def fractions(self) -> dict[str, NDArray[np.float64]]:
        """The volume fraction of each phase but the first, a number an image, by its name; of grey
        images their mean."""
        if self.images.grey:
            return {"mean grey value": self.x.reshape(len(self.x), -1).mean(axis=1)}
        names = phase_names(int(self.images.phases))
        return {
            f"{name} fraction": (self.x == i).reshape(len(self.x), -1).mean(axis=1)
            for i, name in enumerate(names)
            if i
        }

    @property
    def blocked(self) -> dict[str, float]:
        """The fraction of the images whose last phase (the void) does not percolate, by direction;
        empty where that is not defined: of grey values, and of images that are no periodic
        cell."""
        if not percolating(self.images):
            return {}
        shares = 1 - percolation(self.x == self.images.last_label).mean(axis=0)
        return dict(zip(self.images.directions, shares.tolist(), strict=True))


@torch.no_grad()
def generate_images(
    model: PSPGen, phi: NDArray[np.float64], count: int, seed: int, candidates: int = 64
) -> NDArray[Any]:
    r"""The most probable image of each of `count` draws of z0, with shape `(count, H, W)`: labels,
    or grey values.

    The image's decoder knows the properties u that an image should have, but may miss them. Where
    the guide reads properties off x, one of several `candidates` with the same u and different w
    is drawn in proportion to :math:`q(u \mid x)`: sampling from the decoder's law times what the
    guide says of its image, by importance resampling.

    Raises:
        InputError: If there are no candidates, or the seed is none.
    """
    check_positive(candidates=candidates)
    check_seed(seed)
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    reader = model.encoder.reader
    noise = torch.randn(count, model.dims.latent, generator=generator).to(model.m_loc)
    inputs = model.tensor(np.tile(phi, (count, 1)))
    z1, inner = model.latent_of_process(inputs), model.standardise(inputs)
    first = model.prior.transport(noise, inner)
    x = model.decoder_x.likeliest(first, z1)
    if candidates == 1 or reader is None:
        return x.cpu().numpy()
    u, images = first[:, : model.dims.properties], [x]
    for _ in range(candidates - 1):
        noise = torch.randn(noise.shape, generator=generator).to(noise)
        w = model.prior.transport(noise, inner)[:, u.shape[1] :]
        images.append(model.decoder_x.likeliest(torch.cat([u, w], dim=-1), z1))
    odds = [reader(x).log_prob(u) for x in images]
    weights = torch.stack(odds, dim=1).double().softmax(dim=1).cpu()
    chosen = torch.multinomial(weights, 1, generator=generator).squeeze(1)
    found = torch.stack(images, dim=1)[torch.arange(count), chosen.to(x.device)]
    return found.cpu().numpy()


def materials_at(
    run: Run,
    phi: NDArray[np.float64],
    triads: Triads,
    *,
    count: int = 100,
    seed: int = 0,
    candidates: int = 64,
) -> tuple[SolvedImages, SolvedImages]:
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

    Raises:
        InputError: If the run has no images.
    """
    images = run.schema.images
    x = generate_images(run.members[0], phi, count, seed, candidates)
    chain = chain_of(run)
    if chain is None:
        unsolved = np.full((count, len(run.schema.properties)), np.nan)
        generated = SolvedImages("drawn from the model", x, unsolved, images)
        return _nearest(triads, run, phi, count, images), generated
    # a spawn key that neither a data set nor a verification uses
    seeds = [np.random.SeedSequence(seed, spawn_key=(0x5EE, i)) for i in range(count)]
    sample = chain.simulate(np.tile(phi, (count, 1)), seeds)
    return (
        SolvedImages("simulated by the chain", np.asarray(sample.x), sample.m, images),
        SolvedImages("drawn from the model", x, _properties(chain, x, run), images),
    )


def _nearest(
    triads: Triads, run: Run, phi: NDArray[np.float64], count: int, images: Microstructure
) -> SolvedImages:
    process, data = run.schema.process, triads.data
    apart = process.coordinates(data["phi"].values) - process.coordinates(phi)
    distance = (apart**2).sum(axis=1)
    part = data.isel(sample=np.sort(np.argsort(distance, kind="stable")[:count]))
    x, m = part["x"].values, part["m"].values
    return SolvedImages("training triads nearest to φ*", x, m, images)


def _properties(chain: Chain, x: NDArray[Any], run: Run) -> NDArray[np.float64]:
    m = np.full((len(x), len(run.schema.properties)), np.nan)
    # flow in a cell without solid has no steady state
    solvable = ~x.reshape(len(x), -1).all(axis=1) | (run.schema.images.phases != 2)
    if solvable.any():
        m[solvable] = run.schema.scaled(chain.property_(x[solvable]))
    return m
