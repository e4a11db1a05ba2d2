r"""Stokes flow in the periodic unit cell with DOLFINx and MUMPS.

Find :math:`(u, p)` on the void squares, periodic, with :math:`u = 0` at every node that touches a
solid square, such that for all :math:`(v, q)`

.. math:: \int 2 \varepsilon(u) : \varepsilon(v) - p \, \nabla \cdot v - q \, \nabla \cdot u
    - \tau \nabla p \cdot \nabla q = \int e_j \cdot v - \sigma \tau \, e_j \cdot \nabla q.

* "study": bilinear velocity and pressure on squares of side h, :math:`\tau = h_e^2 / 12` with
  :math:`h_e^2 = 2 h^2`, and :math:`\sigma = 0`. Where the way is blocked the fluid rests, yet the
  pressure cannot balance the force exactly and :math:`K_{jj} \approx \tau \cdot \text{void
  fraction}`.
* "consistent": the same with :math:`\sigma = 1`; blocked directions have :math:`K_{jj} = 0`, to
  rounding.
* "taylor-hood": biquadratic velocity, bilinear pressure, :math:`\tau = 0`: the reference for
  accuracy.

The cell has :math:`H \times W` squares and area 1, so :math:`h^2 = 1 / (H W)`. A horizontal
channel w squares wide has :math:`K_{11} = w^3 h^2 / (12 H) \cdot (1 - 1 / w^2)` in the first two
and :math:`w^3 h^2 / (12 H)` in the third.

Two void squares that meet only at a corner share its pressure node, and a little fluid passes
there: less and less as the mesh is refined. In "consistent" they share it only if the void
connects them elsewhere, through edges and on the unrolled plane; otherwise each has a pressure of
its own there. Then the pressure of every blocked component can balance the force exactly.

References:
    | On the Stabilization of Finite Element Approximations of the Stokes Equations (Brezzi and
      Pitkäranta, 1984)
    | Computing Effective Permeability of Porous Media with FEM and Micro-CT (Vianna et al., 2020)
    | https://doi.org/10.3390/fluids5010016
"""

# pyright: reportOperatorIssue=false, reportAssignmentType=false, reportArgumentType=false
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.crews import Crew
from ..io.validation import check_whole
from . import _fem
from ._flow import flow_images, tensor_of, without_blocked
from ._inputs import choice
from ._windings import parted_nodes
from .edges import Edges
from .percolation import percolation

__all__ = [
    "FORMULATIONS",
    "ROUTES",
    "Reference",
    "UnitCell",
    "ldl",
    "lu",
    "reference",
    "solve",
    "unit_cell",
    "weak_form",
]

FORMULATIONS = ("study", "consistent", "taylor-hood")
"""The discretisations of this module; the study's data are made with the first."""


def solve(
    x: NDArray[np.uint8],
    formulation: str = "study",
    *,
    workers: int = 1,
    refinement: int = 1,
    route: str = "ldl",
) -> NDArray[np.float64]:
    r"""The permeability tensor :math:`K_{ij} = \int e_i \cdot u_j` of each sample.

    Arguments:
        x: Microstructures, 1 = void and 0 = solid, with shape `(N, H, W)`, each with a solid
            pixel.
        formulation: "study", "consistent" or "taylor-hood".

    Keyword arguments:
        workers: The number of processes.
        refinement: The number of squares along each pixel's side.
        route: How the system is solved, a key of `ROUTES`.

    Returns:
        The tensors, with shape `(N, 2, 2)`.
    """
    _fem.require()
    if workers == 1 or len(x) == 1:
        cells = (_cell_for(sample, formulation, refinement) for sample in x)
        return np.stack([ROUTES[route](c, sample) for c, sample in zip(cells, x, strict=True)])
    tensors = np.empty((len(x), 2, 2))
    task = partial(_part, formulation=formulation, refinement=refinement, route=route)
    parts = np.array_split(np.arange(len(x)), min(len(x), 4 * workers))
    for (rows, _), found in Crew(workers).perform(task, [(rows, x[rows]) for rows in parts]):
        tensors[rows] = found
    return tensors


@dataclass(frozen=True)
class Reference:
    """Permeability tensors with shape `(N, 2, 2)`, and which directions percolate, with shape
    `(N, 2)`."""

    tensor: NDArray[np.float64]
    percolates: NDArray[np.bool_]
    formulation: str
    refinement: int
    edges: Edges = "periodic"

    @property
    def k(self) -> NDArray[np.float64]:
        """The permeabilities of (horizontal, vertical), with shape `(N, 2)`; NaN where the
        direction is blocked."""
        return np.where(self.percolates, np.diagonal(self.tensor, axis1=1, axis2=2), np.nan)


def reference(
    x: ArrayLike,
    formulation: str = "taylor-hood",
    *,
    refinement: int = 2,
    workers: int = 1,
    edges: Edges = "periodic",
) -> Reference:
    """Permeability on a refined mesh, with blocked directions told apart: there the exact k is 0
    and log k is not finite.

    Raises:
        InputError: If `x` is not a batch of 0/1 images, a sample is all void and its edges are no
            walls, or an option is unknown.

    Example:
        >>> x = np.zeros((1, 6, 6), dtype=int)
        >>> x[0, 1:4] = 1
        >>> reference(x).percolates
        array([[ True, False]])
    """
    values = flow_images(x, edges)
    choice("formulation", formulation, FORMULATIONS)
    check_whole(refinement=refinement)
    check_whole(workers=workers, most=1000)
    solver = partial(solve, formulation=formulation, workers=workers, refinement=refinement)
    tensor, percolates = tensor_of(values, edges, solver), percolation(values, edges)
    if formulation == "consistent":
        tensor = without_blocked(tensor, percolates)
    return Reference(tensor, percolates, formulation, refinement, edges)


def weak_form(space: Any, h: Any, formulation: str) -> tuple[Any, list[Any]]:
    """The bilinear form, and one linear form per direction of the body force, over the void
    squares."""
    from ufl import Measure, TestFunctions, TrialFunctions, as_vector, div, dot, grad, inner, sym

    u, p = TrialFunctions(space)
    v, q = TestFunctions(space)
    tau = 0 if formulation == "taylor-hood" else 2 * h**2 / 12
    sigma = 1 if formulation == "consistent" else 0
    # enough for products of two gradients on a square
    degree = 4 if formulation == "taylor-hood" else 2
    dx = Measure(
        "dx", space.mesh, subdomain_id=_fem.CHOSEN, metadata={"quadrature_degree": degree}
    )

    viscous = 2 * inner(sym(grad(u)), sym(grad(v)))
    # the last term fixes the pressure level of each void component
    flow = (viscous - p * div(v) - q * div(u) - tau * dot(grad(p), grad(q)) - 1e-14 * p * q) * dx
    axes = (as_vector((1, 0)), as_vector((0, 1)))
    return flow, [(dot(e, v) - sigma * tau * dot(e, grad(q))) * dx for e in axes]


class UnitCell:
    """One discretisation of the cell: mesh, space and compiled forms, to be filled with any
    sample of this shape.

    Arguments:
        shape: The pixels (H, W) of a sample.
        formulation: "study", "consistent" or "taylor-hood".
        refinement: The squares along a pixel's side.
        parted: The nodes of the refined mesh that have one pressure above and another below, with
            shape `(r H, r W)`, of bilinear velocities only; none by default. The cell is then for
            samples that have solid beside each of them.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        formulation: str,
        refinement: int = 1,
        parted: NDArray[np.bool_] | None = None,
    ) -> None:
        from basix.ufl import element, mixed_element
        from dolfinx import default_scalar_type
        from dolfinx.fem import Constant, functionspace
        from dolfinx.fem.petsc import create_matrix

        self.refinement = refinement
        rows, columns = shape[0] * refinement, shape[1] * refinement
        mesh, self._squares = _fem.periodic_mesh(rows, columns, parted)
        velocity = element(
            "Lagrange", "quadrilateral", 2 if formulation == "taylor-hood" else 1, shape=(2,)
        )
        pressure = element("Lagrange", "quadrilateral", 1)
        self._space = functionspace(mesh, mixed_element([velocity, pressure]))
        self._h = Constant(mesh, default_scalar_type(1 / np.sqrt(rows * columns)))
        flow, loads = weak_form(self._space, self._h, formulation)
        self._flow, self._loads = _fem.compiled(flow), [_fem.compiled(load) for load in loads]

        self.dofs = np.asarray(self._space.dofmap.list)
        self.size = int(self.dofs.max()) + 1
        self._is_velocity = np.zeros(self.size, dtype=bool)
        self._is_velocity[self._space.sub(0).collapse()[1]] = True
        everywhere = np.arange(len(self.dofs), dtype=np.int32)
        self.mean = self._vectors(everywhere) * self._is_velocity
        self.matrix = create_matrix(self._on(self._flow, 2, everywhere))
        self.factor: _fem.Factor | None = None
        # assembled over every square once, the pattern is that of any sample
        self._assemble(everywhere)

    def assemble(self, x: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Fills `matrix` for the sample `x` of shape `(H, W)`.

        Returns:
            Which degrees of freedom are unknowns of the void, with shape `(size,)`, and the
            loads, `(2, size)`.
        """
        void = _refined(x, self.refinement).ravel()[self._squares] == 1
        unknown, at_solid = np.zeros((2, self.size), dtype=bool)
        unknown[self.dofs[void]] = True
        at_solid[self.dofs[~void]] = True
        cells = np.flatnonzero(void).astype(np.int32)
        self._assemble(cells)
        return unknown & ~(at_solid & self._is_velocity), self._vectors(cells)

    def _assemble(self, cells: NDArray[np.int32]) -> None:
        from dolfinx.fem.petsc import assemble_matrix

        self.matrix.zeroEntries()
        assemble_matrix(self.matrix, self._on(self._flow, 2, cells))
        self.matrix.assemble()

    def _vectors(self, cells: NDArray[np.int32]) -> NDArray[np.float64]:
        from dolfinx.fem import assemble_vector

        return np.stack([assemble_vector(self._on(load, 1, cells)).array for load in self._loads])

    def _on(self, form: Any, arguments: int, cells: NDArray[np.int32]) -> Any:
        used = form.ufcx_form.num_constants > 0
        return _fem.form_on(
            form, [self._space] * arguments, cells, constants=(self._h,) if used else ()
        )


@lru_cache(maxsize=8)
def unit_cell(shape: tuple[int, int], formulation: str, refinement: int = 1) -> UnitCell:
    """The `UnitCell` of these arguments, built once in a process."""
    return UnitCell(shape, formulation, refinement)


def _cell_for(x: NDArray[np.uint8], formulation: str, refinement: int) -> UnitCell:
    """The shared `UnitCell`, or one of its own for a sample that has parted nodes."""
    rows, columns = x.shape
    if formulation == "consistent":
        parted = parted_nodes(_refined(x, refinement))
        if parted.any():
            return UnitCell((rows, columns), formulation, refinement, parted)
    return unit_cell((rows, columns), formulation, refinement)


def _refined(x: NDArray[np.uint8], refinement: int) -> NDArray[np.uint8]:
    return np.repeat(np.repeat(x, refinement, axis=0), refinement, axis=1)


def ldl(cell: UnitCell, x: NDArray[np.uint8]) -> NDArray[np.float64]:
    r""":math:`LDL^\top` of the void's unknowns alone, both directions from one factorisation."""
    unknown, loads = cell.assemble(x)
    index = np.flatnonzero(unknown).astype(np.int32)
    if not len(index):
        return np.zeros((2, 2))
    with _fem.submatrix(cell.matrix, index) as part, _fem.Factor(part) as factor:
        return cell.mean[:, index] @ factor.solve(loads[:, index]).T


def lu(cell: UnitCell, x: NDArray[np.uint8]) -> NDArray[np.float64]:
    r""":math:`LU` of all unknowns, identity rows in the solid; the symbolic analysis is made once
    a cell."""
    unknown, loads = cell.assemble(x)
    cell.matrix.zeroRowsColumnsLocal(np.flatnonzero(~unknown).astype(np.int32), 1.0)
    if cell.factor is None:
        cell.factor = _fem.Factor(cell.matrix, "lu")
    return cell.mean @ cell.factor.solve(loads * unknown).T


ROUTES: dict[str, Callable[[UnitCell, NDArray[np.uint8]], NDArray[np.float64]]] = {
    "ldl": ldl,
    "lu": lu,
}


def _part(
    part: tuple[NDArray[np.intp], NDArray[np.uint8]], **settings: Any
) -> NDArray[np.float64]:
    return solve(part[1], **settings)
