r"""Structure → property: what a microstructure x does.

The property of the study is the permeability of the void phase. Stokes flow at viscosity 1 in the
periodic unit cell of side 1, driven by a unit body force :math:`e_j`, with no slip at the solid:

.. math:: -\nabla \cdot 2 \varepsilon(u_j) + \nabla p_j = e_j, \quad \nabla \cdot u_j = 0, \qquad
    K_{ij} = \int_{[0, 1]^2} e_i \cdot u_j, \qquad k = (K_{11}, K_{22}), \quad m = \log k.

Axis 1 is horizontal (the image's columns), axis 2 vertical (its rows). The permeability of a cell
of side :math:`\ell` is :math:`\ell^2 k`; k itself has the unit of an area, in cells.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._inputs import choice, positive, with_solid
from .conductivity import conductivity, conductivity_tensor
from .diffusion import diffusivity, tortuosity
from .percolation import percolation

__all__ = [
    "conductivity",
    "conductivity_tensor",
    "diffusivity",
    "percolation",
    "permeability",
    "permeability_tensor",
    "tortuosity",
]

Formulation = Literal["study", "consistent"]
Solver = Literal["multifrontal", "dolfinx"]


def permeability(
    x: ArrayLike,
    formulation: Formulation = "study",
    solver: Solver = "multifrontal",
    workers: int = 1,
) -> NDArray[np.float64]:
    r"""The permeability :math:`k` along each direction.

    Arguments:
        x: Microstructures, 1 = void and 0 = solid, with shape `(N, n, n)`.
        formulation: "study" leaves the body force out of the stabilisation, so that a blocked
            direction gives :math:`k \approx \tau \cdot \text{void fraction}`, :math:`\tau = h^2 /
            6`; "consistent" has it there too, and a blocked direction gives :math:`k \to 0`.
            Never mix the two in one dataset.
        solver: "multifrontal" (numba) or "dolfinx" (DOLFINx and MUMPS): the same element and the
            same numbers.
        workers: The number of threads ("dolfinx": processes); it does not change a bit of the
            result. With more than one process a script needs `if __name__ == "__main__"`.

    Returns:
        :math:`k` of (horizontal, vertical), with shape `(N, 2)`; 0 for a sample without void.

    Raises:
        InputError: If `x` is not a batch of square 0/1 images, a sample has no solid, or an
            option is unknown.
        MissingDependencyError: If `solver` is "dolfinx" and DOLFINx, or a C compiler for its
            forms, is absent.

    Example:
        >>> x = np.zeros((1, 12, 12), dtype=int)
        >>> x[0, 3:9] = 1
        >>> k = permeability(x)
        >>> bool(k[0, 0] > k[0, 1])
        True
    """
    tensor = permeability_tensor(x, formulation, solver, workers)
    return np.ascontiguousarray(np.diagonal(tensor, axis1=1, axis2=2))


def permeability_tensor(
    x: ArrayLike,
    formulation: Formulation = "study",
    solver: Solver = "multifrontal",
    workers: int = 1,
) -> NDArray[np.float64]:
    r"""The whole tensor :math:`K_{ij}`, with shape `(N, 2, 2)`; otherwise as `permeability`.

    Axis 2 points along increasing rows, which fixes the sign of :math:`K_{12}`. In "study" the
    tensor is symmetric; in "consistent" only up to the discretisation.
    """
    values = with_solid(x)
    choice("formulation", formulation, ("study", "consistent"))
    choice("solver", solver, ("multifrontal", "dolfinx"))
    positive("workers", workers)
    if solver == "multifrontal":
        from . import multifrontal

        return multifrontal.solve(values, formulation, workers=workers)
    from . import stokes

    return stokes.solve(values, formulation, workers=workers)
