r"""The elastic element of one square pixel, and its elimination over a periodic image; compiled.

With the strain :math:`B u` of the bilinear displacement on a square of side 1, in the order
:math:`(\varepsilon_{11}, \varepsilon_{22}, 2 \varepsilon_{12})`, the bordered matrix of an element
is

.. math:: \begin{bmatrix} \int B^\top C B & \int B^\top C \\ \int C B & C \end{bmatrix},

and what is left of the sum of all of them once every displacement has been eliminated is the
number of pixels times the effective stiffness. The elimination goes by the tree and the fronts of
the flow solver, see `nested_dissection` and `front`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.compiling import kernel
from .front import (
    TILE,
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
from .nested_dissection import Image, Ints, dissect, find_fronts, void_cells_at_nodes

__all__ = ["bordered_elements", "condense"]

_PIN = 1e-14
_LOADS = 3


def bordered_elements(stiffness: NDArray[np.float64]) -> NDArray[np.float64]:
    """The bordered matrix of an element of each phase.

    Arguments:
        stiffness: The matrices C, with shape `(L, 3, 3)`.

    Returns:
        Symmetric matrices with shape `(L, 11, 11)`: rows `2 a + i` belong to node a (row-major on
        the cell) and displacement i (horizontal, vertical), the last three to the mean strain.
        1e-14 of its own stiffness holds every node, since an island of solid is free to move.
    """
    points = (0.5 + np.array([-1, 1]) / 12**0.5).tolist()
    elements = np.zeros((len(stiffness), 11, 11))
    for y in points:
        for x in points:
            across = np.array([-(1 - y), 1 - y, -y, y])
            down = np.array([-(1 - x), -x, 1 - x, x])
            strain = np.zeros((3, 11))
            strain[0, 0:8:2] = strain[2, 1:8:2] = across
            strain[1, 1:8:2] = strain[2, 0:8:2] = down
            strain[:, 8:] = np.eye(3)
            elements += strain.T @ stiffness @ strain / 4
    nodes = np.arange(8)
    elements[:, nodes, nodes] *= 1 + _PIN
    return elements


@kernel(nogil=True)
def condense(x: Image, solid: Image, elements: Floats, response: Floats) -> None:
    """Fills `response`, with shape `(3, 3)`, with the effective stiffness of an image.

    Arguments:
        x: Labels, with shape `(H, W)`.
        solid: 1 for a phase that is stiff, 0 for a void, with shape `(L,)`.
        elements: The bordered matrices of the phases, with shape `(L, 11, 11)`.
    """
    stiff = np.empty_like(x)
    for r in range(x.shape[0]):
        for c in range(x.shape[1]):
            stiff[r, c] = solid[x[r, c]]
    # numba compiles what is called with a literal once more for each
    none: Any = np.int64(0)
    boxes, number = dissect(stiff, void_cells_at_nodes(stiff), none)
    nodes, offset, owned = find_fronts(stiff, boxes, number)
    width = np.full(number.size, 2, np.uint8)
    loads = len(response)
    largest, deepest = storage(boxes, nodes, offset, owned, width, loads)

    tile = fours(largest + 1) * TILE
    front = np.zeros((largest // TILE + 1) * tile)
    stack, top = np.empty(deepest), np.zeros(len(boxes) + 1, np.int64)
    inverse, factor = np.empty(tile // TILE), np.empty(4 * (tile // TILE))
    start = np.empty(len(width), np.int64)
    row, column = np.empty(largest, np.int64), np.empty(largest, np.uint32)
    waiting, depth = np.empty(len(boxes), np.int32), 0
    for b in range(len(boxes) - 1, -1, -1):
        pivots, size = place_nodes(nodes[offset[b] : offset[b + 1]], owned[b], width, start)
        size += loads
        clear(front, tile, size)
        if boxes[b, 5]:
            _add_pixels(x, solid, number, boxes[b], elements, start, front, tile, size)
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
    for i in range(_LOADS):
        for j in range(i, _LOADS):
            response[i, j] = response[j, i] = stack[at] / x.size
            at += 1


@kernel(nogil=True)
def _add_pixels(
    x: Image,
    solid: Image,
    number: Ints,
    box: Ints,
    elements: Floats,
    start: Indices,
    front: Floats,
    tile: int,
    size: int,
) -> None:
    """Adds the element of every pixel of the box that is no void, to the upper triangle."""
    rows, columns = x.shape
    place = np.empty(8 + _LOADS, np.int64)
    for k in range(_LOADS):
        place[8 + k] = size - _LOADS + k
    for r in range(box[0], box[1]):
        for c in range(box[2], box[3]):
            if not solid[x[r, c]]:
                continue
            for a in range(4):
                node = number[(r + a // 2) % rows, (c + a % 2) % columns]
                place[2 * a] = start[node]
                place[2 * a + 1] = start[node] + 1
            element = elements[x[r, c]]
            for i in range(8 + _LOADS):
                into = front[place[i] * TILE :]
                for j in range(8 + _LOADS):
                    if place[j] >= place[i]:
                        into[column_of(place[j], tile)] += element[i, j]
