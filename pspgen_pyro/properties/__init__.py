r"""Structure → property: what a microstructure x does.

The property of the study is the permeability of the void phase. Stokes flow at viscosity 1 in the
periodic unit cell of area 1, driven by a unit body force :math:`e_j`, with no slip at the solid:

.. math:: -\nabla \cdot 2 \varepsilon(u_j) + \nabla p_j = e_j, \quad \nabla \cdot u_j = 0, \qquad
    K_{ij} = \int e_i \cdot u_j, \qquad k = (K_{11}, K_{22}), \quad m = \log k.

Axis 1 is horizontal (the image's columns), axis 2 vertical (its rows). k has the unit of an area,
that of the image: with :math:`H \times W` square pixels of side h the permeability is :math:`H W
h^2 k`.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.validation import check_whole
from ._flow import flow_images, tensor_of, without_blocked
from ._inputs import choice
from .conductivity import conductivity, conductivity_tensor
from .diffusion import diffusivity, tortuosity
from .edges import Edges
from .elasticity import elastic_moduli, elastic_stiffness
from .lengths import length, millidarcy
from .percolation import percolation

__all__ = [
    "conductivity",
    "conductivity_tensor",
    "diffusivity",
    "elastic_moduli",
    "elastic_stiffness",
    "length",
    "millidarcy",
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
    *,
    edges: Edges = "periodic",
    pixel_size: str | None = None,
) -> NDArray[np.float64]:
    r"""The permeability :math:`k` along each direction.

    Arguments:
        x: Microstructures of square pixels, 1 = void and 0 = solid, with shape `(N, H, W)`.
        formulation: "study" leaves the body force out of the stabilisation, so that a blocked
            direction gives :math:`k \approx \tau \cdot \text{void fraction}`, :math:`\tau = h^2 /
            6`; "consistent" has it there too, and a blocked direction gives :math:`k = 0`.
            Never mix the two in one dataset.
        solver: "multifrontal" (numba) or "dolfinx" (DOLFINx and MUMPS): the same element and the
            same numbers.
        workers: The number of threads ("dolfinx": processes); it does not change a bit of the
            result. With more than one process a script needs `if __name__ == "__main__"`.

    Keyword arguments:
        edges: What lies beyond the image: "periodic", the image again; "mirrored", its
            reflection, so that the fluid slips along the sides that the mean flow does not
            cross; "walls", a reflection along the mean flow, and solid at the other sides.
        pixel_size: The side of a pixel with its unit of length, such as "0.5 um"; k then is in
            m². `lengths.millidarcy` converts that.

    Returns:
        :math:`k` of (horizontal, vertical) in units of an image's area, or in m², with shape
        `(N, 2)`; 0 for a sample without void.

    Raises:
        InputError: If `x` is not a batch of 0/1 images, a sample is all void and its edges are no
            walls, an option is unknown, or the pixel size is no length.
        MissingDependencyError: If `solver` is "dolfinx" and DOLFINx, or a C compiler for its
            forms, is absent.

    Example:
        >>> x = np.zeros((1, 12, 12), dtype=int)
        >>> x[0, 3:9] = 1
        >>> k = permeability(x)
        >>> bool(k[0, 0] > k[0, 1])
        True
    """
    tensor = permeability_tensor(
        x, formulation, solver, workers, edges=edges, pixel_size=pixel_size
    )
    return np.ascontiguousarray(np.diagonal(tensor, axis1=1, axis2=2))


def permeability_tensor(
    x: ArrayLike,
    formulation: Formulation = "study",
    solver: Solver = "multifrontal",
    workers: int = 1,
    *,
    edges: Edges = "periodic",
    pixel_size: str | None = None,
) -> NDArray[np.float64]:
    r"""The whole tensor :math:`K_{ij}`, with shape `(N, 2, 2)`; otherwise as `permeability`.

    Axis 2 points along increasing rows, which fixes the sign of :math:`K_{12}`. In "study" the
    tensor is symmetric; in "consistent" only up to the discretisation, and there the row and the
    column of a direction along which the void does not percolate are 0. What the solvers find
    for its :math:`K_{jj}` is rounding. With "walls" and "mirrored", :math:`K_{12} = K_{21} = 0`.
    """
    values = flow_images(x, edges)
    choice("formulation", formulation, ("study", "consistent"))
    choice("solver", solver, ("multifrontal", "dolfinx"))
    check_whole(workers=workers, most=1000)
    area = 1.0 if pixel_size is None else values[0].size * length(pixel_size, "pixel_size") ** 2
    if solver == "multifrontal":
        from .multifrontal import solve
    else:
        from .stokes import solve

    solved = partial(solve, formulation=formulation, workers=workers)
    tensor = tensor_of(values, edges, solved)
    if formulation == "consistent":
        tensor = without_blocked(tensor, percolation(values, edges))
    return tensor * area
