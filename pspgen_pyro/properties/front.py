r"""Dense symmetric fronts, and the elimination of their first unknowns.

One step of :math:`L D L^T` on a symmetric matrix replaces the rows :math:`i` below the pivot
:math:`k` by

.. math:: a_{ij} \leftarrow a_{ij} - \frac{a_{ki}}{d_k} a_{kj}, \qquad j \geq i > k,
   \quad d_k = a_{kk},

and after the last pivot the rest is the Schur complement. Rows are taken by fours, from the top:
from four rows, all pivots above are subtracted, four at a time; then, if the four are pivots, each
of them from those below it. So every number that is loaded takes part in four multiplications,
and the four rows stay in the fastest cache until they are done.

Only the upper triangle of a front is meaningful. It is cut into tiles, each of `TILE` whole
columns, and number :math:`(i, j)` is `front[i * TILE + column_of(j, tile)]`, where `tile` is the
size of a tile. The constant distance between rows tells the compiler that they do not overlap.
A front has at least one spare column and row, and its pivots, filled up with trivial ones, are a
multiple of four.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..io.compiling import kernel
from .nested_dissection import Image, Ints

__all__ = [
    "TILE",
    "Columns",
    "Floats",
    "Indices",
    "clear",
    "column_of",
    "eliminate",
    "extend_add",
    "fours",
    "leave",
    "place_loads",
    "place_nodes",
    "place_unknowns",
    "storage",
]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Columns = NDArray[np.uint32]

TILE = 136
"""Columns of a tile: 17 cache lines, an odd number, so that rows spread over the cache."""


@kernel(nogil=True)
def fours(count: int) -> int:
    """The next multiple of four."""
    return (count + 3) & ~3


@kernel(nogil=True)
def column_of(j: int, tile: int) -> int:
    """Where column `j` is in the first row."""
    return j // TILE * tile + j % TILE


@kernel(nogil=True)
def clear(front: Floats, tile: int, size: int) -> None:
    """Sets the upper triangle, and the spare column and row, to zero."""
    for i in range(fours(size + 1)):
        for t in range(i // TILE, size // TILE + 1):
            left, right = max((i & ~3) - t * TILE, 0), min(fours(size + 1) - t * TILE, TILE)
            row = front[t * tile + i * TILE + left : t * tile + i * TILE + right]
            for j in range(len(row)):
                row[j] = 0.0


@kernel(nogil=True)
def extend_add(block: Floats, row: Indices, column: Columns, front: Floats) -> None:
    """Adds a packed upper triangle; the places increase, so it lands in the upper triangle."""
    at = 0
    for i in range(len(row)):
        into, columns = front[row[i] :], column[i:]
        values = block[at : at + len(columns)]
        for j in range(len(columns)):
            into[columns[j]] += values[j]
        at += len(columns)


@kernel(nogil=True)
def leave(front: Floats, tile: int, size: int, done: int, stack: Floats) -> int:
    """Packs the upper triangle of the Schur complement onto the stack; returns its length."""
    at = 0
    for i in range(done, size):
        for t in range(i // TILE, (size - 1) // TILE + 1):
            left, right = max(i - t * TILE, 0), min(size - t * TILE, TILE)
            row = front[t * tile + i * TILE + left : t * tile + i * TILE + right]
            packed = stack[at : at + len(row)]
            for j in range(len(row)):
                packed[j] = row[j]
            at += len(row)
    return at


@kernel(nogil=True)
def eliminate(
    front: Floats, tile: int, size: int, pivots: int, inverse: Floats, factor: Floats
) -> None:
    r"""Eliminates the first `pivots` unknowns in place; `inverse` becomes :math:`1 / d`."""
    done = fours(pivots)
    for i in range(pivots, done):
        front[i * TILE + column_of(i, tile)] = 1.0
    for i in range(0, size, 4):
        above, first = min(i, done), i // TILE
        _divide_by_pivots(front, column_of(i, tile), inverse, above, factor)
        for t in range(first, (size - 1) // TILE + 1):
            left, right = max(i - t * TILE, 0), min(fours(size) - t * TILE, TILE)
            at, quarter = t * tile + left, (right - left) // 4
            rows = at + i * TILE
            for k in range(0, above, 4):
                # passed twice, so that the compiler tests the two parts for overlap only once
                _subtract_above(
                    front, rows, front, at + k * TILE, factor, 4 * k, (right - left) // 4
                )
            if i < done:
                if t == first:
                    _factorise(front, rows, inverse, i, factor)
                    rows, quarter = rows + 4, quarter - 1
                _subtract_within(front, rows, factor, 4 * i, quarter)


@kernel(nogil=True, error_model="numpy")
def _divide_by_pivots(
    front: Floats, column: int, inverse: Floats, above: int, factor: Floats
) -> None:
    r"""The ratios :math:`a_{ki} / d_k` of four rows :math:`i` to all pivots above."""
    for k in range(above):
        pivot_row = front[column + k * TILE : column + k * TILE + 4]
        ratios = factor[4 * k : 4 * k + 4]
        scale = inverse[k]
        for i in range(4):
            ratios[i] = pivot_row[i] * scale


@kernel(nogil=True, fastmath={"contract"})
def _subtract_above(
    front: Floats, to: int, pivots: Floats, of: int, factor: Floats, ratios: int, quarter: int
) -> None:
    """Subtracts four pivot rows from four rows."""
    row, pivot = front[to : to + 4 * TILE], pivots[of : of + 4 * TILE]
    f = factor[ratios : ratios + 16]
    a0, a1, a2, a3 = f[0], f[4], f[8], f[12]
    b0, b1, b2, b3 = f[1], f[5], f[9], f[13]
    c0, c1, c2, c3 = f[2], f[6], f[10], f[14]
    d0, d1, d2, d3 = f[3], f[7], f[11], f[15]
    for j in range(4 * quarter):
        p0, p1, p2, p3 = pivot[j], pivot[j + TILE], pivot[j + 2 * TILE], pivot[j + 3 * TILE]
        row[j] = row[j] - a0 * p0 - a1 * p1 - a2 * p2 - a3 * p3
        row[j + TILE] = row[j + TILE] - b0 * p0 - b1 * p1 - b2 * p2 - b3 * p3
        row[j + 2 * TILE] = row[j + 2 * TILE] - c0 * p0 - c1 * p1 - c2 * p2 - c3 * p3
        row[j + 3 * TILE] = row[j + 3 * TILE] - d0 * p0 - d1 * p1 - d2 * p2 - d3 * p3


@kernel(nogil=True, error_model="numpy")
def _factorise(front: Floats, at: int, inverse: Floats, first: int, factor: Floats) -> None:
    """The inverse pivots of four rows, and the ratios of each row to those above it."""
    block, own = front[at : at + 4 * TILE], factor[4 * first : 4 * first + 16]
    for k in range(4):
        inverse[first + k] = 1 / block[k * TILE + k]
        for i in range(k + 1, 4):
            ratio = block[k * TILE + i] * inverse[first + k]
            own[4 * k + i] = ratio
            for j in range(i, 4):
                block[i * TILE + j] -= ratio * block[k * TILE + j]


@kernel(nogil=True, fastmath={"contract"})
def _subtract_within(front: Floats, at: int, factor: Floats, ratios: int, quarter: int) -> None:
    """Subtracts each of four pivot rows from those below it."""
    row, f = front[at : at + 4 * TILE], factor[ratios : ratios + 16]
    b0, c0, d0, c1, d1, d2 = f[1], f[2], f[3], f[6], f[7], f[11]
    for j in range(4 * quarter):
        p0 = row[j]
        p1 = row[j + TILE] - b0 * p0
        p2 = row[j + 2 * TILE] - c0 * p0 - c1 * p1
        p3 = row[j + 3 * TILE] - d0 * p0 - d1 * p1 - d2 * p2
        row[j + TILE], row[j + 2 * TILE], row[j + 3 * TILE] = p1, p2, p3


@kernel(nogil=True)
def storage(
    boxes: Ints, nodes: Ints, offset: Ints, owned: Ints, width: Image, loads: int
) -> tuple[int, int]:
    """The order of the largest front, and the most numbers that the stack holds."""
    largest, deepest, depth = 0, 0, 0
    top = np.zeros(len(boxes) + 1, np.int64)
    for b in range(len(boxes) - 1, -1, -1):
        pivots, kept, middle = 0, loads, offset[b] + owned[b]
        for i in range(offset[b], middle):
            pivots += int(width[nodes[i]])
        for i in range(middle, offset[b + 1]):
            kept += int(width[nodes[i]])
        largest = max(largest, kept + fours(pivots))
        depth -= 0 if boxes[b, 5] else 2
        top[depth + 1] = top[depth] + kept * (kept + 1) // 2
        depth += 1
        deepest = max(deepest, top[depth])
    return int(largest), int(deepest)


@kernel(nogil=True)
def place_nodes(nodes: Ints, owned: int, width: Image, start: Indices) -> tuple[int, int]:
    """Sets where each node's unknowns start in the front; returns the pivots and all unknowns."""
    pivots, size = 0, 0
    for i in range(len(nodes)):
        if i == owned:
            size = fours(pivots)
        start[nodes[i]] = size
        size += int(width[nodes[i]])
        if i < owned:
            pivots = size
    return pivots, max(size, fours(pivots))


@kernel(nogil=True)
def place_unknowns(
    kept: Ints, width: Image, start: Indices, tile: int, row: Indices, column: Columns
) -> int:
    """Sets where the rows and columns of a half go in the front; returns their count."""
    count = 0
    for i in range(len(kept)):
        first = int(start[kept[i]])
        for place in range(first, first + int(width[kept[i]])):
            row[count], column[count] = place * TILE, column_of(place, tile)
            count += 1
    return count


@kernel(nogil=True)
def place_loads(
    count: int, loads: int, size: int, tile: int, row: Indices, column: Columns
) -> int:
    for place in range(size - loads, size):
        row[count], column[count] = place * TILE, column_of(place, tile)
        count += 1
    return count
