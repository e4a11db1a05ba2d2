"""Location and scale of properties, which a few outliers do not move."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

__all__ = ["location_and_scale", "robust_scale"]

_RANGE = 3.2897072539029444
"""The range from the 5 % to the 95 % quantile of the standard normal."""
_ENOUGH, _DIGITS = 20, 1e5


def robust_scale(values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Location and scale of each column, which a few outliers do not move.

    Arguments:
        values: Rows, with shape `(N, K)`.

    Returns:
        The medians, and the distances of the 5 % and the 95 % quantiles in units of what they are
        under the standard normal law, with shape `(K)` each. A column that has no such distance
        has its standard deviation for a scale, and 1 if it is constant.

    Example:
        >>> loc, scale = robust_scale(1e-12 * np.append(np.arange(1000.0), 1e30)[:, None])
        >>> (1e12 * loc).round().tolist(), (1e12 * scale).round().tolist()
        ([500.0], [274.0])
    """
    v = np.asarray(values, dtype=np.float64)
    low, middle, high = np.quantile(v, (0.05, 0.5, 0.95), axis=0)
    scale = (high - low) / _RANGE
    scale = np.where(scale > 0, scale, v.std(axis=0))
    return middle, np.where(np.ptp(v, axis=0) > 0, scale, 1.0)


def location_and_scale(
    values: NDArray[np.float64], name: str, ends: NDArray[np.float64]
) -> tuple[float, float]:
    """Those of the known values of one quantity; of the ones between its detection limits, if
    enough lie there.

    Arguments:
        values: The values of the quantity in every row and direction, NaN where unknown.
        name: Its name, for the sentence of an error.
        ends: Its detection limits.

    Raises:
        InputError: If it is known in fewer than two rows, never varies, or varies too little.
    """
    v = values[np.isfinite(values)]
    inside = v[(v > ends[0]) & (v < ends[1])]
    if len(inside) >= _ENOUGH:
        v = inside
    if len(v) < 2:
        raise InputError(
            f"property {name!r} is known in {len(v)} row(s); a scale needs at least 2."
        )
    if not np.ptp(v) > 0:
        raise InputError(
            f"property {name!r} is {v[0]:g} in every row; a property that never varies cannot be "
            "learned, leave it out."
        )
    (middle,), (scale,) = robust_scale(v[:, None])
    if abs(middle) > _DIGITS * scale:
        raise InputError(
            f"property {name!r} varies by {scale:.3g} about {middle:.6g}, too little for single "
            f"precision; subtract a reference value, such as {middle:.6g}, from it."
        )
    return float(middle), float(scale)
