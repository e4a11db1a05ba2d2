r"""The permeability of periodic images by an exact multifrontal solver.

Stokes flow in the void pixels of the unit cell, discretised with the element of :mod:`.element`, is one symmetric
system a sample,

.. math:: A U = B, \qquad
   A = \begin{bmatrix} K & -G \\ -G^T & -(P + \epsilon) \end{bmatrix},

with one column of :math:`B` a direction of the unit body force, no unknowns inside the solid and no velocities at nodes
that touch it. The permeability :math:`k_{ij}`, the mean velocity along :math:`i` under a force along :math:`j`, is

.. math:: k = B_u^T A^{-1} B_u \quad\text{(study)}, \qquad
   k = B_u^T A^{-1} (B_u + C) \quad\text{(consistent)},

:math:`B_u` being the load of the momentum rows and :math:`C` that of the pressure rows, :math:`-\tau \int e_j \cdot \nabla
q`: the body force enters the stabilisation too or it does not.

*No pivoting.* :math:`K` and :math:`P + \epsilon` are positive definite, so :math:`A` is quasi-definite: every symmetric
permutation of it has a factorisation :math:`LDL^T` with diagonal :math:`D` (Vanderbei).

*No solution vector.* Eliminating all unknowns of the bordered matrix leaves the Schur complement

.. math:: \begin{bmatrix} A & B \\ B^T & 0 \end{bmatrix} \;\longrightarrow\; -B^T A^{-1} B,

so the loads travel through the elimination as two (or four) more rows, and no factor is stored.

*Multifrontal.* The cell is dissected into a tree of boxes (:mod:`.nested_dissection`), children before parents:

1. the dense *front* of a box is the sum of its void elements (a leaf) or of what its two halves left (extend-add);
2. the unknowns of which all void cells lie in the box come first in it and are eliminated;
3. the Schur complement of the others is left on a stack for the enclosing box.

Almost all work is in step 2, a dense partial :math:`LDL^T`.

References:
    | The Multifrontal Solution of Indefinite Sparse Symmetric Linear Equations (Duff & Reid, 1983)
    | https://doi.org/10.1145/356044.356047

    | Symmetric Quasi-Definite Matrices (Vanderbei, 1995)
    | https://doi.org/10.1137/0805005
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .element import bordered_element
from .nested_dissection import dissect, roll_to_cheapest_edges, void_cells_at_nodes

__all__ = ["solve"]

RANK = 4
"""Pivots that are applied to the trailing matrix at a time."""

TILE = 256
"""Columns of the trailing matrix that are updated at a time, so that the pivot rows stay in the fastest cache."""


def solve(
    x: NDArray[np.uint8], formulation: str = "study", workers: int = 1
) -> NDArray[np.float64]:
    r"""The permeability tensor of each image, for a unit cell of side 1 and viscosity 1.

    Arguments:
        x: The images, 1 = void and 0 = solid, with at least one solid pixel each, with shape `(N, n, n)`.
        formulation: "study" leaves the body force out of the stabilisation (a blocked direction leaks :math:`\tau`
            times the void fraction); "consistent" keeps it (a blocked direction gives 0).
        workers: The number of threads. The result does not depend on it, to the last bit.

    Returns:
        The tensors, with shape `(N, 2, 2)`; index 0 is horizontal (the last axis of `x`), 1 vertical. Symmetric positive
        in the study form; in the consistent one symmetric only as the pixels are refined.

    Example:
        >>> x = np.zeros((1, 12, 12), np.uint8)
        >>> x[0, 2:8] = 1
        >>> channel = 6**3 / (12 * 12**3) * (1 - 1 / 6**2)
        >>> np.isclose(solve(x)[0, 0, 0], channel, rtol=1e-9)
        np.True_
    """
    x = np.ascontiguousarray(x, np.uint8)
    loads = 2 if formulation == "study" else 4
    element = bordered_element()[: 12 + loads, : 12 + loads].copy()
    schur = np.empty((len(x), loads, loads))
    chunks = [slice(i, i + 4) for i in range(0, len(x), 4)]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda part: _eliminate_all(x[part], element, schur[part]), chunks))
    return schur[:, :2, :2] if formulation == "study" else schur[:, :2, :2] + schur[:, :2, 2:]


@njit(cache=True, nogil=True)
def _eliminate_all(
    x: NDArray[np.uint8], element: NDArray[np.float64], schur: NDArray[np.float64]
) -> None:
    for i in range(len(x)):
        schur[i] = _condense(x[i], element) / float(x.shape[1]) ** 4


@njit(cache=True, nogil=True)
def _condense(x: NDArray[np.uint8], element: NDArray[np.float64]) -> NDArray[np.float64]:
    n = x.shape[0]
    loads = len(element) - 12
    x = roll_to_cheapest_edges(x)
    void = void_cells_at_nodes(x)
    boxes, number = dissect(x, void)
    last = np.max(number) + 1
    width = np.ones(last, np.int32)
    for r in range(n):
        for c in range(n):
            if void[r, c] == 4:
                width[number[r, c]] = 3
    position = np.empty(last, np.int32)
    members = np.empty(4 * n * n + 64, np.int32)
    nodes = np.empty(4 * n * n + 64, np.int32)
    node_end = np.zeros(len(boxes) + 1, np.int32)
    value_end = np.zeros(len(boxes) + 1, np.int64)
    order = np.zeros(len(boxes) + 1, np.int32)
    stack = np.empty(100 * n * n * 8 + 1000)
    panel = np.zeros(RANK * TILE)
    factor = np.empty((3 * 12 * n + 100) * RANK)
    where = np.empty(3 * 12 * n + 100, np.int32)
    depth = 0
    for b in range(len(boxes) - 1, -1, -1):
        r0, r1, c0, c1, mine, leaf = boxes[b]
        base = depth if leaf else depth - 2
        if leaf:
            count = _nodes_of_leaf(x, number, boxes[b], members)
        else:
            count = _union(nodes, node_end[base], node_end[base + 1], node_end[depth], members)
        m = 0
        s = 0
        kept = 0
        for i in range(count):
            position[members[i]] = m
            m += width[members[i]]
            if b == 0 or members[i] < boxes[b - 1, 4]:
                s = m
                kept = i + 1
        m += loads
        ld = (m + 3) & ~3
        front = stack[value_end[depth] : value_end[depth] + (m + 1) * ld]
        front[:] = 0.0
        if leaf:
            _assemble(x, void, number, boxes[b], element, position, front, m, ld)
        else:
            for child in (base, base + 1):
                q = 0
                for i in range(node_end[child], node_end[child + 1]):
                    for k in range(width[nodes[i]]):
                        where[q] = position[nodes[i]] + k
                        q += 1
                for k in range(loads):
                    where[q] = m - loads + k
                    q += 1
                _extend_add(stack[value_end[child] : value_end[child + 1]], where[:q], front, ld)
        _eliminate(front, m, ld, s, panel, factor)
        v = value_end[base]
        for i in range(s, m):
            for j in range(i, m):
                stack[v] = front[i * ld + j]
                v += 1
        e = node_end[base]
        for i in range(kept, count):
            nodes[e] = members[i]
            e += 1
        depth = base + 1
        node_end[depth] = e
        value_end[depth] = v
        order[depth] = m - s
    schur = np.empty((loads, loads))
    v = 0
    for i in range(loads):
        for j in range(i, loads):
            schur[i, j] = schur[j, i] = -stack[v]
            v += 1
    return schur


@njit(cache=True, nogil=True)
def _nodes_of_leaf(x, number, box, members):
    n = x.shape[0]
    count = 0
    for r in range(box[0], box[1]):
        for c in range(box[2], box[3]):
            if x[r, c]:
                for a in range(4):
                    node = number[(r + a // 2) % n, (c + a % 2) % n]
                    i = count
                    while i > 0 and members[i - 1] > node:
                        i -= 1
                    if i == 0 or members[i - 1] != node:
                        for j in range(count, i, -1):
                            members[j] = members[j - 1]
                        members[i] = node
                        count += 1
    return count


@njit(cache=True, nogil=True)
def _union(nodes, i, j, end, members):
    middle = j
    count = 0
    while i < middle and j < end:
        a, b = nodes[i], nodes[j]
        members[count] = min(a, b)
        count += 1
        i += a <= b
        j += b <= a
    while i < middle:
        members[count] = nodes[i]
        count += 1
        i += 1
    while j < end:
        members[count] = nodes[j]
        count += 1
        j += 1
    return count


@njit(cache=True, nogil=True)
def _assemble(x, void, number, box, element, position, front, m, ld):
    n = x.shape[0]
    size = len(element)
    index = np.empty(16, np.int64)
    for r in range(box[0], box[1]):
        for c in range(box[2], box[3]):
            if x[r, c]:
                for a in range(4):
                    rr, cc = (r + a // 2) % n, (c + a % 2) % n
                    p = position[number[rr, cc]]
                    if void[rr, cc] == 4:
                        index[3 * a] = p
                        index[3 * a + 1] = p + 1
                        index[3 * a + 2] = p + 2
                    else:
                        index[3 * a] = index[3 * a + 1] = -1
                        index[3 * a + 2] = p
                for k in range(12, size):
                    index[k] = m - size + k
                for i in range(size):
                    for j in range(size):
                        if 0 <= index[i] <= index[j]:
                            front[index[i] * ld + index[j]] += element[i, j]


@njit(cache=True, nogil=True)
def _extend_add(block, where, front, ld):
    v = 0
    for i in range(len(where)):
        row = where[i] * ld
        for j in range(i, len(where)):
            front[row + where[j]] += block[v]
            v += 1


@njit(cache=True, nogil=True, fastmath={"contract"})
def _eliminate(front, m, ld, s, panel, factor):
    for k0 in range(0, s, RANK):
        k1 = min(k0 + RANK, s)
        for k in range(k0, k1):
            pivot_row = front[k * ld + k0 : (k + 1) * ld]
            inverse = 1 / front[k * ld + k]
            for i in range(k + 1, k1):
                row = front[i * ld + k0 : (i + 1) * ld]
                a = front[k * ld + i] * inverse
                for j in range(ld - k0):
                    row[j] -= a * pivot_row[j]
        rank = k1 - k0
        for k in range(rank):
            row = front[(k0 + k) * ld : (k0 + k + 1) * ld]
            inverse = 1 / row[k0 + k]
            for i in range(k1, m):
                factor[i * RANK + k] = row[i] * inverse
        for k in range(rank, RANK):
            for i in range(k1, m):
                factor[i * RANK + k] = 0.0
        for j0 in range(k1 & ~3, ld, TILE):
            j1 = min(j0 + TILE, ld)
            for k in range(rank):
                panel[k * TILE : k * TILE + j1 - j0] = front[
                    (k0 + k) * ld + j0 : (k0 + k) * ld + j1
                ]
            for k in range(rank, RANK):
                panel[k * TILE : k * TILE + j1 - j0] = 0.0
            for i in range(k1, min(j1, m), 2):
                j = max(i & ~3, j0)
                _update_rows(
                    front[i * ld + j : i * ld + j1],
                    front[(i + 1) * ld + j : (i + 1) * ld + j1],
                    factor[i * RANK : (i + 2) * RANK],
                    panel[j - j0 :],
                    (j1 - j) >> 2,
                )


@njit(cache=True, nogil=True, fastmath={"contract"})
def _update_rows(upper, lower, factor, panel, quarter):
    a0, a1, a2, a3 = factor[0], factor[1], factor[2], factor[3]
    b0, b1, b2, b3 = factor[4], factor[5], factor[6], factor[7]
    for j in range(4 * quarter):
        p0, p1, p2, p3 = panel[j], panel[j + TILE], panel[j + 2 * TILE], panel[j + 3 * TILE]
        upper[j] = upper[j] - a0 * p0 - a1 * p1 - a2 * p2 - a3 * p3
        lower[j] = lower[j] - b0 * p0 - b1 * p1 - b2 * p2 - b3 * p3
