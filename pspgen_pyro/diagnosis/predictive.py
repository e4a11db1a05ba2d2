r"""Posterior predictive checks: what the design posterior promises beside fresh physics.

Settings :math:`\varphi^{(s)}` drawn from the posterior are simulated by the chain, one material
each, and compared with the model's predictive distribution :math:`p(m \mid \varphi^{(s)})` with
:math:`z_0` fresh from its prior, which is what a maker who only controls :math:`\varphi` would
get:

* the randomised rank of every simulated property among the model's draws (its PIT), uniform where
  the model is right;
* the mean over the posterior of :math:`P(m \in \mathcal{M}_d \mid \varphi^{(s)})` beside the
  fraction of simulated materials in the target. The standard error is that of the mean of the
  paired differences, so that the spread of :math:`\varphi` counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..design import Estimate, Materials, Target, probability
from ..design.simulation import simulated
from ..errors import InputError
from ..io.validation import check_positive, check_seed
from ..model import PSPGen
from .ranks import randomised_ranks
from .uniformity import Uniformity, uniformity

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..design import Simulator

__all__ = [
    "Comparison",
    "Materials",
    "PredictiveCheck",
    "compare_probability",
    "draw_properties",
    "predictive_check",
    "simulate_at",
]

_ROWS = 5000


@dataclass(frozen=True)
class PredictiveCheck:
    """How simulated properties rank among the model's.

    Arguments:
        pit: The randomised ranks, with shape `(N)`, by property.
    """

    pit: dict[str, NDArray[np.float64]]

    @cached_property
    def uniformity(self) -> dict[str, Uniformity]:
        """Their uniformity, by property.

        Raises:
            InputError: If there are fewer than ten materials.
        """
        return {name: uniformity(values) for name, values in self.pit.items()}


@dataclass(frozen=True)
class Comparison:
    r"""The mean of :math:`P(m \in \mathcal{M}_d)` over settings, by model and by simulation.

    Arguments:
        model: The model's, with the standard error over the settings.
        simulated: The fraction simulated, with its standard error.
        difference: Model minus simulation, paired, with its standard error.
    """

    model: Estimate
    simulated: Estimate
    difference: Estimate

    @property
    def agree(self) -> bool:
        """Whether the difference is within twice its standard error."""
        return bool(abs(self.difference.value) <= 2 * self.difference.standard_error)

    def to_json(self) -> dict[str, Any]:
        """The three numbers with their standard errors."""
        numbers = {"model": self.model, "simulated": self.simulated, "difference": self.difference}
        return {name: one.to_json() for name, one in numbers.items()} | {"agree": self.agree}


def simulate_at(
    chain: Simulator,
    phi: NDArray[np.float64],
    *,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Materials:
    """Simulates one fresh material at each setting; those whose simulation failed are left out.

    Arguments:
        chain: The simulator.
        phi: The settings, with shape `(N, P)`.

    Other arguments:
        seed: Seeds them; no data set and no verification shares their random numbers.
        progress: Called with the number of materials just finished.
    """
    settings = np.atleast_2d(chain.process.check(phi))
    found = Materials.joined(list(simulated(chain, settings, seed, 0xC4EC, progress)))
    return found.rows(~np.isnan(found.m).any(axis=1))


def predictive_check(
    model: PSPGen, materials: Materials, *, draws: int = 499, seed: int = 0
) -> PredictiveCheck:
    """Ranks the properties of materials among the model's draws at their settings.

    Arguments:
        model: The trained model.
        materials: Settings and properties.

    Other arguments:
        draws: The model's draws a material.
        seed: Seeds them.

    Raises:
        InputError: If `draws` is not positive, or the seed is none.
    """
    check_positive(draws=draws)
    check_seed(seed)
    predicted = draw_properties(model, materials.phi, draws, seed)
    pit = {
        name: randomised_ranks(materials.m[:, j], predicted[..., j], seed=seed + j)
        for j, name in enumerate(model.property_names)
    }
    return PredictiveCheck(pit)


def draw_properties(
    model: PSPGen, phi: NDArray[np.float64], draws: int, seed: int
) -> NDArray[np.float64]:
    """Draws of m from p(m | φ) at each setting, with shape `(draws, N, K)`."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    model.eval()
    with torch.no_grad():
        inputs = model.tensor(phi)
        inner, z1 = model.standardise(inputs), model.latent_of_process(inputs)
        rows, at_once = [], max(1, _ROWS // max(1, len(phi)))
        for first in range(0, draws, at_once):
            shape = min(at_once, draws - first), len(phi)
            noise = torch.randn(*shape, model.dims.latent, generator=generator)
            z0 = model.prior.transport(noise.to(model.m_loc), inner.expand(*shape, -1))
            rows.append(model.property_given(z0, z1.expand(*shape, -1)).draw(generator))
        return torch.cat(rows).double().cpu().numpy()


def compare_probability(
    model: PSPGen, target: Target, materials: Materials, *, draws: int = 256
) -> Comparison:
    """Compares the mean of P(m in target) over the settings of materials with the fraction of them
    in the target.

    Arguments:
        model: The trained model.
        target: The region.
        materials: Settings, such as draws of the design posterior, and simulated properties.

    Other arguments:
        draws: Sobol points for the model's probability at each setting.

    Raises:
        InputError: If there are fewer than two materials.
    """
    n = len(materials)
    if n < 2:
        raise InputError(f"'materials' holds {n}; a standard error takes at least 2.")
    p = probability(model, target, materials.phi, draws=draws, replicates=2).value
    hit = target.contains(materials.m).astype(float)
    values = (p, hit, p - hit)
    means = (Estimate(np.asarray(v.mean()), np.asarray(v.std(ddof=1) / n**0.5)) for v in values)
    return Comparison(*means)
