r"""Teaching a trained model what new triads say about m, at a small part of the cost of training.

.. math::
    \max \sum_i \log \frac{1}{S} \sum_s p(m_i \mid z_0^{(s)}, g(\varphi_i)), \qquad z_0^{(s)} \sim
        p(z_0 \mid \varphi_i),

over the weights of the property decoder alone. This is the likelihood that
:math:`P(m \in \mathcal{M}_d \mid \varphi)` is made of: its z0 come from the prior and not from the
guide. The other parts stay, so the model draws the same microstructures as before.

Unlabelled samples say nothing about m and are left out. A model that learns the law of its
properties goes on with that stage, in which they count (`PriorStage`).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch

from ...data.batches import Batch, Batches
from ...io.validation import check_positive
from ...model import PSPGen
from ...training.descent import Descent
from ...training.stages import PriorStage, Training

__all__ = ["Refinement", "alike"]


@dataclass(frozen=True)
class Refinement:
    """How what P depends on is refined, each time from the weights that it came with.

    Arguments:
        steps: Steps of Adam; the rate falls along a half cosine.
        learning_rate: Its first rate.
        batch_size: Triads a step.
        draws: The number S of z0 a triad. A few suffice where the decoder leans little on z0, as
            `MixtureProperty(reads=4)`; one that leans on all of it needs hundreds, since the
            logarithm of a mean of few draws is too low on average and narrows p(m | φ). Where
            p(m | φ) has a closed form none is drawn.
        weight: How often a new triad is drawn for every time an old one is.

    Raises:
        InputError: If a number is not positive.
    """

    steps: int = 300
    learning_rate: float = 1e-3
    batch_size: int = 250
    draws: int = 4
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_positive(**vars(self))

    def __call__(self, model: PSPGen, old: Batch, new: Batch, seed: int) -> PSPGen:
        """A copy of the model, refined on both sets of triads."""
        # a copy first draws weights, which must not cost the caller random numbers
        with torch.random.fork_rng(devices=[]):
            model = copy.deepcopy(model).eval()
        if model.encoder.noise:
            return self._of_prior(model, old, new, seed)
        old, new = old[old.labelled], new[new.labelled]
        generator = torch.Generator().manual_seed(seed)
        rows = Batch(old.phi, None, old.m).joined(new).to(model.m_loc)
        phi, m = rows.phi, rows.m
        weights = torch.ones(len(m)).index_fill_(0, torch.arange(len(old), len(m)), self.weight)
        parameters = list(model.decoder_m.parameters())
        optimiser = torch.optim.Adam(parameters, lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        with torch.no_grad():
            z1, inputs = model.latent_of_process(phi), model.standardise(phi)
        for _ in range(self.steps):
            i = torch.multinomial(weights, self.batch_size, True, generator=generator)
            shape = (self.draws, len(i), model.dims.latent)
            noise = torch.randn(shape, generator=generator, dtype=m.dtype).to(m.device)
            z0 = model.prior.transport(noise, inputs[i].expand(self.draws, -1, -1)).detach()
            given = model.property_given(z0, z1[i].expand(self.draws, -1, -1)).log_prob(m[i])
            loss = math.log(self.draws) - torch.logsumexp(given, dim=0).mean()
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimiser.step()
            schedule.step()
        return model

    def _of_prior(self, model: PSPGen, old: Batch, new: Batch, seed: int) -> PSPGen:
        """The law of the properties given φ, which is their latents' prior."""
        rows, new = old.to(model.m_loc), new.to(model.m_loc)
        for _ in range(max(1, round(self.weight))):
            rows = rows.joined(new)
        stage = PriorStage(
            steps=self.steps, descent=Descent(self.learning_rate, 0.01), afresh=False
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            stage.run(Training(model, Batches(rows, rows), model.schema.symmetries, seed))
        return model


def alike(old: Batch, new: Batch) -> Batch:
    """The rows that can be learned together with simulations: if those have no images, the ones
    whose properties are known, without theirs."""
    if new.x is not None or old.x is None:
        return old
    known = old[old.labelled]
    return Batch(known.phi, None, known.m)
