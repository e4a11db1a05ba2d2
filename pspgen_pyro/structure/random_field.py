r"""Gaussian random fields on the periodic image, prescribed by their spectrum.

White noise :math:`w` with unit variance per pixel has the flat mean periodogram
:math:`\mathbb{E}|\hat w_k|^2 / n^2 = 1` on an :math:`n \times n` image. Multiplying its Fourier
coefficients by a real amplitude :math:`a_k \ge 0`,

.. math:: f = \mathcal{F}^{-1}[a \, \hat w], \qquad \mathbb{E}|\hat f_k|^2 / n^2 = a_k^2,

makes a stationary periodic Gaussian field with the spectrum :math:`a^2`. Both spectra of the study
are functions of the centred *integer* wave numbers :math:`k_x, k_y \in \{-n/2, \dots, n/2 - 1\}`,
where :math:`k_x` belongs to the horizontal direction, the last axis of the image. Of an image that
is no square they count waves along its shorter side, so that it holds more of the same material:

.. math::
    S_2(\varphi) &= \varphi_1 e^{-\varphi_2 k_x^2} + (10 - \varphi_1) e^{-\varphi_2 k_y^2} \\
    S_5(\varphi) &= \textstyle\sum_{i=1}^5 \varphi_{i1}
        (e^{-\varphi_{i2} k_x^2} + e^{-\varphi_{i2} k_y^2})

A large :math:`\varphi_1` puts the power at :math:`k_x = 0`: bands along the horizontal direction.

References:
    | PSP-GEN: Stochastic inversion of the Process-Structure-Property chain in materials design
    | Eq. 24 with the weight (10 − φ1), and Eq. 25
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..io.validation import check_instance, check_memory, is_number, real_array
from ._fourier import backward, forward, image_stack

Sides = int | tuple[int, int]

__all__ = ["five_mode_spectrum", "gaussian_random_field", "threshold", "two_mode_spectrum"]


def two_mode_spectrum(phi: ArrayLike, n: Sides) -> NDArray[np.float64]:
    r"""The spectral density :math:`S_2(\varphi)` of Cases 1 to 4 (Eq. 24).

    Arguments:
        phi: The process parameters :math:`(\varphi_1, \varphi_2)`, dimensionless, shape
            `(N, 2)`.
        n: The number of pixels of one side, or of both, (H, W).

    Returns:
        The density over wave numbers in the order of `fftfreq`, with shape `(N, H, W)`.

    Raises:
        InputError: If `phi` does not have two columns or makes the density negative.

    Example:
        >>> two_mode_spectrum([[9.0, 2.0]], 36).shape
        (1, 36, 36)
    """
    values = _parameters(phi, 2)
    down, across = (np.exp(-values[:, 1, None] * k2) for k2 in _squared_wave_numbers(n))
    weight = values[:, 0, None, None]
    return weight * across[:, None, :] + (10.0 - weight) * down[:, :, None]


def five_mode_spectrum(phi: ArrayLike, n: Sides) -> NDArray[np.float64]:
    r"""The spectral density :math:`S_5(\varphi)` of Case 5 (Eq. 25), symmetric in the two
    directions.

    Arguments:
        phi: The process parameters :math:`(\varphi_{11}, \dots, \varphi_{51}, \varphi_{12}, \dots,
            \varphi_{52})`, dimensionless, with shape `(N, 10)`.
        n: The number of pixels of one side, or of both, (H, W).

    Returns:
        The density over wave numbers in the order of `fftfreq`, with shape `(N, H, W)`.

    Raises:
        InputError: If `phi` does not have ten columns or a negative weight.

    Example:
        >>> S = five_mode_spectrum([[1.0] * 5 + [0.5] * 5], 36)
        >>> bool((S == S.transpose(0, 2, 1)).all())
        True
    """
    values = _parameters(phi, 10)
    weight, width = values[:, :5, None], values[:, 5:, None]
    down, across = ((weight * np.exp(-width * k2)).sum(axis=1) for k2 in _squared_wave_numbers(n))
    return across[:, None, :] + down[:, :, None]


def gaussian_random_field(
    amplitude: NDArray[np.float64], seeds: Sequence[np.random.SeedSequence]
) -> NDArray[np.float64]:
    r"""Filters one image of white noise per sample by the amplitude :math:`a`.

    Arguments:
        amplitude: The factor of each Fourier coefficient, even in the wave number, with shape
            `(N, H, W)`.
        seeds: One seed sequence a sample; sample i depends on `amplitude[i]` and `seeds[i]` only.

    Returns:
        The fields, with shape `(N, H, W)`; their mean periodogram is the square of the amplitude.

    Raises:
        InputError: If the amplitude is no stack of finite images, or there is not one seed a
            sample.

    Example:
        >>> flat = np.ones((2, 8, 8))
        >>> gaussian_random_field(flat, np.random.SeedSequence(0).spawn(2)).shape
        (2, 8, 8)
    """
    amplitude = image_stack(amplitude, "amplitude")
    check_instance((list, tuple), "one seed sequence a sample", seeds=seeds)
    for seed in seeds:
        check_instance(np.random.SeedSequence, "one seed sequence a sample", seeds=seed)
    if len(seeds) != len(amplitude):
        raise InputError(
            f"'seeds' has {len(seeds)} entries for {len(amplitude)} samples; give one seed "
            "sequence a sample."
        )
    n = amplitude.shape[-1]
    noise = np.empty_like(amplitude)
    for image, seed in zip(noise, seeds, strict=True):
        np.random.default_rng(seed).standard_normal(out=image)
    spectrum = forward(noise)
    spectrum *= amplitude[..., : n // 2 + 1]
    return backward(spectrum, n)


def threshold(field: NDArray[np.float64], void_fraction: float) -> NDArray[np.uint8]:
    r"""Labels the highest pixels of each image as void, so that the void fraction is exact.

    Arguments:
        field: The images, with shape `(N, H, W)`.
        void_fraction: The fraction :math:`v \in (0, 1)`; the nearest whole number of pixels to
            :math:`v H W` is void.

    Returns:
        1 for void and 0 for solid, with shape `(N, H, W)`. Ties are broken by the order of the
        pixels.

    Raises:
        InputError: If the field is no stack of finite images, or the fraction not between 0 and 1.

    Example:
        >>> threshold(np.arange(9.0).reshape(1, 3, 3), 1 / 3)[0]
        array([[0, 0, 0],
               [0, 0, 0],
               [1, 1, 1]], dtype=uint8)
    """
    field = image_stack(field, "field")
    check_fraction(void_fraction)
    flat = field.reshape(len(field), -1)
    pixels = flat.shape[1]
    order = np.argsort(flat, axis=1, kind="stable")
    solid = pixels - round(void_fraction * pixels)
    labels = np.ones(flat.shape, dtype=np.uint8)
    np.put_along_axis(labels, order[:, :solid], np.uint8(0), axis=1)
    return labels.reshape(field.shape)


def check_fraction(void_fraction: float) -> None:
    """Raises an InputError unless a fraction is a number above 0 and below 1."""
    if not (is_number(void_fraction) and 0 < void_fraction < 1):
        raise InputError(
            f"'void_fraction' is {void_fraction!r:.40}; give a fraction above 0 and below 1."
        )


def sides(n: Sides) -> tuple[int, int]:
    """The pixels (H, W) of an image whose one side, or both, are given.

    Raises:
        InputError: If they are no whole numbers of at least 4.
    """
    both = n if isinstance(n, tuple | list) else (n, n)
    whole = all(isinstance(k, int | np.integer) and not isinstance(k, bool) for k in both)
    if len(both) != 2 or not whole or min(both) < 4:
        raise InputError(
            f"'n' is {n!r}; give the pixels of a side, or of both as (H, W), at least 4 each."
        )
    check_memory("n", int(both[0]) * int(both[1]), 8)
    return int(both[0]), int(both[1])


def _squared_wave_numbers(n: Sides) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The squares along the rows' axis and along the columns'."""
    height, width = sides(n)
    short = min(height, width)
    return np.fft.fftfreq(height, 1.0 / short) ** 2, np.fft.fftfreq(width, 1.0 / short) ** 2


def _parameters(phi: ArrayLike, count: int) -> NDArray[np.float64]:
    values = real_array(phi, "phi", f"settings with shape (N, {count})")
    if values.ndim != 2 or values.shape[1] != count:
        raise InputError(
            f"'phi' has shape {values.shape}; this spectrum needs shape (N, {count})."
        )
    if not np.isfinite(values).all() or (values[:, max(1, count // 2) :] < 0).any():
        raise InputError(
            "'phi' holds NaN, an infinite value or a negative width; a spectrum needs finite "
            "numbers, and widths of at least 0."
        )
    weights = values[:, : max(1, count // 2)]
    if (weights < 0).any() or (count == 2 and (weights > 10).any()):
        raise InputError(
            "'phi' makes the spectral density negative; keep its weights inside the process space."
        )
    return values
