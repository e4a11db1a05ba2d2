r"""Effective conductivity, thermal or electrical, of the periodic unit cell.

With a conductivity :math:`\kappa(y)` that is constant in each phase, find the periodic
:math:`w_j` such that the field :math:`e_j + \nabla w_j` carries a current without sources: for
all periodic v

.. math:: \int \kappa \, (e_j + \nabla w_j) \cdot \nabla v = 0, \qquad
    K_{ij} = \int \kappa \, e_i \cdot (e_j + \nabla w_j)

over the cell of area 1. Bilinear elements on squares make :math:`K` the least energy over fewer
fields than there are, so every :math:`K_{jj}` is too large and falls as the squares are refined.
In two dimensions the turned current is a field again (Keller, Dykhne): with the conductivities
inverted the same cell has :math:`K(1 / \kappa) = K(\kappa) / \det K(\kappa)`. Solving it and
going back therefore gives a tensor that is too small, and the two enclose the truth.

The same equation rules electrical conduction, diffusion, dielectrics and magnetic permeability. A
property with another equation needs one weak form such as `weak_form`, and one function that
fills it for a sample, such as `_by_dolfinx`: mesh, compilation, the choice of squares and the
solve are in `_fem`.

References:
    | The Theory of Composites (Milton, 2002), chapters 3 and 23
"""

# pyright: reportOperatorIssue=false, reportArgumentType=false
from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from . import _fem
from ._inputs import choice, labels, positive

__all__ = ["conductivity", "conductivity_tensor", "positive_values", "weak_form"]

Solver = Literal["dolfinx", "scipy"]


def conductivity(
    x: ArrayLike, values: Sequence[float], solver: Solver = "dolfinx", refinement: int = 1
) -> NDArray[np.float64]:
    """The effective conductivity along each direction.

    Arguments:
        x: Phase labels 0, …, L - 1 (two-phase: 0 = solid, 1 = void), with shape `(N, n, n)`.
        values: The conductivity of each phase, L positive numbers, in any one unit.
        solver: "dolfinx" (DOLFINx and MUMPS) or "scipy" (SuperLU): the same elements.
        refinement: The number of squares along each pixel's side.

    Returns:
        The conductivities of (horizontal, vertical), in the unit of `values`, with shape `(N, 2)`.

    Raises:
        InputError: If `x` is not a batch of square label images, `values` are not positive finite
            numbers, or an option is unknown.
        MissingDependencyError: If `solver` is "dolfinx" and DOLFINx or a C compiler is absent.

    Example:
        >>> x = np.zeros((1, 8, 8), dtype=int)
        >>> x[0, :4] = 1
        >>> conductivity(x, (1.0, 3.0), solver="scipy").round(6)
        array([[2. , 1.5]])
    """
    tensor = conductivity_tensor(x, values, solver, refinement)
    return np.ascontiguousarray(np.diagonal(tensor, axis1=1, axis2=2))


def conductivity_tensor(
    x: ArrayLike, values: Sequence[float], solver: Solver = "dolfinx", refinement: int = 1
) -> NDArray[np.float64]:
    """The whole symmetric tensor, with shape `(N, 2, 2)`; otherwise as `conductivity`."""
    phases = positive_values(values)
    images = labels(x, len(phases))
    choice("solver", solver, ("dolfinx", "scipy"))
    positive("refinement", refinement)
    solve = _by_dolfinx if solver == "dolfinx" else _by_scipy
    fine = np.repeat(np.repeat(phases[images], refinement, axis=1), refinement, axis=2)
    return np.stack([solve(kappa) for kappa in fine])


def positive_values(values: Sequence[float]) -> NDArray[np.float64]:
    """Returns `values` as float64, or says why they are no conductivities.

    Raises:
        InputError: If they are not positive finite numbers, at least one.
    """
    phases = np.asarray(values)
    if phases.ndim == 1 and len(phases) and phases.dtype.kind in "iuf":
        phases = phases.astype(float)
        if (np.isfinite(phases) & (phases > 0)).all():
            return phases
    raise InputError(
        f"'values' is {values!r}; pass one positive finite conductivity for each phase, in the "
        "order of the labels."
    )


def weak_form(space: Any, kappa: Any) -> tuple[Any, list[Any]]:
    """The bilinear form, and one linear form per direction of the mean field."""
    from ufl import Measure, TestFunction, TrialFunction, as_vector, dot, grad

    w, v = TrialFunction(space), TestFunction(space)
    dx = Measure("dx", space.mesh, subdomain_id=_fem.CHOSEN, metadata={"quadrature_degree": 2})
    axes = (as_vector((1, 0)), as_vector((0, 1)))
    return kappa * dot(grad(w), grad(v)) * dx, [-kappa * dot(e, grad(v)) * dx for e in axes]


class _Cell:
    """Mesh, space, coefficient and compiled forms of the cell with `size` squares a side."""

    def __init__(self, size: int) -> None:
        from dolfinx.fem import Function, functionspace

        mesh, self.squares = _fem.periodic_mesh(size, size)
        space = functionspace(mesh, ("Lagrange", 1))
        self.kappa: Any = Function(functionspace(mesh, ("Discontinuous Lagrange", 0)))
        everywhere = np.arange(size * size, dtype=np.int32)
        conduction, sources = weak_form(space, self.kappa)
        self.conduction = self._on(conduction, [space] * 2, everywhere)
        self.sources = [self._on(source, [space], everywhere) for source in sources]

    def _on(self, form: Any, spaces: list[Any], squares: NDArray[np.int32]) -> Any:
        return _fem.form_on(_fem.compiled(form), spaces, squares, coefficients=(self.kappa,))


@lru_cache(maxsize=8)
def _cell(size: int) -> _Cell:
    return _Cell(size)


def _by_dolfinx(kappa: NDArray[np.float64]) -> NDArray[np.float64]:
    _fem.require()
    from dolfinx.fem import assemble_vector
    from dolfinx.fem.petsc import assemble_matrix

    cell = _cell(len(kappa))
    cell.kappa.x.array[:] = kappa.ravel()[cell.squares]
    sources = np.stack([assemble_vector(source).array for source in cell.sources])
    matrix = assemble_matrix(cell.conduction)
    matrix.assemble()
    # the potential's level is free, so one node is held at 0
    free = np.arange(1, sources.shape[1], dtype=np.int32)
    with _fem.submatrix(matrix, free) as part, _fem.Factor(part) as factor:
        potentials = factor.solve(sources[:, 1:])
    matrix.destroy()
    return _tensor(kappa, sources[:, 1:], potentials)


def _by_scipy(kappa: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import splu

    nodes = _fem.corners(*kappa.shape)
    element, gradient = _square(1 / len(kappa))
    flat = kappa.ravel()
    sources = np.zeros((2, flat.size))
    for source, slope in zip(sources, gradient, strict=True):
        np.add.at(source, nodes, -flat[:, None] * slope)
    rows, columns = np.repeat(nodes, 4, axis=1), np.tile(nodes, 4)
    entries = flat[:, None] * element.ravel()
    matrix = coo_matrix((entries.ravel(), (rows.ravel(), columns.ravel()))).tocsc()
    factor = splu(
        matrix[1:, 1:],
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return _tensor(kappa, sources[:, 1:], factor.solve(sources[:, 1:].T.copy()).T)


def _square(h: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r""":math:`\int \nabla N_a \cdot \nabla N_b` and :math:`\int \partial_j N_a` on one square."""
    stiffness, mass = np.array([[1, -1], [-1, 1]]), np.array([[2, 1], [1, 2]]) / 6
    gradient = np.array([[-1, 1, -1, 1], [-1, -1, 1, 1]]) * h / 2
    return np.kron(mass, stiffness) + np.kron(stiffness, mass), gradient


def _tensor(
    kappa: NDArray[np.float64], sources: NDArray[np.float64], potentials: NDArray[np.float64]
) -> NDArray[np.float64]:
    r""":math:`K_{ij} = \langle \kappa \rangle \delta_{ij} - s_i \cdot w_j`, symmetric to
    rounding."""
    tensor = kappa.mean() * np.eye(2) - sources @ potentials.T
    return (tensor + tensor.T) / 2
