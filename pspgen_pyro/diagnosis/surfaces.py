r"""Probabilities over the process space: the model's beside those counted in a simulation.

At grid point :math:`i` the reference counts :math:`\hat p_i` among :math:`n_i` materials, with the
unbiased noise estimate :math:`v_i = \hat p_i (1 - \hat p_i) / (n_i - 1)`. Of the :math:`G` squared
differences to the model the noise is taken off,

.. math::
    \mathrm{RMSE}^2 = \max\Bigl(0, \frac{1}{G} \sum_i \bigl[(p_i - \hat p_i)^2 - v_i\bigr]\Bigr).

Noise alone gives that mean a standard deviation of about :math:`\sqrt{2 \sum_i v_i^2} / G`, so a
true RMSE below

.. math:: \Bigl(2 \sqrt{2 \textstyle\sum_i v_i^2} / G\Bigr)^{1/2}

cannot be told from 0: this is the resolution of the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ..design import Estimate, Target, probability
from ..errors import InputError
from ..model import Ensemble, PSPGen
from .reference_materials import ReferenceMaterials, coordinates

if TYPE_CHECKING:
    from ..data.triads import Triads

__all__ = ["SurfaceError", "model_slices", "model_surface", "reference_surface", "surface_error"]


@dataclass(frozen=True)
class SurfaceError:
    """How far a surface is from the reference.

    Arguments:
        rmse: The root of the mean squared difference without the reference's noise.
        raw: The same with the noise left in.
        resolution: The smallest `rmse` that the reference can tell from 0.
    """

    rmse: float
    raw: float
    resolution: float

    def __str__(self) -> str:
        if self.rmse > self.resolution:
            return (
                f"RMSE {self.rmse:.3f} with the noise taken off (resolution {self.resolution:.3f})"
            )
        return f"RMSE below the resolution of the reference, {self.resolution:.3f}"


def surface_error(model: ArrayLike, reference: ArrayLike, samples: ArrayLike) -> SurfaceError:
    """The error of a surface, with the noise of the reference taken off.

    Arguments:
        model: The model's probabilities, with shape `(*)`.
        reference: The fractions counted, with shape `(*)`.
        samples: How many materials each fraction was counted among, broadcast to `(*)`.

    Raises:
        InputError: If a fraction was counted among fewer than two materials.

    Example:
        >>> surface_error([0.5, 0.2], [0.5, 0.2], 100).rmse
        0.0
    """
    p, q = np.asarray(model, dtype=float), np.asarray(reference, dtype=float)
    n = np.broadcast_to(np.asarray(samples, dtype=float), q.shape)
    if (n < 2).any():
        raise InputError(
            f"'samples' is {n.min():g} at a grid point; the noise of a fraction can be taken off "
            "from 2 on."
        )
    noise = q * (1 - q) / (n - 1)
    square = float(((p - q) ** 2).mean())
    spread = float(np.sqrt(2 * (noise**2).sum()) / q.size)
    return SurfaceError(
        max(0.0, square - float(noise.mean())) ** 0.5, square**0.5, (2 * spread) ** 0.5
    )


def reference_surface(reference: Triads, target: Target) -> xr.Dataset:
    """The fraction of a reference simulation in the target, at every point of its grid.

    Arguments:
        reference: Triads on a grid of φ; samples whose simulation failed are left out.
        target: The target.

    Returns:
        `probability` and `samples` over one dimension a process parameter.

    Raises:
        InputError: If the φ are no full grid.
    """
    known = ReferenceMaterials.of(reference, settings=len(reference))
    surfaces = {"probability": known.fraction(target), "samples": known.samples}
    return xr.Dataset({name: known.surface(values) for name, values in surfaces.items()})


def model_surface(
    model: PSPGen | Ensemble,
    box: Target,
    axes: Sequence[NDArray[np.float64]] | None = None,
    *,
    points: int = 20,
    draws: int = 256,
    replicates: int = 4,
) -> xr.Dataset:
    r"""The model's :math:`P(m \in \mathcal{M}_d \mid \varphi)` on a grid.

    Arguments:
        model: The trained model.
        box: The target.
        axes: The values of each parameter; `points` from bound to bound if None.

    Other arguments:
        points: Points along each parameter.
        draws: Sobol points a scrambling.
        replicates: Independent scramblings.

    Returns:
        `probability`, the ends `low` and `high` of its 90 % interval (NaN where it is not known)
        and `standard_error` over one dimension a process parameter.
    """
    process = model.process
    if axes is None:
        axes = [process.axis(j, points) for j in range(len(process))]
    phi = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    estimate = probability(model, box, phi, draws=draws, replicates=replicates)
    return xr.Dataset(
        {
            "probability": (process.names, estimate.value),
            "standard_error": (process.names, estimate.standard_error),
            **{
                name: (process.names, np.full(phi.shape[:-1], np.nan) if end is None else end)
                for name, end in (("low", estimate.low), ("high", estimate.high))
            },
        },
        coords=coordinates(process, axes),
    )


def model_slices(
    model: PSPGen | Ensemble,
    box: Target,
    phi: NDArray[np.float64],
    *,
    points: int = 25,
    draws: int = 256,
) -> dict[str, tuple[NDArray[np.float64], Estimate]]:
    """The model's P along each parameter through `phi`, by name: values, and P with its
    interval. Where a sum binds the parameter the others of that sum move along, and values that
    constraints forbid are left out."""
    process = model.process
    lines = {}
    for j, name in enumerate(process.names):
        values = process.axis(j, points)
        line, allowed = process.feasible.along(phi, j, values)
        if not allowed.any():
            line, values, allowed = phi[None], phi[[j]], np.ones(1, bool)
        line, values = line[allowed], values[allowed]
        estimate = probability(model, box, line, draws=draws, replicates=4)
        lines[name] = (values, estimate)
    return lines
