r"""The permeability of periodic images by an exact multifrontal solver.

Stokes flow in the void pixels of the unit cell, discretised with the element of
:mod:`pspgen_pyro.properties.element`, is one symmetric system a sample,

.. math:: A U = B, \qquad
   A = \begin{bmatrix} K & -G \\ -G^T & -(P + \epsilon) \end{bmatrix},

with a column of :math:`B` for each direction of the unit body force, no unknowns inside the solid
and no velocities at nodes that touch it. With :math:`b` the load of the momentum rows and
:math:`c` that of the pressure rows, :math:`-\tau \int e_j \cdot \nabla q`, the permeability
:math:`k_{ij}`, the mean velocity along :math:`i` under a force along :math:`j`, is

.. math:: k = b^T A^{-1} b \quad\text{(study)}, \qquad
   k = b^T A^{-1} (b + c) \quad\text{(consistent)}.

*No pivoting.* :math:`K` and :math:`P + \epsilon` are positive definite, so :math:`A` is
quasi-definite: every symmetric permutation of it has a factorisation :math:`L D L^T` with diagonal
:math:`D` (Vanderbei). The pin :math:`\epsilon` fixes the pressure level of every island of void; a
level that no load excites (their sum over an island is zero) does not enter :math:`k`.

*No solution vector.* Eliminating all unknowns of the bordered matrix leaves the Schur complement

.. math:: \begin{bmatrix} A & B \\ B^T & 0 \end{bmatrix} \;\longrightarrow\; -B^T A^{-1} B,

so the loads travel through the elimination as two (or, with :math:`c`, four) more rows and
columns, there is no back-substitution, and no factor is stored.

*Multifrontal.* The cell is dissected into a binary tree of boxes, visited with the halves before
the whole (:mod:`pspgen_pyro.properties.nested_dissection`). At each box

1. the *front*, a dense symmetric matrix, is the sum of the box's void elements (a leaf), or of
   what its two halves left (*extend-add*);
2. the unknowns that no void cell outside touches come first, and are eliminated;
3. the Schur complement of the others is left on a stack for the enclosing box.

A front is stored by rows, and only its upper triangle is meaningful; a row is padded to a multiple
of four numbers.

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
from .nested_dissection import (
    Image,
    Ints,
    dissect,
    find_fronts,
    roll_to_cheapest_edges,
    void_cells_at_nodes,
)

__all__ = ["solve"]

Floats = NDArray[np.float64]

RANK = 4
"""Pivot rows that are subtracted from the rows below them at a time."""

TILE = 256
"""Columns that are updated at a time, so that the pivot rows stay in the fastest cache."""

CHUNK = 8
"""Samples that a thread takes at a time."""


def solve(x: Image, formulation: str = "study", workers: int = 1) -> Floats:
    r"""The permeability tensor of each image, for a unit cell of side 1 and viscosity 1.

    Arguments:
        x: The images, 1 = void and 0 = solid, with at least one solid pixel each, with shape
            `(N, n, n)`.
        formulation: "study" leaves the body force out of the stabilisation (a blocked direction
            leaks :math:`\tau` times the void fraction); "consistent" keeps it (a blocked direction
            gives 0).
        workers: The number of threads; it does not change a bit of the result.

    Returns:
        The tensors, with shape `(N, 2, 2)`; index 0 is horizontal (the last axis of `x`), 1
        vertical. The study's are symmetric and positive; the consistent ones are so only in the
        limit of small pixels.

    Example:
        >>> x = np.zeros((1, 12, 12), np.uint8)
        >>> x[0, 2:8] = 1
        >>> channel = 6**3 / (12 * 12**3) * (1 - 1 / 6**2)
        >>> bool(np.isclose(solve(x)[0, 0, 0], channel, rtol=1e-9))
        True
    """
    x = np.ascontiguousarray(x, np.uint8)
    loads = 2 if formulation == "study" else 4
    element = bordered_element()[: 12 + loads, : 12 + loads].copy()
    response = np.empty((len(x), loads, loads))

    def condense(first: int) -> None:
        part = slice(first, first + CHUNK)
        _condense_each(x[part], element, response[part])

    chunks = range(0, len(x), CHUNK)
    if workers == 1:
        for first in chunks:
            condense(first)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(condense, chunks))
    k = response[:, :2, :2]
    return k if formulation == "study" else k + response[:, :2, 2:]


@njit(cache=True, nogil=True)
def _condense_each(x: Image, element: Floats, response: Floats) -> None:
    # a load, and the row that reads the answer, are h² times theirs on the unit cell
    scale = 1 / float(x.shape[1]) ** 4
    for i in range(len(x)):
        _condense(x[i], element, response[i])
        response[i] *= scale


@njit(cache=True, nogil=True)
def _condense(x: Image, element: Floats, response: Floats) -> None:
    r"""Eliminates all unknowns; `response` becomes :math:`B^T A^{-1} B`."""
    loads = len(response)
    x = roll_to_cheapest_edges(x)
    void = void_cells_at_nodes(x)
    boxes, number = dissect(x, void)
    nodes, offset, owned = find_fronts(x, boxes, number)
    width = _unknowns_of_nodes(void, number)
    largest, deepest = _storage(boxes, nodes, offset, owned, width, loads)

    front = np.zeros((largest + 1) * (largest + 3))
    stack, top = np.empty(deepest), np.zeros(len(boxes) + 1, np.int64)
    factor, panel = np.zeros((largest + 2) * RANK), np.zeros(RANK * TILE)
    position, place = np.empty(len(width), np.uint32), np.empty(largest, np.uint32)
    waiting, depth = np.empty(len(boxes), np.int32), 0
    for b in range(len(boxes) - 1, -1, -1):
        pivots, size = _place_nodes(nodes[offset[b] : offset[b + 1]], owned[b], width, position)
        size += loads
        stride = (size + 3) & ~3
        _clear(front, size, stride)
        if boxes[b, 5]:
            _add_elements(x, void, number, boxes[b], element, position, front, size, stride)
        else:
            depth -= 2
            for i in range(depth, depth + 2):
                half = waiting[i]
                kept = nodes[offset[half] + owned[half] : offset[half + 1]]
                count = _place_unknowns(kept, width, position, size, loads, place)
                _extend_add(stack[top[i] : top[i + 1]], place[:count], front, stride)
        _eliminate(front, size, stride, pivots, factor, panel)
        top[depth + 1] = top[depth] + _leave(front, size, stride, pivots, stack[top[depth] :])
        waiting[depth] = b
        depth += 1
    for i in range(loads):
        for j in range(i, loads):
            response[i, j] = response[j, i] = (
                0.0 - front[(size - loads + i) * stride + size - loads + j]
            )


@njit(cache=True, nogil=True)
def _unknowns_of_nodes(void: Image, number: Ints) -> Image:
    """Three where all four cells are void, else the pressure alone; by number."""
    width = np.ones(np.sum(void > 0), np.uint8)
    n = len(void)
    for r in range(n):
        for c in range(n):
            if void[r, c] == 4:
                width[number[r, c]] = 3
    return width


@njit(cache=True, nogil=True)
def _storage(
    boxes: Ints, nodes: Ints, offset: Ints, owned: Ints, width: Image, loads: int
) -> tuple[int, int]:
    """The order of the largest front, and the most numbers that the stack holds."""
    largest, deepest, depth = 0, 0, 0
    top = np.zeros(len(boxes) + 1, np.int64)
    for b in range(len(boxes) - 1, -1, -1):
        middle = offset[b] + owned[b]
        kept = loads + np.sum(width[nodes[middle : offset[b + 1]]])
        largest = max(largest, kept + np.sum(width[nodes[offset[b] : middle]]))
        depth -= 0 if boxes[b, 5] else 2
        top[depth + 1] = top[depth] + kept * (kept + 1) // 2
        depth += 1
        deepest = max(deepest, top[depth])
    return int(largest), int(deepest)


@njit(cache=True, nogil=True)
def _place_nodes(
    nodes: Ints, owned: int, width: Image, position: NDArray[np.uint32]
) -> tuple[int, int]:
    """Sets where each node's unknowns start in the front; returns the pivots and all unknowns."""
    pivots, size = 0, 0
    for i in range(len(nodes)):
        position[nodes[i]] = size
        size += int(width[nodes[i]])
        if i < owned:
            pivots = size
    return pivots, size


@njit(cache=True, nogil=True)
def _place_unknowns(
    kept: Ints,
    width: Image,
    position: NDArray[np.uint32],
    size: int,
    loads: int,
    place: NDArray[np.uint32],
) -> int:
    """Sets where each unknown, and each load, of a half goes in the front; returns their count."""
    count = 0
    for i in range(len(kept)):
        for k in range(width[kept[i]]):
            place[count] = position[kept[i]] + k
            count += 1
    for k in range(loads):
        place[count + k] = size - loads + k
    return count + loads


@njit(cache=True, nogil=True)
def _clear(front: Floats, size: int, stride: int) -> None:
    for i in range(size):
        row = front[i * stride + (i & ~3) : (i + 1) * stride]
        for j in range(len(row)):
            row[j] = 0.0


@njit(cache=True, nogil=True)
def _add_elements(
    x: Image,
    void: Image,
    number: Ints,
    box: Ints,
    element: Floats,
    position: NDArray[np.uint32],
    front: Floats,
    size: int,
    stride: int,
) -> None:
    """Adds the elements of the box's void cells; a node at solid has only its pressure."""
    n = len(x)
    loads = len(element) - 12
    start, first = np.empty(4, np.int64), np.empty(4, np.int64)
    for cell_row in range(box[0], box[1]):
        for cell_column in range(box[2], box[3]):
            if not x[cell_row, cell_column]:
                continue
            for a in range(4):
                r, c = (cell_row + a // 2) % n, (cell_column + a % 2) % n
                first[a] = 0 if void[r, c] == 4 else 2
                start[a] = np.int64(position[number[r, c]]) - first[a]
            for a in range(4):
                for b in range(4):
                    if start[b] + first[b] < start[a] + first[a]:
                        continue
                    at = start[a] * stride + start[b]
                    for i in range(first[a], 3):
                        for j in range(first[b], 3):
                            front[at + i * stride + j] += element[3 * a + i, 3 * b + j]
                at = start[a] * stride + size - loads
                for i in range(first[a], 3):
                    for k in range(loads):
                        front[at + i * stride + k] += element[3 * a + i, 12 + k]


@njit(cache=True, nogil=True)
def _extend_add(block: Floats, place: NDArray[np.uint32], front: Floats, stride: int) -> None:
    """Adds a packed upper triangle; `place` increases, so it lands in the upper triangle."""
    v = 0
    for i in range(len(place)):
        row = front[place[i] * stride : (place[i] + 1) * stride]
        columns, values = place[i:], block[v : v + len(place) - i]
        for j in range(len(columns)):
            row[columns[j]] += values[j]
        v += len(columns)


@njit(cache=True, nogil=True)
def _leave(front: Floats, size: int, stride: int, pivots: int, stack: Floats) -> int:
    """Packs the upper triangle of the Schur complement onto the stack; returns its length."""
    v = 0
    for i in range(pivots, size):
        row = front[i * stride + i : i * stride + size]
        packed = stack[v : v + size - i]
        for j in range(len(row)):
            packed[j] = row[j]
        v += len(row)
    return v


@njit(cache=True, nogil=True, fastmath={"contract"})
def _eliminate(
    front: Floats, size: int, stride: int, pivots: int, factor: Floats, panel: Floats
) -> None:
    r"""The first `pivots` steps of :math:`L D L^T`, in place: row :math:`k` of the result is
    :math:`d_k L_{\cdot k}^T`.

    .. math:: a_{ij} \leftarrow a_{ij} - \sum_k \frac{a_{ki}}{d_k} a_{kj}, \qquad j \geq i > k

    The sum runs over a few pivots at a time, two rows :math:`i` at a time: enough work for each
    number that is loaded. An odd last row is paired with the spare row below the front.
    """
    for first in range(0, pivots, RANK):
        last = min(first + RANK, pivots)
        _eliminate_within(front, stride, first, last)
        for k in range(RANK):
            row = front[(first + k) * stride : (first + k + 1) * stride]
            inverse = 1 / row[first + k] if first + k < last else 0.0
            for i in range(last, size):
                factor[i * RANK + k] = row[i] * inverse
        for left in range(last & ~3, stride, TILE):
            right = min(left + TILE, stride)
            for k in range(RANK):
                source = front[(first + k) * stride + left : (first + k) * stride + right]
                target = panel[k * TILE : k * TILE + right - left]
                for j in range(len(source)):
                    target[j] = source[j]
            for i in range(last, min(right, size), 2):
                j = max(i & ~3, left)
                _subtract_from_two_rows(
                    front[i * stride + j : i * stride + right],
                    front[(i + 1) * stride + j : (i + 1) * stride + right],
                    factor[i * RANK : (i + 2) * RANK],
                    panel[j - left :],
                    (right - j) // 4,
                )


@njit(cache=True, nogil=True, fastmath={"contract"})
def _eliminate_within(front: Floats, stride: int, first: int, last: int) -> None:
    for k in range(first, last):
        pivot_row = front[k * stride + first : (k + 1) * stride]
        for i in range(k + 1, last):
            row = front[i * stride + first : (i + 1) * stride]
            ratio = pivot_row[i - first] / pivot_row[k - first]
            for j in range(len(row)):
                row[j] -= ratio * pivot_row[j]


@njit(cache=True, nogil=True, fastmath={"contract"})
def _subtract_from_two_rows(
    upper: Floats, lower: Floats, factor: Floats, panel: Floats, quarter: int
) -> None:
    a0, a1, a2, a3 = factor[0], factor[1], factor[2], factor[3]
    b0, b1, b2, b3 = factor[4], factor[5], factor[6], factor[7]
    for j in range(4 * quarter):
        p0, p1, p2, p3 = panel[j], panel[j + TILE], panel[j + 2 * TILE], panel[j + 3 * TILE]
        upper[j] = upper[j] - a0 * p0 - a1 * p1 - a2 * p2 - a3 * p3
        lower[j] = lower[j] - b0 * p0 - b1 * p1 - b2 * p2 - b3 * p3
