r"""Effective conductivity, thermal or electrical, of the periodic unit cell.

With a conductivity :math:`\kappa(y) \geq 0` that is constant in each phase, find the periodic
:math:`w_j` such that the field :math:`e_j + \nabla w_j` carries a current without sources: for
all periodic v

.. math:: \int \kappa \, (e_j + \nabla w_j) \cdot \nabla v = 0, \qquad
    K_{ij} = \frac{1}{|Y|} \int_Y \kappa \, (e_i + \nabla w_i) \cdot (e_j + \nabla w_j) .

The unit of :math:`K` is that of :math:`\kappa`; the size of a pixel does not matter. Bilinear
elements on squares (trilinear on cubes) make :math:`K` the least energy over fewer fields than
there are, so every :math:`K_{jj}` is too large and falls as the pixels are refined. In two
dimensions the turned current is a field again (Keller, Dykhne): with the conductivities inverted
the same cell has :math:`K(1 / \kappa) = K(\kappa) / \det K(\kappa)`. Solving it and going back
therefore gives a tensor that is too small, and the two enclose the truth.

A phase of conductivity 0 insulates: :math:`K` is exactly 0 along a direction around which the
conducting phases do not wind through the sides of pixels. However small a conductivity above 0
is, corners conduct instead: two good conductors that touch at a corner share its node, and only
refinement takes from this contact what it conducts too much.

Images are solved directly, at any contrast up to `CONTRAST`; volumes by conjugate gradients
(`_iterative`), at contrasts up to `VOLUME_CONTRAST`.

The same equation rules electrical conduction, diffusion, dielectrics and magnetic permeability. A
property with another equation needs one weak form such as `weak_form`, and one function that
fills it for a sample, such as `_elements_by_dolfinx`: mesh, compilation, the choice of squares
and the solve are in `_fem`.

References:
    | The Theory of Composites (Milton, 2002), chapters 3 and 23
"""

# pyright: reportOperatorIssue=false, reportArgumentType=false
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..io.validation import check_instance, check_memory, check_whole, plain
from . import _fem
from ._inputs import choice, labels_2d_or_3d
from .edges import EDGES, Edges, mirrored

__all__ = [
    "CONTRAST",
    "VOLUME_CONTRAST",
    "conductivity",
    "conductivity_tensor",
    "phase_values",
    "weak_form",
]

Solver = Literal["scipy", "dolfinx"]
Floats = NDArray[np.float64]

CONTRAST = 1e36
"""The largest ratio of two conductivities above 0, of images."""

VOLUME_CONTRAST = 1e6
"""The same of volumes."""


def conductivity(
    x: ArrayLike,
    values: Sequence[float],
    solver: Solver = "scipy",
    refinement: int = 1,
    *,
    edges: Edges = "periodic",
) -> Floats:
    """The effective conductivity along each direction.

    Arguments:
        x: Phase labels 0, …, L - 1 (two-phase: 0 = solid, 1 = void), with shape `(N, H, W)`, or
            `(N, D, H, W)` in three dimensions.
        values: The conductivity of each phase, L finite numbers in any one unit; 0 insulates.
        solver: "scipy" (SuperLU; volumes by conjugate gradients) or "dolfinx" (DOLFINx and MUMPS;
            images only): the same elements.
        refinement: The number of elements along each pixel's side.

    Keyword arguments:
        edges: What lies beyond the edges: "periodic", or "mirrored" and "walls", which are one
            here: two opposite sides are each at one potential, and nothing crosses the others.
            A mirrored cell has 4 times the pixels, or 8 times the voxels.

    Returns:
        The conductivities of (horizontal, vertical), in the unit of `values`, with shape `(N, 2)`;
        of volumes along (columns, rows, layers), `(N, 3)`.

    Raises:
        InputError: If `x` is not a batch of labels, `values` are not conductivities, are too far
            apart, or an option is unknown.
        MissingDependencyError: If `solver` is "dolfinx" and DOLFINx or a C compiler is absent.
        SimulationError: If a volume's conjugate gradients do not converge.

    Example:
        >>> x = np.zeros((1, 8, 12), dtype=int)
        >>> x[0, :4] = 1
        >>> conductivity(x, (1.0, 3.0)).round(6)
        array([[2. , 1.5]])
        >>> conductivity(x, (0.0, 3.0)).round(6)
        array([[1.5, 0. ]])
    """
    tensor = conductivity_tensor(x, values, solver, refinement, edges=edges)
    return np.ascontiguousarray(np.diagonal(tensor, axis1=1, axis2=2))


def conductivity_tensor(
    x: ArrayLike,
    values: Sequence[float],
    solver: Solver = "scipy",
    refinement: int = 1,
    *,
    edges: Edges = "periodic",
) -> Floats:
    """The whole symmetric tensor, with shape `(N, 2, 2)` or `(N, 3, 3)`; otherwise as
    `conductivity`."""
    phases = phase_values(values)
    images = labels_2d_or_3d(x, len(phases))
    choice("solver", solver, ("scipy", "dolfinx"))
    choice("edges", edges, EDGES)
    check_whole(refinement=refinement)
    check_memory("refinement", refinement ** (images.ndim - 1), 8 * images[0].size)
    solve: Callable[[Floats], Floats] = partial(_tensor, solver=solver)
    if images.ndim == 4:
        from . import _iterative

        _check_volume(phases, solver)
        solve = _iterative.tensor
    if edges != "periodic":
        images = mirrored(images)
    for axis in range(1, images.ndim):
        images = np.repeat(images, refinement, axis)
    # in units of the best conductor nothing overflows
    unit = phases.max() or 1.0
    return unit * np.stack([solve(kappa) for kappa in (phases / unit)[images]])


def _check_volume(phases: Floats, solver: Solver) -> None:
    if solver == "dolfinx":
        raise InputError(
            "'solver' is 'dolfinx', which factorises; a volume needs 'scipy', which does not."
        )
    conducts = phases[phases > 0]
    if len(conducts) and conducts.max() / VOLUME_CONTRAST > conducts.min():
        raise InputError(
            f"'values' is {phases.tolist()}, with conductivities further apart than a factor "
            f"{VOLUME_CONTRAST:g}, the most for a volume; pass 0 for those that are as good as "
            "none."
        )


def phase_values(values: Sequence[float]) -> Floats:
    """Returns `values` as float64, or says why they are no conductivities.

    Raises:
        InputError: If they are not finite numbers of at least 0, at least one, or those above 0
            are further apart than `CONTRAST`.
    """
    check_instance((list, tuple, range, np.ndarray), "one number for each phase", values=values)
    phases = plain(values, "values")
    if (
        not (phases.ndim == 1 and len(phases) and phases.dtype.kind in "iuf")
        or not (np.isfinite(phases) & (phases >= 0)).all()
    ):
        raise InputError(
            f"'values' is {values!r}; pass one finite conductivity for each phase, 0 for an "
            "insulator and above 0 otherwise, in the order of the labels."
        )
    conducts = phases[phases > 0].astype(float)
    if len(conducts) and conducts.max() / CONTRAST > conducts.min():
        raise InputError(
            f"'values' is {values!r}, with conductivities further apart than a factor "
            f"{CONTRAST:g}; pass 0 for those that are as good as none."
        )
    return phases.astype(float)


def _tensor(kappa: Floats, solver: Solver) -> Floats:
    """The tensor of conductivities `(H, W)`."""
    from ._network import network

    cell = network(kappa)
    if not len(cell.elements):
        return np.zeros((kappa.ndim, kappa.ndim))
    by_scipy = solver == "scipy"
    elements = (_elements_by_scipy if by_scipy else _elements_by_dolfinx)(kappa)[cell.elements]
    bases = cell.bases()
    matrix, loads = cell.system(bases, elements)
    scale = 1 / np.sqrt(matrix.diagonal())
    matrix.data *= scale[matrix.indices] * np.repeat(scale, np.diff(matrix.indptr))
    solve = _solve_by_scipy if by_scipy else _solve_by_dolfinx
    unknowns = solve(matrix, scale[:, None] * loads) * scale[:, None]
    potentials = cell.potentials(bases, unknowns)
    currents = np.matmul(elements, potentials)
    tensor = potentials.reshape(-1, kappa.ndim).T @ currents.reshape(-1, kappa.ndim) / kappa.size
    return (tensor + tensor.T) / 2


def _elements_by_scipy(kappa: Floats) -> Floats:
    from ._network import element_matrix

    return kappa.reshape(-1, 1, 1) * element_matrix(kappa.ndim)


def _solve_by_scipy(matrix: Any, loads: Floats) -> Floats:
    from scipy.sparse.linalg import splu

    factor = splu(
        matrix.tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True, "Equil": False},
    )
    return factor.solve(loads)


def weak_form(space: Any, kappa: Any) -> Any:
    r"""The bilinear form :math:`\int \kappa \nabla w \cdot \nabla v`."""
    from ufl import Measure, TestFunction, TrialFunction, dot, grad

    w, v = TrialFunction(space), TestFunction(space)
    dx = Measure("dx", space.mesh, subdomain_id=_fem.CHOSEN, metadata={"quadrature_degree": 2})
    return kappa * dot(grad(w), grad(v)) * dx


class _Squares:
    """Mesh, coefficient and compiled form of the squares of a cell, none joined to another."""

    def __init__(self, rows: int, columns: int) -> None:
        from dolfinx.fem import Function, create_matrix, functionspace

        mesh, self.squares = _fem.periodic_mesh(rows, columns)
        space = functionspace(mesh, ("Discontinuous Lagrange", 1))
        self.kappa: Any = Function(functionspace(mesh, ("Discontinuous Lagrange", 0)))
        everywhere = np.arange(rows * columns, dtype=np.int32)
        form = _fem.compiled(weak_form(space, self.kappa))
        self.form = _fem.form_on(form, [space] * 2, everywhere, coefficients=(self.kappa,))
        self.matrix = create_matrix(self.form)


@lru_cache(maxsize=8)
def _squares(rows: int, columns: int) -> _Squares:
    return _Squares(rows, columns)


def _elements_by_dolfinx(kappa: Floats) -> Floats:
    _fem.require()
    from dolfinx.fem import assemble_matrix

    cell = _squares(*kappa.shape)
    cell.kappa.x.array[:] = kappa.ravel()[cell.squares]
    cell.matrix.set_value(0.0)
    assemble_matrix(cell.matrix, cell.form)
    found = np.empty((kappa.size, 4, 4))
    found[cell.squares] = cell.matrix.data.reshape(-1, 4, 4)
    return found


def _solve_by_dolfinx(matrix: Any, loads: Floats) -> Floats:
    from petsc4py import PETSc

    # symmetric, so its columns are its rows
    matrix.sort_indices()
    entries = (matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32), matrix.data)
    held = PETSc.Mat().createAIJ(matrix.shape, csr=entries, comm=PETSc.COMM_SELF)
    with _fem.Factor(held) as factor:
        solution = factor.solve(np.ascontiguousarray(loads.T)).T
    held.destroy()
    return solution
