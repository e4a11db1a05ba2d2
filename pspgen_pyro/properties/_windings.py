r"""The walk over void components on the torus, see `percolation`; compiled.

The windings of a component's closed paths are a lattice: 0 alone, the multiples of one :math:`g`,
or all of :math:`\mathbb{Z}^2`. For a path that does not cross itself winds by numbers without a
common divisor, and two paths that wind differently cut the torus into discs. So two of its pixels
that are :math:`d` periodic images apart are connected on the unrolled plane if :math:`d = 0`, if
:math:`d \times g = 0`, or always.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["parted_nodes", "windings"]

Image = NDArray[np.uint8]
Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]


@njit(cache=True, nogil=True)
def windings(x: Image) -> Flags:
    found = np.zeros((len(x), 2), dtype=np.bool_)
    for i in range(len(x)):
        first, _, path = _components(x[i])
        for pixel in range(len(first)):
            if first[pixel] == pixel:
                found[i, 0] |= path[pixel, 0] != 0 or path[pixel, 2] != 0
                found[i, 1] |= path[pixel, 1] != 0 or path[pixel, 2] != 0
    return found


@njit(cache=True, nogil=True)
def parted_nodes(x: Image) -> Flags:
    """Where two void pixels meet only at their corners and no path through edges connects them on
    the unrolled plane, with shape `(H, W)`.

    Node `(r, c)` is the corner of pixel `(r, c)` with the smallest row and column.
    """
    rows, columns = x.shape
    parted = np.zeros((rows, columns), np.bool_)
    for r in range(rows):
        for c in range(columns):
            here, beside = x[r, c], x[r, c - 1]
            parted[r, c] = here != beside and x[r - 1, c - 1] == here and x[r - 1, c] == beside
    if not parted.any():
        return parted
    first, image, path = _components(x)
    for r in range(rows):
        for c in range(columns):
            if parted[r, c]:
                west, east = (c - 1) % columns, c
                above, below, turn = (west, east, 1) if x[r, c] else (east, west, -1)
                a, b = (r - 1) % rows * columns + above, r * columns + below
                if first[a] == first[b]:
                    across = image[b, 0] - image[a, 0] - (turn if c == 0 else 0)
                    down = image[b, 1] - image[a, 1] - (1 if r == 0 else 0)
                    parted[r, c] = not _in_lattice(across, down, path[first[a]])
    return parted


@njit(cache=True, nogil=True)
def _in_lattice(across: int, down: int, path: Ints) -> bool:
    if path[2] != 0 or (across == 0 and down == 0):
        return True
    winds = path[0] != 0 or path[1] != 0
    return winds and across * path[1] == down * path[0]


@njit(cache=True, nogil=True)
def _components(x: Image) -> tuple[Ints, Ints, Ints]:
    """Walks every component from its first pixel.

    Returns:
        The first pixel of each pixel's component, -1 in the solid, with shape `(H W,)`; in which
        periodic image (horizontally, vertically) the walk met it, `(H W, 2)`; and at each first
        pixel the winding of one closed path that winds, and 1 if another winds differently,
        `(H W, 3)`.
    """
    first = np.full(x.size, -1, np.int32)
    image = np.zeros((x.size, 2), np.int32)
    path = np.zeros((x.size, 3), np.int32)
    waiting = np.empty(x.size, np.int32)
    void = x.ravel()
    for pixel in range(x.size):
        if void[pixel] and first[pixel] < 0:
            first[pixel] = pixel
            waiting[0] = pixel
            _walk(pixel, x.shape, void, first, image, waiting, path[pixel])
    return first, image, path


@njit(cache=True, nogil=True)
def _walk(
    pixel: int,
    shape: tuple[int, int],
    void: Image,
    first: Ints,
    image: Ints,
    waiting: Ints,
    path: Ints,
) -> None:
    rows, columns = shape
    length = 1
    while length > 0:
        length -= 1
        at = waiting[length]
        row = at // columns
        column = at - row * columns
        for side in range(4):
            across, down, to = 0, 0, at
            if side == 0:
                to, across = (at + 1, 0) if column < columns - 1 else (at + 1 - columns, 1)
            elif side == 1:
                to, across = (at - 1, 0) if column > 0 else (at + columns - 1, -1)
            elif side == 2:
                to, down = (at + columns, 0) if row < rows - 1 else (column, 1)
            else:
                to, down = (at - columns, 0) if row > 0 else ((rows - 1) * columns + column, -1)
            if not void[to]:
                continue
            across, down = image[at, 0] + across, image[at, 1] + down
            if first[to] < 0:
                first[to] = pixel
                image[to, 0], image[to, 1] = across, down
                waiting[length] = to
                length += 1
            else:
                _close(across - image[to, 0], down - image[to, 1], path)


@njit(cache=True, nogil=True)
def _close(across: int, down: int, path: Ints) -> None:
    """Notes the winding of a closed path."""
    if across == 0 and down == 0:
        return
    if path[0] == 0 and path[1] == 0:
        path[0], path[1] = across, down
    elif across * path[1] != down * path[0]:
        path[2] = 1
