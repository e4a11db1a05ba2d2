r"""DOLFINx on the periodic unit cell: guarded import, mesh, and direct solves with MUMPS.

The cell is a torus of area 1 cut into :math:`H \times W` squares of side :math:`h = 1 / \sqrt{H
W}`. Its mesh has connectivity that wraps, so that the topology is periodic and no constraint is
needed; each square then gets four points of its own, so that the coordinates are right at the
seam. Columns run along :math:`x_1`, rows along :math:`x_2`.
"""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingDependencyError

if TYPE_CHECKING:
    from dolfinx.mesh import Mesh

__all__ = [
    "CHOSEN",
    "Factor",
    "compiled",
    "corners",
    "form_on",
    "periodic_mesh",
    "require",
    "submatrix",
]

CHOSEN = 1
"""The subdomain id of the squares that a form is integrated over."""


def require() -> None:
    """Imports DOLFINx in the order that works, or says what to install.

    Raises:
        MissingDependencyError: If DOLFINx is missing.
    """
    try:
        try:
            # the wheel's libmpi is found only once this package (or mpi4py) has loaded it
            importlib.import_module("dolfinx_solver")
        except ModuleNotFoundError:
            importlib.import_module("mpi4py.MPI")
        importlib.import_module("petsc4py.PETSc")
        importlib.import_module("dolfinx.fem.petsc")
    except ImportError as error:
        raise MissingDependencyError(
            "DOLFINx (real scalars, with PETSc and MUMPS) is needed for this solver and could not "
            f'be imported ({error}); install it with `pip install "pspgen-pyro[fem]"` or '
            '`conda install -c conda-forge "fenics-dolfinx>=0.11" mpich`.'
        ) from error


def compiled(form: Any) -> Any:
    """Compiles a UFL form that does not depend on the sample's data; a form seen before comes
    from the cache on disk.

    Raises:
        MissingDependencyError: If the compilation fails because no C compiler or no Python header
            is there.
    """
    from dolfinx.fem import compile_form
    from mpi4py import MPI

    try:
        return compile_form(MPI.COMM_SELF, form)
    except Exception as error:
        if lack := _lacking_for_compilation():
            raise MissingDependencyError(
                f"DOLFINx compiles its weak forms with a C compiler, and {lack} was not found; "
                "install gcc and the Python development headers, or set CC to a compiler."
            ) from error
        raise


def _lacking_for_compilation() -> str:
    """What form compilation misses on this machine; empty if nothing."""
    named = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[:1]
    candidates = named if os.environ.get("CC") else [*named, "cc", "gcc"]
    if not any(shutil.which(name) for name in candidates):
        return f"no compiler ({', '.join(dict.fromkeys(candidates))})"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    return "" if header.exists() else str(header)


def corners(rows: int, columns: int) -> NDArray[np.int64]:
    """The nodes of each square of the torus, this row's two and the next one's, with shape
    `(rows * columns, 4)`; the squares and the nodes row by row."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    right = (column + 1) % columns
    here, there = row * columns, (row + 1) % rows * columns
    return np.stack([here + column, here + right, there + column, there + right], axis=1)


def periodic_mesh(rows: int, columns: int) -> tuple[Mesh, NDArray[np.int64]]:
    r"""The periodic unit cell of area 1, in squares.

    Arguments:
        rows: The number of squares from top to bottom, at least 3.
        columns: The number from left to right, at least 3.

    Returns:
        The mesh, and for each of its cells the index :math:`\text{row} \cdot \text{columns} +
        \text{column}` of its square.
    """
    import basix.ufl
    import ufl
    from dolfinx import cpp, mesh  # pyright: ignore[reportAttributeAccessIssue]
    from dolfinx.common import IndexMap
    from mpi4py import MPI

    element: Any = basix.ufl.element("Lagrange", "quadrilateral", 1, shape=(2,))
    nodes = corners(rows, columns)
    wrapped = mesh.create_mesh(MPI.COMM_SELF, nodes, element, np.zeros((len(nodes), 2)))
    squares = np.asarray(wrapped.topology.original_cell_index)

    origin = np.stack([squares % columns, squares // columns], axis=1)
    unit = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    points = (origin[:, None, :] + unit).reshape(-1, 2) / np.sqrt(rows * columns)
    own = np.arange(len(points))
    geometry = mesh.create_geometry(
        IndexMap(MPI.COMM_SELF, len(points)),
        own.astype(np.int32).reshape(-1, 4),
        wrapped.geometry.cmaps[0],
        points,
        own,
    )
    whole = cpp.mesh.Mesh_float64(
        MPI.COMM_SELF, wrapped.topology._cpp_object, geometry._cpp_object
    )
    return mesh.Mesh(whole, ufl.Mesh(element)), squares


def form_on(
    compiled_form: Any,
    spaces: list[Any],
    cells: NDArray[np.int32],
    coefficients: tuple[Any, ...] = (),
    constants: tuple[Any, ...] = (),
) -> Any:
    """The compiled form integrated over `cells` (ascending local numbers), with the data it was
    written with."""
    from dolfinx.fem import IntegralType, create_form

    domains = {IntegralType.cell: [(CHOSEN, cells)]}
    coefficient_map = {held: held for held in coefficients}
    constant_map = {held: held for held in constants}
    return create_form(
        compiled_form, spaces, spaces[0].mesh, domains, coefficient_map, constant_map
    )


@contextmanager
def submatrix(matrix: Any, unknowns: NDArray[np.int32]) -> Iterator[Any]:
    """The rows and columns `unknowns` of a PETSc matrix, destroyed on leaving."""
    from petsc4py import PETSc

    index = PETSc.IS().createGeneral(cast(Any, unknowns), comm=PETSc.COMM_SELF)
    part = matrix.createSubMatrix(index, index)
    try:
        yield part
    finally:
        part.destroy()
        index.destroy()


class Factor:
    r"""A sparse factorisation by MUMPS, for any number of right-hand sides.

    Arguments:
        matrix: A square PETSc matrix.
        kind: "cholesky" for :math:`LDL^\top` of a symmetric matrix (definite or not), "lu" for
            :math:`LU`.

    Use it as a context manager, so that what PETSc and MUMPS hold is freed.
    """

    def __init__(self, matrix: Any, kind: str = "cholesky") -> None:
        from petsc4py import PETSc

        if kind == "cholesky":
            matrix.setOption(PETSc.Mat.Option.SYMMETRIC, True)
        self._pc = PETSc.PC().create(PETSc.COMM_SELF)
        self._pc.setOperators(matrix)
        self._pc.setType(kind)
        self._pc.setFactorSolverType("mumps")
        self._pc.setFactorSetUpSolverType()
        factor = self._pc.getFactorMatrix()
        # room for delayed pivots, in per cent of the estimate
        factor.setMumpsIcntl(14, 50)
        # no matching on values: the analysis depends on the pattern alone, and so do roundings
        factor.setMumpsIcntl(6, 0)
        self._right, self._left = matrix.createVecs()

    def __enter__(self) -> Factor:
        return self

    def __exit__(self, *_: object) -> None:
        for held in (self._right, self._left, self._pc):
            held.destroy()

    def solve(self, loads: NDArray[np.float64]) -> NDArray[np.float64]:
        """Solves for `loads` of shape `(R, unknowns)`; factorises if the matrix has changed since
        the last call.

        Raises:
            ArithmeticError: If MUMPS cannot factorise the matrix.
        """
        self._pc.setUp()
        if self._pc.getFailedReason():
            code = self._pc.getFactorMatrix().getMumpsInfog(1)
            raise ArithmeticError(f"MUMPS could not factorise the system (INFOG(1) = {code}).")
        solutions = np.empty_like(loads)
        for load, solution in zip(loads, solutions, strict=True):
            self._right.array[:] = load
            self._pc.apply(self._right, self._left)
            solution[:] = self._left.array
        return solutions
