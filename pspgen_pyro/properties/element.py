r"""The Stokes element of one square pixel: bilinear velocity, bilinear pressure (Q1–Q1),
stabilised.

On a cell of side :math:`h` the weak form is

.. math:: \int 2\,\varepsilon(u):\varepsilon(v) - p\,\nabla\!\cdot v - q\,\nabla\!\cdot u
   - \tau\,\nabla p\cdot\nabla q, \qquad \tau = \frac{h_e^2}{12},\quad h_e^2 = 2h^2,

and the loads of a unit body force :math:`e_j` are :math:`\int e_j\cdot v` and, where the force
enters the stabilisation too, :math:`-\tau\int e_j\cdot\nabla q`. In the unknowns :math:`(u, \hat
p = h p)` the matrix does not depend on :math:`h` (:math:`\tau = h^2/6` cancels the two
derivatives), and every load is :math:`h^2` times its value on the unit cell. So one matrix on the
unit cell serves every resolution.

A bilinear function is a product of two linear ones, so the integrals are Kronecker products of
the three 1-D matrices :math:`\int N_a N_b`, :math:`\int N_a' N_b'` and :math:`\int N_a N_b'`.

References:
    | On the Stabilization of Finite Element Approximations of the Stokes Equations (Brezzi &
    Pitkäranta, 1984)
    | https://doi.org/10.1007/978-3-663-14169-3_2

    | Computing Effective Permeability of Porous Media with FEM and Micro-CT: An Educational
    Approach (Vianna et al., 2020)
    | https://doi.org/10.3390/fluids5010016
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["PIN", "STABILISATION", "bordered_element", "void_rectangle"]

STABILISATION = 1 / 6
r"""The stabilisation :math:`\tau / h^2`."""

PIN = 1e-14
r"""The pressure level of each void component is fixed by adding this times :math:`h^2 p_a q_a` at
the nodes."""


@cache
def bordered_element() -> NDArray[np.float64]:
    r"""The element matrix on the unit cell, bordered by its four loads.

    .. math:: \begin{bmatrix} K & -G & b & 0 \\ -G^T & -(P + \text{pin}) & 0 & c \\
       b^T & 0 & & \\ 0 & c^T & & \end{bmatrix}

    Returns:
        The symmetric matrix, with shape `(16, 16)`. Rows `3 a + i` belong to node :math:`a`
        (row-major on the cell) and unknown :math:`i` (horizontal velocity, vertical velocity,
        pressure); rows 12, 13 are the loads :math:`b` of the momentum rows for the horizontal and
        the vertical force, rows 14, 15 the loads :math:`c` of the pressure rows.
    """
    mass = np.array([[2.0, 1.0], [1.0, 2.0]]) / 6
    stiffness = np.array([[1.0, -1.0], [-1.0, 1.0]])
    slope = np.array([[-1.0, 1.0], [-1.0, 1.0]]) / 2  # ∫ N_a N_b'

    # a node's index is (row, column), so the vertical factor comes first
    d_xx, d_yy = np.kron(mass, stiffness), np.kron(stiffness, mass)
    d_yx = np.kron(slope.T, slope)  # ∫ ∂y N_a ∂x N_b
    d_x, d_y = np.kron(mass, slope), np.kron(slope, mass)  # ∫ N_a ∂ N_b

    blocks = np.zeros((3, 3, 4, 4))
    blocks[0, 0] = 2 * d_xx + d_yy
    blocks[1, 1] = d_xx + 2 * d_yy
    blocks[0, 1], blocks[1, 0] = d_yx, d_yx.T
    blocks[0, 2], blocks[2, 0] = -d_x.T, -d_x
    blocks[1, 2], blocks[2, 1] = -d_y.T, -d_y
    blocks[2, 2] = -STABILISATION * (d_xx + d_yy) - PIN / 4 * np.eye(4)

    element = np.zeros((16, 16))
    element[:12, :12] = blocks.transpose(2, 0, 3, 1).reshape(12, 12)
    loads = np.zeros((4, 3, 4))
    loads[:, 0, 0] = loads[:, 1, 1] = 1 / 4
    loads[:, 2, 2] = -STABILISATION * d_x.sum(axis=0)
    loads[:, 2, 3] = -STABILISATION * d_y.sum(axis=0)
    element[:12, 12:] = loads.reshape(12, 4)
    element[12:, :12] = element[:12, 12:].T
    return element


@cache
def void_rectangle(rows: int, columns: int) -> NDArray[np.float64]:
    r"""The sum of a rectangle of bordered elements, its inner unknowns eliminated.

    Arguments:
        rows: The cells of the rectangle from top to bottom.
        columns: The cells from left to right.

    Returns:
        The Schur complement of the :math:`m = 2 (\text{rows} + \text{columns})` nodes on the edge
        and of the four loads, with shape `(3 m + 4, 3 m + 4)`; the nodes row-major.
    """
    nodes = np.arange((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    loads = 3 * nodes.size + np.arange(4)
    whole = np.zeros((loads[-1] + 1, loads[-1] + 1))
    for r, c in np.ndindex(rows, columns):
        unknowns = 3 * nodes[r : r + 2, c : c + 2].reshape(4, 1) + np.arange(3)
        index = np.append(unknowns, loads)
        whole[np.ix_(index, index)] += bordered_element()
    inner = (3 * nodes[1:-1, 1:-1].reshape(-1, 1) + np.arange(3)).ravel()
    edge = np.setdiff1d(np.arange(len(whole)), inner)
    coupling = whole[np.ix_(inner, edge)]
    condensed = np.linalg.solve(whole[np.ix_(inner, inner)], coupling)
    return whole[np.ix_(edge, edge)] - coupling.T @ condensed
