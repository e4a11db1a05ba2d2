r"""Percolation: does the void connect around the periodic cell?

On the torus a void component percolates along a direction if it holds a closed path that winds
around the cell in that direction. Lift the component to the plane by walking it from one pixel:
every pixel gets the number of the periodic image :math:`(w_r, w_c) \in \mathbb{Z}^2` in which it
was first met, and a step to a neighbour met before closes a path whose winding is the difference
of the two image numbers. These closed paths generate all others, so the component percolates
along a direction exactly if one of them has a winding with a non-zero part there. A component
that winds only along a diagonal percolates in both directions.

Pixels connect through their four edges: flow with no slip at the corners does not pass a corner.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._inputs import labels

__all__ = ["percolation"]


def percolation(x: ArrayLike) -> NDArray[np.bool_]:
    """Whether the void connects around the torus, per direction.

    Arguments:
        x: Microstructures, 1 = void and 0 = solid, with shape `(N, n, n)`.

    Returns:
        The flags of (horizontal, vertical), with shape `(N, 2)`.

    Raises:
        InputError: If `x` is not a batch of square 0/1 images.

    Example:
        >>> x = np.zeros((1, 8, 8), dtype=int)
        >>> x[0, 2:5] = 1
        >>> percolation(x)
        array([[ True, False]])
    """
    return _windings(labels(x))


@numba.njit(cache=True)
def _windings(x: NDArray[np.uint8]) -> NDArray[np.bool_]:
    samples, n, _ = x.shape
    found = np.zeros((samples, 2), dtype=np.bool_)
    met = np.empty((n, n), dtype=np.bool_)
    image = np.empty((n, n, 2), dtype=np.int16)
    waiting = np.empty((n * n, 2), dtype=np.int16)
    for i in range(samples):
        met[:] = x[i] == 0
        for row in range(n):
            for column in range(n):
                if not met[row, column]:
                    _walk(x[i], row, column, met, image, waiting, found[i])
    return found


@numba.njit(cache=True)
def _walk(
    void: NDArray[np.uint8],
    row: int,
    column: int,
    met: NDArray[np.bool_],
    image: NDArray[np.int16],
    waiting: NDArray[np.int16],
    found: NDArray[np.bool_],
) -> None:
    """Walks the component of one pixel; sets `found` where a closed path winds (horizontally,
    vertically)."""
    n = len(void)
    met[row, column] = True
    image[row, column] = 0
    waiting[0, 0], waiting[0, 1] = row, column
    length = 1
    while length > 0:
        length -= 1
        row, column = waiting[length]
        for side in range(4):
            r, c = row + (side == 0) - (side == 1), column + (side == 2) - (side == 3)
            wind_r, wind_c = image[row, column]
            if r == n:
                r, wind_r = 0, wind_r + 1
            elif r < 0:
                r, wind_r = n - 1, wind_r - 1
            if c == n:
                c, wind_c = 0, wind_c + 1
            elif c < 0:
                c, wind_c = n - 1, wind_c - 1
            if void[r, c] == 0:
                continue
            if met[r, c]:
                found[0] |= image[r, c, 1] != wind_c
                found[1] |= image[r, c, 0] != wind_r
            else:
                met[r, c] = True
                image[r, c, 0], image[r, c, 1] = wind_r, wind_c
                waiting[length, 0], waiting[length, 1] = r, c
                length += 1
