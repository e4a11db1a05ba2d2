r"""The posterior of the process parameters on a grid: the check that needs no sampler.

.. math::
    p(\varphi \mid m \in \mathcal{M}_d) \propto P(m \in \mathcal{M}_d \mid \varphi)\, p(\varphi)

at the midpoints of the cells of a uniform grid. The work grows as points :math:`^P`, so this is
for one, two or three parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.distributions import Distribution

from ...errors import InputError
from ..probability import log_probability, sobol_normal
from .coordinates import BoxCoordinates
from .density import DesignPosterior
from .draws import check_counts

__all__ = ["GridPosterior", "on_grid"]

_CHUNK = 1 << 17
_MOST = 1 << 20


@dataclass(frozen=True)
class GridPosterior:
    r"""Probabilities of the cells of a grid.

    Arguments:
        phi: The midpoints, with shape `(points ** P, P)`; the first parameter varies slowest.
        weight: The probabilities of the cells, with shape `(points ** P)`; they sum to one.
    """

    phi: NDArray[np.float64]
    weight: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """The posterior means, with shape `(P)`."""
        return self.weight @ self.phi

    @property
    def sd(self) -> NDArray[np.float64]:
        """The posterior standard deviations, with shape `(P)`."""
        return np.sqrt(self.weight @ (self.phi - self.mean) ** 2)


@torch.no_grad()
def on_grid(
    posterior: DesignPosterior, *, points: int = 40, draws: int = 512, seed: int = 0
) -> GridPosterior:
    r"""Evaluates the posterior of :math:`\varphi` on a grid over the prior's support.

    Arguments:
        posterior: The posterior.

    Other arguments:
        points: Cells an axis.
        draws: Sobol points of z0.
        seed: Seeds them.

    Raises:
        InputError: If a number is not positive or the grid has more than a million cells.
    """
    check_counts(points=points, draws=draws)
    model = posterior.model
    size = model.dims.process
    if not isinstance(posterior.coordinates, BoxCoordinates):
        raise InputError(
            "this process has levels, names, logarithms or constraints, which a grid of cells "
            "does not follow; take a sampler."
        )
    if points**size > _MOST:
        raise InputError(
            f"'points' is {points}, which makes {points}^{size} cells; take fewer points, or a "
            "sampler."
        )
    axis = torch.special.ndtri((torch.arange(points, dtype=torch.float64) + 0.5) / points)
    u = torch.cartesian_prod(*[axis] * size).reshape(-1, size).to(model.m_loc)
    phi = posterior.coordinates.settings(u)[0].squeeze(-2)
    noise = sobol_normal(draws, model.dims.latent, seed, model.m_loc.dtype).to(phi.device)
    log_weight = torch.cat(
        [
            log_probability(model, posterior.target, part, noise)
            for part in phi.split(max(1, _CHUNK // draws))
        ]
    ).double()
    if isinstance(posterior.prior, Distribution):
        log_weight = log_weight + posterior.prior.log_prob(phi)
    elif posterior.prior is not None:
        log_weight = log_weight + posterior.prior(phi)
    return GridPosterior(
        phi.double().cpu().numpy(), torch.softmax(log_weight, dim=0).cpu().numpy()
    )
