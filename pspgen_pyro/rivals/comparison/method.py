r"""The comparison method of the study: two-point statistics, Gaussian processes and a flow.

.. math::
    x \to S_2(x) \to \alpha \in \mathbb{R}^q, \qquad
    p(\alpha \mid \varphi),\ p(m \mid \alpha) \text{ by sparse multi-output Gaussian processes},

.. math::
    p(m \mid \varphi) = \mathbb{E}_{p(\alpha \mid \varphi)}\left[p(m \mid \alpha)\right]
    \approx \frac{1}{S} \sum_{s} \prod_j
        \mathcal{N}\bigl(m_j \mid \mu_j(\alpha^{(s)}), \sigma_j(\alpha^{(s)})^2\bigr),

so P of a box is a mean of products of intervals of Gaussians, without the noise of an indicator,
at draws of α that have their random numbers in common for all φ. A continuous normalising flow
learns :math:`p(\varphi \mid m)` from pairs drawn from the two processes, and proposes settings.

References:
    Inverse stochastic microstructure design (Generale et al., 2024), Acta Materialia 271
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ...design import Target, sobol_normal
from ...errors import InputError
from ...io.validation import check_positive, check_seed
from ...model.distributions import NormalMixture
from ...process import Symmetry
from .._learning import Scaling
from ..base import generator_of, to_numpy
from .convergence import Convergence
from .features import TwoPointScores
from .fitting import HeldOutRival
from .matching import Matching, ProcessFlow
from .points import POINTS, DesignPoint, points_of
from .regions import RegionPosterior, region_posterior
from .sparse import SparseGP, best_of

if TYPE_CHECKING:
    from ...data.batches import Batch

__all__ = ["ComparisonMethod"]

# draws of α a pass
_CHUNK = 1 << 15
# the share of its steps after which the best of several settings is chosen
_TRIAL = 0.25


@dataclass
class ComparisonMethod(HeldOutRival):
    """Two-point scores of x, Gaussian processes φ → scores → m, and a flow for φ given m.

    Rows without m teach φ → scores alone. Needs images of labels.

    Arguments:
        process_structure: The settings of the process φ → scores; of several the best on the
            validation rows.
        structure_property: Those of the process scores → m.
        matching: The settings of the flow, which is trained when it is first asked.

    Other arguments:
        explained: The share of the variance of the two-point maps that the scores explain.
        pool_size: The pairs (φ, m) drawn from the processes for the flow and the region.
        draws: Sobol draws of the scores for a probability or a density.
        name: What tables and figures call it.
    """

    process_structure: tuple[SparseGP, ...] = (SparseGP(),)
    structure_property: tuple[SparseGP, ...] = (SparseGP(inducing_share=0.02),)
    matching: Matching = field(default_factory=Matching)
    explained: float = 0.9
    pool_size: int = 65_536
    draws: int = 1024
    name: str = "comparison method"

    @classmethod
    def published(cls, *, most_inducing: int = 800, steps: int = 900) -> Self:
        """The settings of the authors' code: five latent functions, slow natural gradients, and a
        flow on φ scaled to [−1, 1] that is clipped.

        Arguments:
            most_inducing: The largest number of inducing points.
            steps: The steps of either process.
        """
        first = SparseGP(steps=steps, most_inducing=most_inducing)
        return cls(
            (first,),
            (replace(first, inducing_share=0.02),),
            Matching(coordinates="raw"),
            name="comparison method, published",
        )

    @classmethod
    def tuned(cls, *, most_inducing: int = 150, steps: int = 600) -> Self:
        """The settings that do it justice: fast rates, and on the validation rows the best number
        of latent functions, correlated noise of the scores where that helps, and noise of m that
        differs from place to place where that helps; a flow on logits.

        Arguments:
            most_inducing: The largest number of inducing points.
            steps: The steps of the process φ → scores; scores → m takes half as many again.
        """
        first = SparseGP(natural_rate=0.1, rate=0.03, steps=steps, most_inducing=most_inducing)
        plain = [replace(first, latents=count) for count in (5, 10, None)]
        second = replace(first, inducing_share=0.02, steps=steps + steps // 2)
        uneven = [replace(second, latents=one.latents, objective="predictive") for one in plain]
        return cls(
            (*plain, *(replace(one, correlated=True) for one in plain)),
            (second, *uneven),
            Matching(coordinates="logit"),
        )

    def _learn(self, train: Batch, symmetries: tuple[Symmetry, ...]) -> None:
        for made in ("pool", "flow"):
            vars(self).pop(made, None)
        images = train.orbit(symmetries, self.process)
        rows = images[0]
        for more in images[1:]:
            rows = rows.joined(more)
        phases = int(self.schema.images.phases)
        self.scaling = Scaling(self.process, train.m[train.labelled].double())
        self.scores = TwoPointScores.fit(rows.images, phases, self.explained, self._seed)
        (phi, alpha), known = self._pairs_of(rows), rows.labelled
        held_out, kept = self._held_out, self._held_out.labelled
        held_phi, held_alpha = self._pairs_of(held_out)
        m, held_m = self.scaling.m(rows.m[known]), self.scaling.m(held_out.m[kept])
        count, held = len(self.scores), (held_alpha[kept], held_m)
        self.to_scores = best_of(
            self.process_structure, (phi, alpha), (held_phi, held_alpha), count, _TRIAL
        )
        self.to_m = best_of(self.structure_property, (alpha[known], m), held, count, _TRIAL)
        self.convergence = Convergence(
            max(self.to_scores.change, self.to_m.change),
            self.to_scores.law.coverage(held_phi, held_alpha),
            self.to_m.law.coverage(*held),
        )

    def _pairs_of(self, rows: Batch) -> tuple[Tensor, Tensor]:
        """φ and the scores as the Gaussian processes see them."""
        return self._unit(rows.phi.double()), self.scores(rows.images)

    def _unit(self, phi: Tensor) -> Tensor:
        """φ scaled to [−1, 1]."""
        return self.scaling.phi(phi) / 3**0.5

    def noise(self, draws: int, seed: int) -> Tensor:
        """Sobol draws as standard normal noise of the scores, with shape `(draws, q)`."""
        return sobol_normal(draws, len(self.scores), seed, torch.float64)

    def law(self, phi: Tensor, noise: Tensor) -> NormalMixture:
        """The Gaussians p(m | α) in the units of m, with batch shape `(N, S)`, at the scores that
        noise with shape `(S, q)` makes of φ with shape `(N, P)`."""
        alpha = self.to_scores.law.draw(self._unit(phi).unsqueeze(-2), noise)
        loc, scale = self.to_m.law.marginal(alpha)
        loc, scale = self.scaling.m_back(loc), self.scaling.m_scale * scale
        weight = loc.new_zeros(*loc.shape[:-1], 1)
        return NormalMixture(weight, loc.unsqueeze(-2), scale.unsqueeze(-2))

    def log_probability(self, target: Target, phi: Tensor, noise: Tensor) -> Tensor:
        """The logarithm of P(m ∈ M_d | φ) for φ with shape `(N, P)`, with shape `(N)`; with a
        gradient in φ."""
        return _mean(target, self.law(phi, noise))

    def probability(self, target: Target, phi: ArrayLike) -> NDArray[np.float64]:
        return self.probabilities([target], phi)[0]

    def probabilities(self, targets: Sequence[Target], phi: ArrayLike) -> NDArray[np.float64]:
        return self.common(targets, phi, self.draws, 0)

    @torch.no_grad()
    def common(
        self, targets: Sequence[Target], phi: ArrayLike, draws: int, seed: int
    ) -> NDArray[np.float64]:
        """P of every target from Sobol draws of the scores that are the same for all φ with shape
        `(*, P)`; its shape is `(T, *)`.

        Raises:
            InputError: If φ lies outside the process space, or a target has another dimension
                than m.
        """
        inputs = self._inputs(phi)
        for target in targets:
            target.check_against(len(self.property_names))
        noise, parts = self.noise(draws, seed), []
        for part in inputs.split(max(1, _CHUNK // draws)):
            law = self.law(part, noise)
            parts.append(torch.stack([_mean(target, law) for target in targets]))
        return to_numpy(torch.cat(parts, dim=1).exp()).reshape(len(targets), *np.shape(phi)[:-1])

    @torch.no_grad()
    def estimate(
        self, target: Target, phi: ArrayLike, draws: int, seed: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """P and its standard error at φ with shape `(N, P)`, with shape `(N)` each, from
        independent draws of the scores that are the same for every φ.

        Raises:
            InputError: If φ lies outside the process space, or there are no draws.
        """
        inputs, generator = self._inputs(phi), generator_of(draws, seed)
        target.check_against(len(self.property_names))
        shape = (draws, len(self.scores))
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        p, error = [], []
        for part in inputs.split(max(1, _CHUNK // draws)):
            each = target.log_probability(self.law(part, noise)).exp()
            p.append(each.mean(dim=-1))
            error.append(each.std(dim=-1) / draws**0.5)
        return to_numpy(torch.cat(p)), to_numpy(torch.cat(error))

    @torch.no_grad()
    def log_density(self, phi: ArrayLike, m: ArrayLike) -> NDArray[np.float64]:
        inputs, values = self._pairs(phi, m)
        noise, size = self.noise(self.draws, 0), max(1, _CHUNK // self.draws)
        parts = [
            self.law(a, noise).log_prob(b.unsqueeze(-2)).logsumexp(dim=-1)
            for a, b in zip(inputs.split(size), values.split(size), strict=True)
        ]
        return to_numpy(torch.cat(parts)) - math.log(self.draws)

    @torch.no_grad()
    def sample(self, phi: ArrayLike, draws: int, seed: int) -> NDArray[np.float64]:
        inputs, generator = self._inputs(phi), generator_of(draws, seed)
        parts = []
        for part in inputs.split(max(1, _CHUNK // draws)):
            shape = (len(part), draws, len(self.scores))
            noise = torch.randn(shape, generator=generator, dtype=torch.float64)
            parts.append(self.law(part, noise).draw(generator))
        return to_numpy(torch.cat(parts))

    @cached_property
    def pool(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pairs (φ, m) from the uniform prior and the Gaussian processes."""
        phi = self.process.sample(self.pool_size, np.random.default_rng(self._seed))
        return phi, self.sample(phi, 1, self._seed)[:, 0]

    @cached_property
    def flow(self) -> ProcessFlow:
        """The flow for φ given standardised m, trained on the pool."""
        phi, m = (torch.tensor(part) for part in self.pool)
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(self._seed)
            return ProcessFlow.fit(self.process, self.matching, phi, self.scaling.m(m))

    def posterior(
        self, target: Target, rule: str = "R1", *, draws: int = 1000, seed: int = 0
    ) -> RegionPosterior:
        """Draws of the settings given that m lies in the target.

        Arguments:
            target: The region.
            rule: R1 (exact), R2 (uniform), R3 (centre) or R5 (no flow).

        Other arguments:
            draws: The number of draws.
            seed: Seeds them.

        Raises:
            InputError: If the rule is unknown, there are no draws, the seed is none, or the target
                has another dimension than m.
        """
        check_positive(draws=draws)
        check_seed(seed)
        target.check_against(len(self.property_names))
        return region_posterior(self, target, rule, draws, seed)

    def design(
        self,
        target: Target,
        rule: str = "R1",
        *,
        points: Sequence[str] = POINTS,
        draws: int = 1000,
        seed: int = 0,
    ) -> dict[str, DesignPoint]:
        """The settings φ* by the rules mean, mode, best and argmax.

        Arguments:
            target: The region.
            rule: That of the posterior.

        Other arguments:
            points: Those of the rules that are asked for; argmax is the same for every posterior.
            draws: The number of draws from the posterior.
            seed: Seeds them.

        Raises:
            InputError: As of `posterior`, or if a rule of `points` is unknown.
        """
        if unknown := [one for one in points if one not in POINTS]:
            raise InputError(f"'points' has {unknown[0]!r}; choose among {', '.join(POINTS)}.")
        drawn = self.posterior(target, rule, draws=draws, seed=seed)
        return points_of(self, target, drawn, points, seed)


def _mean(target: Target, law: NormalMixture) -> Tensor:
    """The logarithm of the mean probability of a target under laws with batch shape `(N, S)`, with
    shape `(N)`."""
    each = target.log_probability(law)
    return each.logsumexp(dim=-1) - math.log(each.shape[-1])
