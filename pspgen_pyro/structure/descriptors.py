r"""Statistics of a two-phase microstructure that need no solver.

The two-point correlation of the void phase is the probability that two pixels a shift :math:`r`
apart are both void,

.. math:: C(r) = \frac{1}{n^2} \sum_s x(s) \, x(s + r) = \mathcal{F}^{-1}[|\hat x|^2](r) / n^2,

on the periodic image, with :math:`C(0)` the void fraction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ._fourier import backward, forward

__all__ = ["phase_names", "two_point_correlation", "void_fraction"]


def phase_names(phases: int) -> tuple[str, ...]:
    """What the labels 0, …, `phases` − 1 are called; percolation is recorded of the last one.

    Example:
        >>> phase_names(2), phase_names(3)
        (('solid', 'void'), ('phase 0', 'phase 1', 'phase 2'))
    """
    return ("solid", "void") if phases == 2 else tuple(f"phase {i}" for i in range(phases))


def void_fraction(x: ArrayLike) -> NDArray[np.float64]:
    """The fraction of void pixels of each image, with shape `(*)` for images of shape `(*, H, W)`.

    Raises:
        InputError: If `x` holds anything but 0 (solid) and 1 (void), or is no image.

    Example:
        >>> void_fraction([[[1, 0], [0, 0]]])
        array([0.25])
    """
    return _two_phases(x).mean(axis=(-2, -1))


def two_point_correlation(x: ArrayLike) -> NDArray[np.float64]:
    """The periodic two-point correlation :math:`C(r)` of the void phase.

    Arguments:
        x: The images, 1 = void and 0 = solid, with shape `(*, H, W)`.

    Returns:
        The correlation at every shift, with shape `(*, H, W)`; the zero shift comes first (the
        order of `fftfreq`).

    Raises:
        InputError: If `x` holds anything but 0 and 1, or is no image.

    Example:
        >>> two_point_correlation([[1, 0], [1, 0]])
        array([[0.5, 0. ],
               [0.5, 0. ]])
    """
    image = _two_phases(x)
    power = (np.abs(forward(image)) ** 2).astype(complex)
    return backward(power, image.shape[-1]) / (image.shape[-2] * image.shape[-1])


def _two_phases(x: ArrayLike) -> NDArray[np.float64]:
    """Images of zeros and ones as float64, or a sentence on why they are none.

    Raises:
        InputError: If they are none.
    """
    try:
        image = np.asarray(x, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError("'x' is no array of numbers; pass images of shape (*, H, W).") from error
    if image.ndim < 2 or 0 in image.shape[-2:]:
        raise InputError(f"'x' has shape {image.shape}; pass images of shape (*, H, W).")
    strange = ~((image == 0) | (image == 1))
    if strange.any():
        raise InputError(
            f"'x' holds {image[strange][0]:g}, but only 0 (solid) and 1 (void) are allowed; pass "
            "`x == label` for one phase of labels, or `x > threshold` for grey values."
        )
    return image
