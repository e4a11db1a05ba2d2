r"""Diffusion through the pores of a material: effective diffusivity and tortuosity.

A dissolved species diffuses in the pore phase, of volume fraction :math:`\varepsilon`, with the
diffusivity :math:`D_0`, and not at all in the rest. The effective diffusivity is the conductivity
of the same structure with 1 in the pores and 0 elsewhere, and the tortuosity (the factor, not its
square root) is what is left of it beside the volume fraction:

.. math:: D_\text{eff} = D_0 \frac{\varepsilon}{\tau}, \qquad
    \tau = \varepsilon \frac{D_0}{D_\text{eff}} \geq 1 .

Bilinear elements make :math:`D_\text{eff}` too large, by the energy of a potential that is
continuous. Differences between the centres of pixels, as in TauFactor, make it too small: they
are the energy of a current through the sides of the pixels, by a quadrature that exaggerates it.
The two enclose the true value and meet as pixels are refined.

A measurement between two plates, or a solver that fixes concentrations on two faces and seals the
others, is `edges="mirrored"`.

References:
    | TauFactor 2: A GPU accelerated python tool for microstructural analysis (Kench et al., 2023)
    | https://doi.org/10.21105/joss.05358
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ._inputs import labels_2d_or_3d
from .conductivity import Solver, conductivity
from .edges import Edges

__all__ = ["diffusivity", "tortuosity"]

_LABELS = 256


def diffusivity(
    x: ArrayLike,
    phase: int = 1,
    solver: Solver = "scipy",
    refinement: int = 1,
    *,
    edges: Edges = "periodic",
) -> NDArray[np.float64]:
    r"""The effective diffusivity of one phase relative to its own, :math:`D_\text{eff} / D_0`.

    Arguments:
        x: Phase labels, with shape `(N, H, W)` or `(N, D, H, W)`.
        phase: The label of the phase in which the species diffuses; every other is closed to it.
        solver: As in `pspgen_pyro.properties.conductivity`.
        refinement: The number of elements along each pixel's side.

    Keyword arguments:
        edges: As in `pspgen_pyro.properties.conductivity`.

    Returns:
        Along (horizontal, vertical), with shape `(N, 2)`, or (columns, rows, layers), `(N, 3)`;
        without a unit. Exactly 0 where the phase does not connect through the sides of pixels.

    Raises:
        InputError: If `x` is not a batch of labels, or an option is unknown.
        MissingDependencyError: If `solver` is "dolfinx" and DOLFINx or a C compiler is absent.

    Example:
        >>> x = np.zeros((1, 8, 12), dtype=int)
        >>> x[0, 2:4] = 1
        >>> diffusivity(x).round(6)
        array([[0.25, 0.  ]])
    """
    pores = _pores(x, phase)
    return conductivity(pores, (0.0, 1.0), solver, refinement, edges=edges)


def tortuosity(
    x: ArrayLike,
    phase: int = 1,
    solver: Solver = "scipy",
    refinement: int = 1,
    *,
    edges: Edges = "periodic",
) -> NDArray[np.float64]:
    r"""The tortuosity :math:`\tau = \varepsilon D_0 / D_\text{eff}`, infinite where blocked;
    otherwise as `diffusivity`.

    Example:
        >>> x = np.zeros((1, 8, 12), dtype=int)
        >>> x[0, 2:4] = 1
        >>> tortuosity(x).round(6)
        array([[ 1., inf]])
    """
    pores = _pores(x, phase)
    relative = conductivity(pores, (0.0, 1.0), solver, refinement, edges=edges)
    fraction = pores.reshape(len(pores), -1).mean(axis=1, keepdims=True)
    blocked = relative == 0
    return np.where(blocked, np.inf, fraction / np.where(blocked, 1.0, relative))


def _pores(x: ArrayLike, phase: int) -> NDArray[np.uint8]:
    """1 where `x` is of the phase, 0 elsewhere."""
    images = labels_2d_or_3d(x, _LABELS)
    whole = isinstance(phase, (int, np.integer)) and not isinstance(phase, bool)
    if not whole or not 0 <= phase < _LABELS:
        raise InputError(f"'phase' is {phase!r}; pass a label, a whole number from 0 to 255.")
    return (images == phase).astype(np.uint8)
