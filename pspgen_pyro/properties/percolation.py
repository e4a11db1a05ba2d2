r"""Percolation: does the void connect around the periodic cell?

On the torus a void component percolates along a direction if it holds a closed path that winds
around the cell in that direction. Lift the component to the plane by walking it from one pixel:
every pixel gets the number of the periodic image :math:`(w_1, w_2) \in \mathbb{Z}^2` in which it
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
    image = np.empty((n * n, 2), dtype=np.int32)
    waiting = np.empty(n * n, dtype=np.int32)
    for i in range(samples):
        # 0 = solid, 1 = void not met yet, 2 = void met
        state = x[i].copy().ravel()
        for pixel in range(n * n):
            if state[pixel] == 1:
                _walk(pixel, n, state, image, waiting, found[i])
    return found


@numba.njit(cache=True)
def _walk(
    pixel: int,
    n: int,
    state: NDArray[np.uint8],
    image: NDArray[np.int32],
    waiting: NDArray[np.int32],
    found: NDArray[np.bool_],
) -> None:
    """Walks one component; sets `found` where a closed path winds (horizontally, vertically)."""
    last = n - 1
    state[pixel] = 2
    image[pixel] = 0
    waiting[0] = pixel
    length = 1
    while length > 0:
        length -= 1
        at = waiting[length]
        row = at // n
        column = at - row * n
        for side in range(4):
            across, down, to = 0, 0, at
            if side == 0:
                to, across = (at + 1, 0) if column < last else (at - last, 1)
            elif side == 1:
                to, across = (at - 1, 0) if column > 0 else (at + last, -1)
            elif side == 2:
                to, down = (at + n, 0) if row < last else (column, 1)
            else:
                to, down = (at - n, 0) if row > 0 else (last * n + column, -1)
            across, down = image[at, 0] + across, image[at, 1] + down
            if state[to] == 1:
                state[to] = 2
                image[to, 0], image[to, 1] = across, down
                waiting[length] = to
                length += 1
            elif state[to] == 2:
                found[0] |= image[to, 0] != across
                found[1] |= image[to, 1] != down
