r"""Statistics of a two-phase microstructure, in two or three dimensions, that need no solver.

The two-point correlation of the void phase is the probability that two pixels a shift :math:`r`
apart are both void. On a periodic image of n pixels, by the fast Fourier transform,

.. math:: C(r) = \frac{1}{n} \sum_s x(s) \, x(s + r) = \mathcal{F}^{-1}[|\hat x|^2](r) / n,

with :math:`C(0)` the void fraction. Of an image that ends at its edges only the pairs inside it
are counted, each shift by the number :math:`n(r)` of its pairs: the same sum over the image padded
with zeros, divided by that over the padded window,

.. math:: C(r) = \frac{\sum_s x(s) \, x(s + r)}{n(r)}, \qquad
    n(r) = \prod_i (n_i - |r_i|).

References:
    | Random Heterogeneous Materials (Torquato, 2002), chapters 2 and 12
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from ..errors import InputError
from ..io.validation import check_whole, plain

__all__ = ["phase_names", "two_point_correlation", "void_fraction"]


def phase_names(phases: int) -> tuple[str, ...]:
    """What the labels 0, …, `phases` − 1 are called; percolation is recorded of the last one.

    Example:
        >>> phase_names(2), phase_names(3)
        (('solid', 'void'), ('phase 0', 'phase 1', 'phase 2'))
    """
    return ("solid", "void") if phases == 2 else tuple(f"phase {i}" for i in range(phases))


def void_fraction(x: ArrayLike, *, dimensions: int = 2) -> NDArray[np.float64]:
    """The fraction of void pixels of each image.

    Arguments:
        x: The images, 1 = void and 0 = solid, with shape `(*, H, W)`, in three dimensions
            `(*, D, H, W)`.

    Keyword arguments:
        dimensions: 2 or 3.

    Returns:
        The fractions, with shape `(*)`.

    Raises:
        InputError: If `x` holds anything but 0 (solid) and 1 (void), or is no image.

    Example:
        >>> void_fraction([[[1, 0], [0, 0]]])
        array([0.25])
    """
    image = _two_phases(x, dimensions)
    return image.mean(axis=_axes(dimensions))


def two_point_correlation(
    x: ArrayLike,
    *,
    edges: Literal["periodic", "walls", "mirrored"] = "periodic",
    dimensions: int = 2,
) -> NDArray[np.float64]:
    """The two-point correlation :math:`C(r)` of the void phase.

    Arguments:
        x: The images, 1 = void and 0 = solid, with shape `(*, H, W)`, in three dimensions
            `(*, D, H, W)`.

    Keyword arguments:
        edges: "periodic"; "walls", where the image ends and pairs inside it alone are counted; or
            "mirrored", the periodic correlation of the cell made of the image and its reflections.
        dimensions: 2 or 3.

    Returns:
        The correlation at every shift, the zero shift first and the negative ones last (the order
        of `fftfreq`): with the shape of `x` if periodic, of its cell if mirrored, and with walls
        :math:`2 n_i - 1` along each axis.

    Raises:
        InputError: If `x` holds anything but 0 and 1, or is no image, or an option is unknown.

    Example:
        >>> two_point_correlation([[1, 0], [1, 0]])
        array([[0.5, 0. ],
               [0.5, 0. ]])
        >>> two_point_correlation([[1, 0], [1, 0]], edges="walls").round(3)[0]
        array([0.5, 0. , 0. ])
    """
    image = _two_phases(x, dimensions)
    if not isinstance(edges, str) or edges not in ("periodic", "walls", "mirrored"):
        raise InputError(f"'edges' is {edges!r}; choose 'periodic', 'walls' or 'mirrored'.")
    axes = _axes(dimensions)
    if edges == "mirrored":
        for axis in axes:
            image = np.concatenate([image, np.flip(image, axis)], axis)
    sides = image.shape[-dimensions:]
    if edges != "walls":
        return _pairs(image, sides, axes) / np.prod(sides)
    size = [2 * side - 1 for side in sides]
    counts = np.ones(size)
    for axis, side in zip(axes, sides, strict=True):
        shift = np.abs(np.fft.fftfreq(2 * side - 1, 1 / (2 * side - 1)))
        counts *= np.expand_dims(side - shift, tuple(i for i in axes if i != axis))
    # counts of pairs are whole numbers, which the transform knows up to rounding
    return np.rint(_pairs(image, size, axes)) / counts


def _pairs(
    image: NDArray[np.float64], size: Sequence[int], axes: tuple[int, ...]
) -> NDArray[np.float64]:
    """How many pairs are void at each shift, on a torus of this size."""
    transform = np.asarray(fft.rfftn(image, s=size, axes=axes, workers=1))
    power = np.abs(transform) ** 2
    return np.asarray(fft.irfftn(power.astype(complex), s=size, axes=axes, workers=1))


def _axes(dimensions: int) -> tuple[int, ...]:
    return tuple(range(-dimensions, 0))


def _two_phases(x: ArrayLike, dimensions: int) -> NDArray[np.float64]:
    """Images of zeros and ones as float64, or a sentence on why they are none.

    Raises:
        InputError: If they are none.
    """
    check_whole(dimensions=dimensions)
    if dimensions not in (2, 3):
        raise InputError(f"'dimensions' is {dimensions!r}; choose 2 or 3.")
    wanted = "(*, H, W)" if dimensions == 2 else "(*, D, H, W)"
    image = plain(x, "x")
    if image.dtype.kind not in "biuf":
        raise InputError(f"'x' is no array of numbers; pass images of shape {wanted}.")
    image = image.astype(np.float64)
    if image.ndim < dimensions or 0 in image.shape[-dimensions:]:
        raise InputError(f"'x' has shape {image.shape}; pass images of shape {wanted}.")
    strange = ~((image == 0) | (image == 1))
    if strange.any():
        raise InputError(
            f"'x' holds {image[strange][0]:g}, but only 0 (solid) and 1 (void) are allowed; pass "
            "`x == label` for one phase of labels, or `x > threshold` for grey values."
        )
    return image
