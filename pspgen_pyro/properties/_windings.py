"""The walk over void components on the torus, see `percolation`; compiled."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["windings"]


@njit(cache=True)
def windings(x: NDArray[np.uint8]) -> NDArray[np.bool_]:
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


@njit(cache=True)
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
