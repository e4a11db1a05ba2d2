r"""Nested dissection of a periodic image of cells, with cuts that run where the solid is.

A box of cells is cut in two by a straight line of nodes, each half again, until a box is small. An unknown can be
eliminated as soon as every void cell that touches it has been merged, so it belongs to the smallest box that contains
all those cells: to the box whose cut has void on both sides of its node. The fewer unknowns on a cut, the smaller the
dense matrices of the elimination: each cut takes the line with the fewest unknowns near the middle of its box (a node
inside the void carries three, a node at a wall one if the line separates two void cells there, else none), and the
periodic cell is first rolled so that its own edges lie on the cheapest row and column.

Numbering the nodes box by box, an enclosing box before its parts and counting down, gives an elimination order in which
the unknowns of every box, sorted by number, start with those that the box eliminates.

References:
    | Nested Dissection of a Regular Finite Element Mesh (George, 1973)
    | https://doi.org/10.1137/0710032
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["dissect", "roll_to_cheapest_edges", "void_cells_at_nodes"]


LEAF_CELLS = 16
"""A box of at most this many cells is not cut."""

OFF_CENTRE = 0.6
"""A cut may leave the middle of its box by this fraction of the half width."""


@njit(cache=True, nogil=True)
def void_cells_at_nodes(x: NDArray[np.uint8]) -> NDArray[np.int8]:
    """The number of void cells (0 to 4) that touch each node of the torus, with shape `(n, n)`.

    Node `(r, c)` is the upper left corner of cell `(r, c)`.
    """
    n = x.shape[0]
    count = np.empty((n, n), np.int8)
    for r in range(n):
        for c in range(n):
            count[r, c] = x[r - 1, c - 1] + x[r - 1, c] + x[r, c - 1] + x[r, c]
    return count


@njit(cache=True, nogil=True)
def roll_to_cheapest_edges(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rolls the periodic image so that the lines of nodes at its edges carry the fewest unknowns a cut can have."""
    n = x.shape[0]
    unknowns = _unknowns_along_cuts(x)
    top, left = np.argmin(unknowns[0, :, n]), np.argmin(unknowns[1, :, n])
    rolled = np.empty((n, n), np.uint8)
    for r in range(n):
        for c in range(n):
            rolled[r, c] = x[(r + top) % n, (c + left) % n]
    return rolled


@njit(cache=True, nogil=True)
def dissect(
    x: NDArray[np.uint8], void: NDArray[np.int8]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    r"""Cuts the cell into boxes and numbers the nodes in the order of their elimination.

    Arguments:
        x: The image, 1 = void, with shape `(n, n)`.
        void: The void cells at each node, with shape `(n, n)`.

    Returns:
        The boxes in preorder (a box, all of its first half, all of its second half), with shape `(boxes, 6)`: first and
        last row of nodes, first and last column, the smallest number of the nodes that the box and those before it
        own, and 1 for a leaf. The number of each node, with shape `(n, n)`; -1 where no void cell touches it.
    """
    n = x.shape[0]
    unknowns = _unknowns_along_cuts(x)
    number = np.full((n, n), -1, np.int32)
    flat, stride = number.reshape(-1), (n, 1)
    boxes = np.zeros((2 * n * n, 6), np.int32)
    pending = np.zeros((2 * n * n, 4), np.int32)
    pending[0, 1] = pending[0, 3] = n
    waiting, found, free = 1, 0, np.sum(void > 0)
    while waiting:
        waiting -= 1
        box = boxes[found]
        box[:4] = pending[waiting]
        rows, columns = box[1] - box[0], box[3] - box[2]
        if rows * columns <= LEAF_CELLS:
            for r in range(box[0], box[1] + 1):
                for c in range(box[2], box[3] + 1):
                    if void[r % n, c % n] and number[r % n, c % n] < 0:
                        free -= 1
                        number[r % n, c % n] = free
            box[5] = 1
        else:
            across = 0 if rows >= columns else 1
            low, high = box[2 * across], box[2 * across + 1]
            start, stop = box[2 - 2 * across], box[3 - 2 * across]
            cut = _cheapest_cut(unknowns[across], low, high, start, stop)
            # a box as long as the cell is a ring: one cut opens it at its ends, the other in the middle
            for line in (low, cut) if high - low == n else (cut, cut):
                for position in range(start, stop + 1):
                    p = position % n
                    node = line * stride[across] + p * stride[1 - across]
                    if (
                        unknowns[across, line, p + 1] > unknowns[across, line, p]
                        and flat[node] < 0
                    ):
                        free -= 1
                        flat[node] = free
            pending[waiting] = pending[waiting + 1] = box[:4]
            pending[waiting, 2 * across + 1] = pending[waiting + 1, 2 * across] = cut
            waiting += 2
        box[4] = free
        found += 1
    return boxes[:found], number


@njit(cache=True, nogil=True)
def _unknowns_along_cuts(x: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The unknowns that a cut carries on its first `p` nodes, with shape `(2, n, n + 1)`: along row, column `line`."""
    n = x.shape[0]
    total = np.zeros((2, n, n + 1), np.int32)
    for line in range(n):
        for p in range(n):
            a, b, c, d = x[line - 1, p - 1], x[line - 1, p], x[line, p - 1], x[line, p]
            total[0, line, p + 1] = total[0, line, p] + _unknowns(a, b, c, d)
            a, b, c, d = x[p - 1, line - 1], x[p, line - 1], x[p - 1, line], x[p, line]
            total[1, line, p + 1] = total[1, line, p] + _unknowns(a, b, c, d)
    return total


@njit(cache=True, nogil=True)
def _unknowns(a: int, b: int, c: int, d: int) -> int:
    """The unknowns that a node shares between the cells a, b on one side of a cut and c, d on the other."""
    if a and b and c and d:
        return 3
    return 1 if (a or b) and (c or d) else 0


@njit(cache=True, nogil=True)
def _cheapest_cut(unknowns: NDArray[np.int32], low: int, high: int, start: int, stop: int) -> int:
    best, cheapest = (low + high) // 2, np.inf
    for line in range(low + 1, high):
        off = abs(2 * line - low - high) / (high - low)
        cost = (1 + unknowns[line, stop] - unknowns[line, start]) * (1 + off * off)
        if off <= OFF_CENTRE and cost < cheapest:
            best, cheapest = line, cost
    return best
