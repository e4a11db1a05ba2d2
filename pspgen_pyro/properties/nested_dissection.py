r"""Nested dissection of a periodic image of cells, with cuts that run where the solid is.

A box of cells is cut in two by a straight line of nodes, each half again, until a box is small.
The unknowns of a node can be eliminated as soon as every void cell that touches it has been
merged, so they belong to the smallest box that contains all those cells: to the box whose cut has
void on both sides of the node. The *front* of a box holds the nodes it owns, which it eliminates,
and those it shares with cells outside, which it keeps for the enclosing box.

The fewer unknowns on a cut, the smaller the fronts. A node in the open void carries three, one at
a wall carries the pressure alone if the cut separates two void cells there, and no unknown
otherwise. Each cut takes the line that minimises

.. math:: (1 + \text{unknowns on the line}) \, (1 + 6 \, d^2),

:math:`d` being its distance from the middle of the box in half widths. The periodic cell is first
rolled so that the lines along its own edges, which close the torus, are the cheapest of all.

Numbering the nodes box by box, counting down, an enclosing box before its parts, gives an
elimination order in which the nodes of every front, sorted by number, start with those that the
box owns, and in which the sorted fronts of two halves merge into that of the whole.

References:
    | Nested Dissection of a Regular Finite Element Mesh (George, 1973)
    | https://doi.org/10.1137/0710032
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..io.compiling import kernel

__all__ = ["VOID_CELLS", "dissect", "find_fronts", "roll_to_cheapest_edges", "void_cells_at_nodes"]

Ints = NDArray[np.int32]
Image = NDArray[np.uint8]

LEAF_CELLS = 24
"""A box of at most this many cells is not cut."""

VOID_CELLS = 8
"""Nor is, for Stokes flow, a box of void alone that is at most this many cells long and wide."""

OFF_CENTRE = 6.0
"""The price of a cut at the edge of its box, relative to one in the middle, less one."""


@kernel(nogil=True)
def void_cells_at_nodes(x: Image) -> Image:
    """The number of void cells (0 to 4) that touch each node of the torus, with shape `(H, W)`.

    Node `(r, c)` is the corner of cell `(r, c)` with the smallest row and column.
    """
    rows, columns = x.shape
    count = np.empty((rows, columns), np.uint8)
    for r in range(rows):
        for c in range(columns):
            count[r, c] = x[r - 1, c - 1] + x[r - 1, c] + x[r, c - 1] + x[r, c]
    return count


@kernel(nogil=True)
def roll_to_cheapest_edges(x: Image) -> Image:
    """Rolls the periodic image so that the lines along its edges carry the fewest unknowns."""
    rows, columns = x.shape
    unknowns = _unknowns_along_lines(x)
    top, left = np.argmin(unknowns[0][:, columns]), np.argmin(unknowns[1][:, rows])
    rolled = np.empty((rows, columns), np.uint8)
    for r in range(rows):
        for c in range(columns):
            rolled[r, c] = x[(r + top) % rows, (c + left) % columns]
    return rolled


@kernel(nogil=True)
def dissect(x: Image, void: Image, void_cells: int) -> tuple[Ints, Ints]:
    r"""Cuts the cell into boxes and numbers the nodes in the order of their elimination.

    Arguments:
        x: The image, 1 = void, with shape `(H, W)`.
        void: The number of void cells at each node, with shape `(H, W)`.
        void_cells: A box of void alone is not cut if it is at most this many cells long and wide.

    Returns:
        The boxes in preorder (a box, all of its first half, all of its second half), with shape
        `(B, 6)`: first and last row of nodes, first and last column, the number from which on the
        nodes belong to this box or to one before it, and 1 for a leaf (2 if it is void alone).
        The number of each node, with shape `(H, W)`; -1 where no void cell touches it.
    """
    unknowns = _unknowns_along_lines(x)
    number = np.full(x.shape, -1, np.int32)
    wanted = np.empty(max(x.shape), np.bool_)
    boxes = np.zeros((2 * x.size, 6), np.int32)
    pending = np.zeros((2 * x.size, 4), np.int32)
    pending[0, 1], pending[0, 3] = x.shape
    waiting, found, free = 1, 0, 0
    for node in void.flat:
        free += int(node > 0)
    while waiting:
        waiting -= 1
        box = boxes[found]
        for side in range(4):
            box[side] = pending[waiting, side]
        rows, columns = box[1] - box[0], box[3] - box[2]
        plain = max(rows, columns) <= void_cells and _is_void(x, box)
        leaf = plain or rows * columns <= LEAF_CELLS
        axis = 0 if leaf or rows >= columns else 1
        if leaf:
            box[5] = 2 if plain else 1
            for line in range(box[0], box[1] + 1):
                r = line % len(x)
                for c in range(x.shape[1]):
                    wanted[c] = void[r, c] > 0
                free = _number_line(number, wanted, axis, r, box[2], box[3], free)
        else:
            low, high = box[2 * axis], box[2 * axis + 1]
            start, stop = box[2 - 2 * axis], box[3 - 2 * axis]
            cut = _cheapest_line(unknowns[axis], low, high, start, stop)
            # a box as long as the cell is a ring: a second cut, at its ends, makes two halves
            for line in (low, cut) if high - low == x.shape[axis] else (cut, cut):
                carried = unknowns[axis][line]
                for p in range(len(carried) - 1):
                    wanted[p] = carried[p + 1] > carried[p]
                free = _number_line(number, wanted, axis, line, start, stop, free)
            for side in range(4):
                pending[waiting, side] = pending[waiting + 1, side] = box[side]
            pending[waiting, 2 * axis + 1] = pending[waiting + 1, 2 * axis] = cut
            waiting += 2
        box[4] = free
        found += 1
    return boxes[:found], number


@kernel(nogil=True)
def find_fronts(x: Image, boxes: Ints, number: Ints) -> tuple[Ints, Ints, Ints]:
    """The nodes of every front: those of a leaf's void cells, or what the halves of a box keep.

    Returns:
        The nodes of all fronts, each front sorted by number; the offset of each front in them,
        with shape `(B + 1,)`; how many of its nodes each box owns, with shape `(B,)`.
    """
    nodes = np.empty(12 * x.size + 64, np.int32)
    offset = np.zeros(len(boxes) + 1, np.int32)
    owned = np.zeros(len(boxes), np.int32)
    front = np.empty(4 * x.size + 64, np.int32)
    waiting = np.empty(len(boxes), np.int32)
    depth, begin = 0, len(nodes)
    offset[len(boxes)] = begin
    for b in range(len(boxes) - 1, -1, -1):
        if boxes[b, 5]:
            count = _nodes_of_void_cells(x, number, boxes[b], front)
        else:
            depth -= 2
            i, j = waiting[depth], waiting[depth + 1]
            kept_i = nodes[offset[i] + owned[i] : offset[i + 1]]
            kept_j = nodes[offset[j] + owned[j] : offset[j + 1]]
            count = _merge(kept_i, kept_j, front)
        if count > begin:
            more = len(nodes)
            grown = np.empty(2 * more, np.int32)
            for i in range(begin, more):
                grown[more + i] = nodes[i]
            for i in range(b + 1, len(offset)):
                offset[i] += more
            nodes, begin = grown, begin + more
        begin -= count
        outer = boxes[b - 1, 4] if b else number.size
        for i in range(count):
            nodes[begin + i] = front[i]
            owned[b] += front[i] < outer
        offset[b] = begin
        waiting[depth] = b
        depth += 1
    return nodes, offset, owned


@kernel(nogil=True)
def _unknowns_along_lines(x: Image) -> tuple[Ints, Ints]:
    """The unknowns that a cut along a row (0) or a column (1) carries on its first `p` nodes.

    The shapes are `(H, W + 1)` and `(W, H + 1)`.
    """
    rows, columns = x.shape
    along_row = np.zeros((rows, columns + 1), np.int32)
    along_column = np.zeros((columns, rows + 1), np.int32)
    for r in range(rows):
        for c in range(columns):
            a, b, d, e = x[r - 1, c - 1], x[r - 1, c], x[r, c - 1], x[r, c]
            open_void = 3 * (a & b & d & e)
            along_row[r, c + 1] = along_row[r, c] + max(open_void, (a | b) & (d | e))
            along_column[c, r + 1] = along_column[c, r] + max(open_void, (a | d) & (b | e))
    return along_row, along_column


@kernel(nogil=True)
def _is_void(x: Image, box: Ints) -> bool:
    for r in range(box[0], box[1]):
        for c in range(box[2], box[3]):
            if not x[r, c]:
                return False
    return True


@kernel(nogil=True)
def _cheapest_line(unknowns: Ints, low: int, high: int, start: int, stop: int) -> int:
    best, cheapest = low + 1, np.inf
    for line in range(low + 1, high):
        off = (2 * line - low - high) / (high - low)
        cost = (1 + unknowns[line, stop] - unknowns[line, start]) * (1 + OFF_CENTRE * off * off)
        if cost < cheapest:
            best, cheapest = line, cost
    return best


@kernel(nogil=True)
def _number_line(
    number: Ints, wanted: NDArray[np.bool_], axis: int, line: int, start: int, stop: int, free: int
) -> int:
    """Numbers the wanted nodes of a row (0) or column (1) down from `free`; returns the rest."""
    for position in range(start, stop + 1):
        p = position % number.shape[1 - axis]
        r, c = (line, p) if axis == 0 else (p, line)
        if wanted[p] and number[r, c] < 0:
            free -= 1
            number[r, c] = free
    return free


@kernel(nogil=True)
def _nodes_of_void_cells(x: Image, number: Ints, box: Ints, front: Ints) -> int:
    """Writes the nodes of the box's void cells to `front`, sorted; returns their count."""
    rows, columns = x.shape
    count = 0
    # backwards, since the numbers count down
    for r in range(box[1], box[0] - 1, -1):
        for c in range(box[3], box[2] - 1, -1):
            touched = False
            for i in range(max(r - 1, box[0]), min(r + 1, box[1])):
                for j in range(max(c - 1, box[2]), min(c + 1, box[3])):
                    touched |= x[i, j] == 1
            if not touched:
                continue
            node = number[r % rows, c % columns]
            i = count
            while i and front[i - 1] > node:
                i -= 1
            if i == 0 or front[i - 1] < node:
                for j in range(count, i, -1):
                    front[j] = front[j - 1]
                front[i] = node
                count += 1
    return count


@kernel(nogil=True)
def _merge(a: Ints, b: Ints, front: Ints) -> int:
    """Writes the union of two sorted lists to `front`, sorted; returns its length."""
    i = j = count = 0
    while i < len(a) or j < len(b):
        if j == len(b) or (i < len(a) and a[i] < b[j]):
            front[count] = a[i]
            i += 1
        else:
            front[count] = b[j]
            if i < len(a) and a[i] == b[j]:
                i += 1
            j += 1
        count += 1
    return count
