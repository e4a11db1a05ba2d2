r"""Effective elastic stiffness of the periodic unit cell, in plane strain or plane stress.

With a stiffness C(y) that is constant in each phase, find for each mean strain
:math:`\bar\varepsilon` the periodic displacement w such that for all periodic v

.. math:: \int \varepsilon(v) : C \, (\bar\varepsilon + \varepsilon(w)) = 0, \qquad
    C^* \bar\varepsilon = \int C \, (\bar\varepsilon + \varepsilon(w))

over the cell of area 1. In the order :math:`(\varepsilon_{11}, \varepsilon_{22},
2 \varepsilon_{12})` and with Lamé's :math:`\mu = E / 2(1 + \nu)`, a phase has

.. math:: C = \begin{bmatrix} \lambda + 2 \mu & \lambda & 0 \\ \lambda & \lambda + 2 \mu & 0 \\
    0 & 0 & \mu \end{bmatrix}, \qquad
    \lambda = \frac{E \nu}{(1 + \nu)(1 - 2 \nu)} \text{ (strain)}, \quad
    \frac{E \nu}{1 - \nu^2} \text{ (stress)}.

Axis 1 runs along the columns of the image, axis 2 along its rows. Bilinear elements on square
pixels make :math:`C^*` the least energy over fewer fields than there are: it is too large, and
falls as pixels are refined, slowly where :math:`\nu` nears 1/2 in plane strain. Two solid pixels
that meet at a corner alone share its node and carry a force there, less and less as pixels are
refined. An E of 0 is a void.

References:
    | The Theory of Composites (Milton, 2002), chapters 2 and 23
"""

# pyright: reportOperatorIssue=false, reportArgumentType=false
from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import repeat
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..io.validation import check_whole, plain
from . import _fem
from ._inputs import choice, labels
from .edges import mirrored

__all__ = ["elastic_moduli", "elastic_stiffness", "phase_stiffness"]

Plane = Literal["strain", "stress"]

# what holds a node, as a share of the stiffest phase
_PIN = 1e-14
# the largest ratio of two moduli
_APART = 1e10


def elastic_stiffness(
    x: ArrayLike,
    young: Sequence[float],
    poisson: Sequence[float],
    plane: Plane = "strain",
    solver: Literal["multifrontal", "dolfinx"] = "multifrontal",
    *,
    edges: Literal["periodic", "mirrored"] = "periodic",
    workers: int = 1,
) -> NDArray[np.float64]:
    r"""The effective stiffness matrix.

    Arguments:
        x: Phase labels 0, …, L - 1, with shape `(N, H, W)`; pixels are square.
        young: Young's modulus of each phase, L numbers in any one unit; 0 for a void.
        poisson: Poisson's ratio of each phase, between -1 and 1/2; that of a void has no effect.
        plane: "strain" (a long bar) or "stress" (a thin sheet).
        solver: "multifrontal" (numba) or "dolfinx" (DOLFINx and MUMPS): the same elements.

    Keyword arguments:
        edges: "periodic", or "mirrored" for a cell made of the image and its reflections, see
            `pspgen_pyro.properties.edges`.
        workers: The number of threads of "multifrontal"; it does not change a bit of the result.

    Returns:
        The symmetric matrices :math:`C^*` in the unit of `young`, with shape `(N, 3, 3)`:
        :math:`C_{11}, C_{22}, C_{12}, C_{66}` are `[0, 0]`, `[1, 1]`, `[0, 1]`, `[2, 2]`.

    Raises:
        InputError: If `x` is not a batch of label images, a modulus is negative or not finite, two
            are more than 1e10 apart, a Poisson's ratio lies outside its bounds, a sample is all
            void, or an option is unknown.
        MissingDependencyError: If `solver` is "dolfinx" and DOLFINx or a C compiler is absent.

    Example:
        >>> x = np.zeros((1, 8, 8), dtype=int)
        >>> x[0, :4] = 1
        >>> stiffness = elastic_stiffness(x, (1.0, 3.0), (0.0, 0.0))
        >>> stiffness[0, 0, 0].round(6), stiffness[0, 1, 1].round(6)
        (np.float64(2.0), np.float64(1.5))
    """
    phases = phase_stiffness(young, poisson, plane)
    images = labels(x, len(phases))
    choice("solver", solver, ("multifrontal", "dolfinx"))
    choice("edges", edges, ("periodic", "mirrored"))
    check_whole(workers=workers, most=1000)
    solid = phases[:, 2, 2] > 0
    empty = np.flatnonzero(~solid[images].any(axis=(1, 2)))
    if len(empty):
        raise InputError(
            f"'x' has no solid in sample {empty[0]}, and a void has no stiffness; every sample "
            "needs a pixel of a phase whose Young's modulus is above 0."
        )
    cells = mirrored(images) if edges == "mirrored" else images
    if solver == "dolfinx":
        return np.stack([_by_dolfinx(phases, cell) for cell in cells])
    return _by_fronts(phases, cells, workers)


def elastic_moduli(stiffness: ArrayLike) -> dict[str, NDArray[np.float64]]:
    r"""The engineering constants of stiffness matrices, from the compliance :math:`S = C^{-1}`.

    .. math:: E_1 = 1 / S_{11}, \quad E_2 = 1 / S_{22}, \quad G = 1 / S_{66}, \quad
        \nu_{12} = -S_{12} / S_{11}, \quad \nu_{21} = -S_{12} / S_{22}

    In plane strain they are those of the plane: of one phase :math:`E / (1 - \nu^2)` and
    :math:`\nu / (1 - \nu)`.

    Arguments:
        stiffness: Symmetric matrices, with shape `(*, 3, 3)`.

    Returns:
        Arrays of shape `(*)` by the names E1, E2, G, nu12 and nu21.

    Raises:
        InputError: If the shape is another, or an entry is not finite.

    Example:
        >>> moduli = elastic_moduli(phase_stiffness((200.0,), (0.3,), "stress")[0])
        >>> moduli["E1"].round(6), moduli["nu12"].round(6)
        (np.float64(200.0), np.float64(0.3))
    """
    matrices = np.asarray(stiffness, dtype=float)
    if matrices.shape[-2:] != (3, 3) or not np.isfinite(matrices).all():
        raise InputError(
            f"'stiffness' has shape {matrices.shape} or an entry that is not finite; pass finite "
            "matrices with shape (*, 3, 3), as elastic_stiffness returns them."
        )
    # a direction that is cut off has no inverse, but the modulus 0
    least = 1e-15 * np.abs(matrices).max(axis=(-2, -1), keepdims=True) + 1e-300
    compliance = np.linalg.inv(matrices + least * np.eye(3))
    s11, s22, s12 = compliance[..., 0, 0], compliance[..., 1, 1], compliance[..., 0, 1]
    return {
        "E1": 1 / s11,
        "E2": 1 / s22,
        "G": 1 / compliance[..., 2, 2],
        "nu12": -s12 / s11,
        "nu21": -s12 / s22,
    }


def phase_stiffness(
    young: Sequence[float], poisson: Sequence[float], plane: Plane = "strain"
) -> NDArray[np.float64]:
    """The stiffness matrix C of each phase, with shape `(L, 3, 3)`.

    Raises:
        InputError: As of `elastic_stiffness`.
    """
    choice("plane", plane, ("strain", "stress"))
    e, nu = _numbers("young", young), _numbers("poisson", poisson)
    if len(e) != len(nu):
        raise InputError(
            f"'young' has {len(e)} phases and 'poisson' {len(nu)}; pass one of each a phase."
        )
    if not (np.isfinite(e) & (e >= 0)).all() or not (e > 0).any():
        raise InputError(
            f"'young' is {young!r}; pass moduli of at least 0 (a void), one of them above."
        )
    if e.max() > _APART * e[e > 0].min():
        raise InputError(
            f"'young' is {young!r}, with moduli more than {_APART:g} apart, where rounding leaves "
            "nothing of the softer one; pass 0 for a void."
        )
    if not ((nu > -1) & (nu < 0.5)).all():
        raise InputError(f"'poisson' is {poisson!r}; Poisson's ratios lie between -1 and 0.5.")
    mu = e / (2 * (1 + nu))
    first = e * nu / ((1 + nu) * (1 - 2 * nu) if plane == "strain" else 1 - nu**2)
    stiffness = np.zeros((len(e), 3, 3))
    stiffness[:, :2, :2] = first[:, None, None]
    for i, factor in enumerate((2, 2, 1)):
        stiffness[:, i, i] += factor * mu
    return stiffness


def _numbers(name: str, values: Sequence[float]) -> NDArray[np.float64]:
    found = plain(values, name)
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "iuf":
        raise InputError(
            f"'{name}' is {values!r}; pass one number for each phase, in the order of the labels."
        )
    return found.astype(float)


def _by_fronts(
    phases: NDArray[np.float64], cells: NDArray[np.uint8], workers: int
) -> NDArray[np.float64]:
    from ._elastic import bordered_elements, condense

    solid = (phases[:, 2, 2] > 0).astype(np.uint8)
    elements, response = bordered_elements(phases), np.empty((len(cells), 3, 3))
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(condense, cells, repeat(solid), repeat(elements), response))
    return response


def _weak_form(space: Any, lame: Any, mu: Any) -> tuple[Any, list[Any]]:
    """The bilinear form, and one linear form per mean strain."""
    import ufl

    w, v = ufl.TrialFunction(space), ufl.TestFunction(space)
    dx = ufl.Measure("dx", space.mesh, subdomain_id=_fem.CHOSEN, metadata={"quadrature_degree": 2})

    def stress(strain: Any) -> Any:
        trace: Any = ufl.tr(strain)
        return lame * trace * ufl.Identity(2) + 2 * mu * strain

    means = ([[1, 0], [0, 0]], [[0, 0], [0, 1]], [[0, 0.5], [0.5, 0]])
    strain = ufl.sym(ufl.grad(v))
    loads: list[Any] = []
    for mean in means:
        work: Any = ufl.inner(stress(ufl.as_matrix(mean)), strain)
        loads.append(-work * dx)
    return ufl.inner(stress(ufl.sym(ufl.grad(w))), strain) * dx, loads


class _Cell:
    """Mesh, space, coefficients and compiled forms of the cell of so many squares."""

    def __init__(self, rows: int, columns: int) -> None:
        from dolfinx.fem import Function, functionspace

        mesh, self.squares = _fem.periodic_mesh(rows, columns)
        constants = functionspace(mesh, ("Discontinuous Lagrange", 0))
        self.space = functionspace(mesh, ("Lagrange", 1, (2,)))
        self.lame: Any = Function(constants)
        self.mu: Any = Function(constants)
        stiffness, loads = _weak_form(self.space, self.lame, self.mu)
        self._stiffness, self._loads = _fem.compiled(stiffness), [_fem.compiled(f) for f in loads]

    def forms_on(self, squares: NDArray[np.int32]) -> tuple[Any, list[Any]]:
        """The forms integrated over the squares that are solid."""
        held = (self.lame, self.mu)
        stiffness = _fem.form_on(self._stiffness, [self.space] * 2, squares, coefficients=held)
        return stiffness, [
            _fem.form_on(load, [self.space], squares, coefficients=held) for load in self._loads
        ]


@lru_cache(maxsize=8)
def _cell(rows: int, columns: int) -> _Cell:
    return _Cell(rows, columns)


def _by_dolfinx(phases: NDArray[np.float64], x: NDArray[np.uint8]) -> NDArray[np.float64]:
    _fem.require()
    from dolfinx.fem import assemble_vector
    from dolfinx.fem.petsc import assemble_matrix

    cell, found = _cell(*x.shape), x.ravel()
    each = phases[found][cell.squares]
    cell.lame.x.array[:], cell.mu.x.array[:] = each[:, 0, 1], each[:, 2, 2]
    squares = np.flatnonzero(each[:, 2, 2] > 0).astype(np.int32)
    stiffness, loads = cell.forms_on(squares)
    sources = np.stack([assemble_vector(load).array for load in loads])
    matrix = assemble_matrix(stiffness)
    matrix.assemble()
    blocks = np.unique(np.asarray(cell.space.dofmap.list)[squares])
    index = (2 * blocks[:, None] + np.arange(2)).ravel().astype(np.int32)
    with _fem.submatrix(matrix, index) as part:
        # an island of solid, and the whole, are free to move
        part.shift(_PIN * phases[:, 2, 2].max())
        with _fem.Factor(part) as factor:
            displacements = factor.solve(sources[:, index])
    matrix.destroy()
    mean = phases[found].mean(axis=0)
    effective = mean - sources[:, index] @ displacements.T
    return (effective + effective.T) / 2
