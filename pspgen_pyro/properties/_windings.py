r"""Which void pixels are connected on the torus and on the unrolled plane, see `percolation`;
compiled.

Rows of the image fall into runs of void. Runs are joined where they touch, in a forest whose every
link holds by how many periodic images the two lie apart; where two runs already are in one tree, a
path closes, and the difference is its winding.

The windings of a component's closed paths are a lattice: 0 alone, the multiples of one :math:`g`,
or all of :math:`\mathbb{Z}^2`. For a path that does not cross itself winds by numbers without a
common divisor, and two paths that wind differently cut the torus into discs. So two of its pixels
that are :math:`d` periodic images apart are connected on the unrolled plane if :math:`d = 0`, if
:math:`d \times g = 0`, or always.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.compiling import kernel

__all__ = ["parted_nodes", "windings"]

Image = NDArray[np.uint8]
Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]


@kernel(nogil=True)
def windings(x: Image) -> Flags:
    found = np.zeros((len(x), 2), dtype=np.bool_)
    for i in range(len(x)):
        _, link, path = _components(x[i])
        for run in range(len(link)):
            if link[run, 0] == run:
                found[i, 0] |= path[run, 0] != 0 or path[run, 2] != 0
                found[i, 1] |= path[run, 1] != 0 or path[run, 2] != 0
    return found


@kernel(nogil=True)
def parted_nodes(x: Image) -> Flags:
    """Where two void pixels meet only at their corners and no path through edges connects them on
    the unrolled plane, with shape `(H, W)`.

    Node `(r, c)` is the corner of pixel `(r, c)` with the smallest row and column.
    """
    rows, columns = x.shape
    parted = np.zeros((rows, columns), np.bool_)
    contacts = 0
    for r in range(rows):
        for c in range(columns):
            here, beside = x[r, c], x[r, c - 1]
            if here != beside and x[r - 1, c - 1] == here and x[r - 1, c] == beside:
                parted[r, c] = True
                contacts += 1
    if contacts == 0:
        return parted
    run, link, path = _components(x)
    for r in range(rows):
        for c in range(columns):
            if parted[r, c]:
                above, below, turn = (c - 1, c, 1) if x[r, c] else (c, c - 1, -1)
                a, across_a, down_a = _root(run[r - 1, above], link)
                b, across_b, down_b = _root(run[r, below], link)
                if a == b:
                    across = across_b - across_a - (turn if c == 0 else 0)
                    down = down_b - down_a - (1 if r == 0 else 0)
                    parted[r, c] = not _in_lattice(across, down, path[a])
    return parted


@kernel(nogil=True)
def _in_lattice(across: int, down: int, path: Ints) -> bool:
    if path[2] != 0 or (across == 0 and down == 0):
        return True
    winds = path[0] != 0 or path[1] != 0
    return winds and across * path[1] == down * path[0]


@kernel(nogil=True)
def _components(x: Image) -> tuple[Ints, Ints, Ints]:
    """Joins the runs of void.

    Returns:
        The run of each pixel, -1 in the solid, with shape `(H, W)`; the run that each run is
        linked to (itself at a root) and the periodic images (right, down) from there to here, `(R,
        3)`; at each root the winding of one closed path that winds, and 1 if another winds
        differently, `(R, 3)`.
    """
    rows, columns = x.shape
    run = np.full((rows, columns), -1, np.int32)
    link = np.zeros((x.size, 3), np.int32)
    path = np.zeros((x.size, 3), np.int32)
    # numba would compile `_join` once for each pair of literals
    none: Any = np.int64(0)
    one: Any = np.int64(1)
    count = 0
    for r in range(rows):
        for c in range(columns):
            if not x[r, c]:
                continue
            if c and x[r, c - 1]:
                run[r, c] = count - 1
            else:
                run[r, c] = link[count, 0] = count
                count += 1
            # once for each stretch along which two runs touch
            if r and x[r - 1, c] and not (c and x[r, c - 1] and x[r - 1, c - 1]):
                _join(run[r - 1, c], run[r, c], none, none, link, path)
        if x[r, 0] and x[r, columns - 1]:
            _join(run[r, columns - 1], run[r, 0], one, none, link, path)
    for c in range(columns):
        if x[0, c] and x[rows - 1, c]:
            _join(run[rows - 1, c], run[0, c], none, one, link, path)
    return run, link[:count], path[:count]


@kernel(nogil=True)
def _root(run: int, link: Ints) -> tuple[int, int, int]:
    """The root of a run, and the periodic images (right, down) from there to it; halves the chain
    on the way."""
    across, down = 0, 0
    while link[run, 0] != run:
        above = link[run, 0]
        link[run, 0] = link[above, 0]
        link[run, 1] += link[above, 1]
        link[run, 2] += link[above, 2]
        across, down = across + link[run, 1], down + link[run, 2]
        run = link[run, 0]
    return run, across, down


@kernel(nogil=True)
def _join(a: int, b: int, across: int, down: int, link: Ints, path: Ints) -> None:
    """Joins run `b` to run `a`, which it touches so many periodic images further."""
    root_a, across_a, down_a = _root(a, link)
    root_b, across_b, down_b = _root(b, link)
    across, down = across_a + across - across_b, down_a + down - down_b
    if root_a == root_b:
        _close(across, down, path[root_a])
        return
    # the older root stays, so that chains are short
    if root_b < root_a:
        root_a, root_b, across, down = root_b, root_a, -across, -down
    link[root_b, 0], link[root_b, 1], link[root_b, 2] = root_a, across, down
    _close(path[root_b, 0], path[root_b, 1], path[root_a])
    path[root_a, 2] |= path[root_b, 2]


@kernel(nogil=True)
def _close(across: int, down: int, path: Ints) -> None:
    """Notes the winding of a closed path."""
    if across == 0 and down == 0:
        return
    if path[0] == 0 and path[1] == 0:
        path[0], path[1] = across, down
    elif across * path[1] != down * path[0]:
        path[2] = 1
