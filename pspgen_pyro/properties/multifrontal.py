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
   what its two halves left (*extend-add*); for a small box of void alone, whose inner unknowns
   leave the same behind in every sample, that is looked up;
2. the unknowns that no void cell outside touches come first, and are eliminated;
3. the Schur complement of the others is left on a stack for the enclosing box.

Fronts are stored and eliminated by :mod:`pspgen_pyro.properties.front`.

References:
    | The Multifrontal Solution of Indefinite Sparse Symmetric Linear Equations (Duff & Reid, 1983)
    | https://doi.org/10.1145/356044.356047

    | Symmetric Quasi-Definite Matrices (Vanderbei, 1995)
    | https://doi.org/10.1137/0805005
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from ..io.compiling import kernel
from ._windings import parted_nodes
from .element import void_rectangle
from .front import (
    TILE,
    Columns,
    Floats,
    Indices,
    clear,
    column_of,
    eliminate,
    extend_add,
    fours,
    leave,
    place_loads,
    place_nodes,
    place_unknowns,
    storage,
)
from .nested_dissection import (
    VOID_CELLS,
    Image,
    Ints,
    dissect,
    find_fronts,
    roll_to_cheapest_edges,
    void_cells_at_nodes,
)

__all__ = ["solve"]

PARTED = 5
"""What stands for the number of void cells at a node that has one pressure for each of two."""


def solve(x: Image, formulation: str = "study", workers: int = 1) -> Floats:
    r"""The permeability tensor of each image, for a unit cell of area 1 and viscosity 1.

    Arguments:
        x: The images, 1 = void and 0 = solid, with at least one solid pixel each, with shape
            `(N, H, W)`.
        formulation: "study" leaves the body force out of the stabilisation (a blocked direction
            leaks :math:`\tau` times the void fraction); "consistent" keeps it (a blocked direction
            gives 0, to rounding).
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
    void_boxes, begin = _void_boxes(loads)
    response = np.empty((len(x), loads, loads))

    def condense(i: int) -> None:
        _condense(x[i], void_boxes, begin, response[i])

    if workers == 1:
        for i in range(len(x)):
            condense(i)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(condense, range(len(x))))
    # a load, and the row that reads the answer, are h² times theirs on the unit cell
    response *= 1 / float(x.shape[1] * x.shape[2]) ** 2
    k = response[:, :2, :2]
    return k if formulation == "study" else k + response[:, :2, 2:]


@cache
def _void_boxes(loads: int) -> tuple[Floats, Indices]:
    """What boxes of void leave, one after the other, and where that of each size begins."""
    begin = np.zeros((VOID_CELLS + 1, VOID_CELLS + 1), np.int64)
    found, total = [], 0
    for rows, columns in np.ndindex(VOID_CELLS, VOID_CELLS):
        order = 6 * (rows + columns + 2) + loads
        found.append(void_rectangle(rows + 1, columns + 1)[:order, :order].ravel())
        begin[rows + 1, columns + 1] = total
        total += order * order
    return np.concatenate(found), begin


@kernel(nogil=True)
def _condense(x: Image, void_boxes: Floats, begin: Indices, response: Floats) -> None:
    r"""Eliminates all unknowns; `response` becomes :math:`B^T A^{-1} B`."""
    loads = len(response)
    x = roll_to_cheapest_edges(x)
    void = _void_at_nodes(x, loads == 4)
    # numba compiles what is called with a literal once more for each
    void_cells: Any = np.int64(VOID_CELLS)
    boxes, number = dissect(x, void, void_cells)
    nodes, offset, owned = find_fronts(x, boxes, number)
    width = _unknowns_of_nodes(void, number, boxes)
    largest, deepest = storage(boxes, nodes, offset, owned, width, loads)

    tile = fours(largest + 1) * TILE
    front = np.zeros((largest // TILE + 1) * tile)
    stack, top = np.empty(deepest), np.zeros(len(boxes) + 1, np.int64)
    inverse, factor = np.empty(tile // TILE), np.empty(4 * (tile // TILE))
    start = np.empty(len(width), np.int64)
    row = np.empty(largest + 12 * VOID_CELLS, np.int64)
    column = np.empty(len(row), np.uint32)
    waiting, depth = np.empty(len(boxes), np.int32), 0
    for b in range(len(boxes) - 1, -1, -1):
        pivots, size = place_nodes(nodes[offset[b] : offset[b + 1]], owned[b], width, start)
        size += loads
        clear(front, tile, size)
        if boxes[b, 5]:
            matrices, places = (void_boxes, begin), (start, row, column)
            _add_leaf(x, void, number, boxes[b], matrices, places, front, tile, size, loads)
        else:
            depth -= 2
            for i in range(depth, depth + 2):
                half = waiting[i]
                kept = nodes[offset[half] + owned[half] : offset[half + 1]]
                count = place_unknowns(kept, width, start, tile, row, column)
                count = place_loads(count, loads, size, tile, row, column)
                extend_add(stack[top[i] : top[i + 1]], row[:count], column[:count], front)
        eliminate(front, tile, size, pivots, inverse, factor)
        done = fours(pivots)
        top[depth + 1] = top[depth] + leave(front, tile, size, done, stack[top[depth] :])
        waiting[depth] = b
        depth += 1
    at = 0
    for i in range(loads):
        for j in range(i, loads):
            response[i, j] = response[j, i] = 0.0 - stack[at]
            at += 1


@kernel(nogil=True)
def _void_at_nodes(x: Image, parting: bool) -> Image:
    """The number of void cells at each node, or `PARTED`."""
    void = void_cells_at_nodes(x)
    if parting:
        parted = parted_nodes(x)
        for r in range(x.shape[0]):
            for c in range(x.shape[1]):
                if parted[r, c]:
                    void[r, c] = PARTED
    return void


@kernel(nogil=True)
def _unknowns_of_nodes(void: Image, number: Ints, boxes: Ints) -> Image:
    """Three where all four cells are void, else the pressure, two where it is parted; none inside
    a box of void."""
    width = np.ones(void.size, np.uint8)
    rows, columns = void.shape
    for r in range(rows):
        for c in range(columns):
            if void[r, c] == 4:
                width[number[r, c]] = 3
            elif void[r, c] == PARTED:
                width[number[r, c]] = 2
    for box in boxes:
        if box[5] == 2:
            for r in range(box[0] + 1, box[1]):
                for c in range(box[2] + 1, box[3]):
                    width[number[r, c]] = 0
    return width


@kernel(nogil=True)
def _add_leaf(
    x: Image,
    void: Image,
    number: Ints,
    box: Ints,
    matrices: tuple[Floats, Indices],
    places: tuple[Indices, Indices, Columns],
    front: Floats,
    tile: int,
    size: int,
    loads: int,
) -> None:
    """Adds what the box of void, or each of the box's void cells, contributes.

    The velocities of a node at solid go to a spare row and column behind the front. Of the two
    pressures of a parted node, the first belongs to the cell above it.
    """
    rows, columns = x.shape
    (void_boxes, begin), (start, row, column) = matrices, places
    height, breadth = (box[1] - box[0], box[3] - box[2]) if box[5] == 2 else (1, 1)
    for top in range(box[0], box[1], height):
        for left in range(box[2], box[3], breadth):
            if not x[top, left]:
                continue
            count = 0
            for i in range(height + 1):
                for j in range(0, breadth + 1, breadth if 0 < i < height else 1):
                    r, c = (top + i) % rows, (left + j) % columns
                    first, open_node = int(start[number[r, c]]), void[r, c] == 4
                    if void[r, c] == PARTED and i == 0:
                        first += 1
                    for k in range(3):
                        place = first + k if open_node else first if k == 2 else size
                        row[count], column[count] = place * TILE, column_of(place, tile)
                        count += 1
            order = place_loads(count, loads, size, tile, row, column)
            matrix = void_boxes[begin[height, breadth] :]
            _add_nodes(matrix, row[:order], column[:order], count, front)


@kernel(nogil=True)
def _add_nodes(matrix: Floats, row: Indices, column: Columns, count: int, front: Floats) -> None:
    """Adds the blocks of a matrix in whatever order its nodes come, to the upper triangle."""
    order = len(row)
    for a in range(0, count, 3):
        for b in range(0, count, 3):
            # the pressures are never in the spare column
            if column[b + 2] < column[a + 2]:
                continue
            for i in range(a, a + 3):
                into, values = front[row[i] :], matrix[i * order :]
                for j in range(b, b + 3):
                    into[column[j]] += values[j]
    for i in range(order):
        into, values = front[row[i] :], matrix[i * order :]
        for j in range(count, order):
            into[column[j]] += values[j]
