r"""Process → structure with any number of phases: a Gaussian field cut at several levels.

A field with the spectrum :math:`S(\varphi)`, smoothed by a Gaussian kernel of width :math:`\ell`
pixels, is cut into :math:`C` phases of prescribed volume fractions,

.. math::
    a_k = S(\varphi)_k \, e^{-\ell^2 |2 \pi k / n|^2 / 2}, \qquad
    x = c \quad\text{where}\quad t_c \le f < t_{c+1},

so that label 0 lies in the valleys of the field, :math:`C - 1` on its hills, and the labels
between them separate the two. The kernel is isotropic: it keeps every symmetry of the spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..io.provenance import name_of
from ..io.validation import is_number, real_array
from ..schema import Microstructure
from ._fourier import image_stack
from .phase_separation import Spectrum, cell
from .random_field import Sides, gaussian_random_field, sides

__all__ = ["ThresholdedField", "threshold_phases"]


def threshold_phases(field: NDArray[np.float64], fractions: Sequence[float]) -> NDArray[np.uint8]:
    """Labels the pixels of each image by their height, so that every phase fraction is exact.

    Arguments:
        field: The images, with shape `(N, H, W)`.
        fractions: The volume fraction of each phase, positive, with sum 1. Phase c and those above
            it take the nearest whole number of pixels to their share.

    Returns:
        The labels 0, …, C − 1, with shape `(N, H, W)`. Ties are broken by the order of the pixels.
        With two fractions this is `threshold`.

    Raises:
        InputError: If there are fewer than two fractions, one is not positive, or their sum is not
            1.

    Example:
        >>> threshold_phases(np.arange(9.0).reshape(1, 3, 3), (1 / 3, 1 / 3, 1 / 3))[0]
        array([[0, 0, 0],
               [1, 1, 1],
               [2, 2, 2]], dtype=uint8)
    """
    _check_fractions(fractions)
    field = image_stack(field, "field")
    flat = field.reshape(len(field), -1)
    pixels = flat.shape[1]
    order = np.argsort(flat, axis=1, kind="stable")
    labels = np.zeros(flat.shape, dtype=np.uint8)
    for phase in range(1, len(fractions)):
        above = pixels - round(sum(fractions[phase:]) * pixels)
        np.put_along_axis(labels, order[:, above:], np.uint8(phase), axis=1)
    return labels.reshape(field.shape)


@dataclass(frozen=True)
class ThresholdedField:
    r"""The structure simulator :math:`p(x \mid \varphi)` with C phases.

    Arguments:
        n: The number of pixels of one side, or of both, (H, W).
        spectrum: The spectral density as a function of `(phi, n)`.
        fractions: The volume fraction of each phase, in the order of the labels.
        smoothing: The width :math:`\ell` of the smoothing kernel, in pixels.
        filter: "amplitude" takes :math:`S` as the amplitude of the filter, "power" as the power
            spectral density.
        pixel_size: The side of a pixel with its unit, such as "0.5 um", if the data shall say it.

    Raises:
        InputError: If an argument is out of range.

    Example:
        >>> from pspgen_pyro.structure import two_mode_spectrum
        >>> structure = ThresholdedField(12, two_mode_spectrum, (0.5, 0.25, 0.25))
        >>> x = structure([[5.0, 1.0]], np.random.SeedSequence(0).spawn(1))
        >>> np.bincount(x.ravel())
        array([72, 36, 36])
    """

    n: Sides
    spectrum: Spectrum
    fractions: tuple[float, ...]
    smoothing: float = 1.5
    filter: Literal["power", "amplitude"] = "amplitude"
    pixel_size: str | None = None

    def __post_init__(self) -> None:
        _check_fractions(self.fractions)
        _ = self.microstructure
        if not (is_number(self.smoothing) and self.smoothing >= 0):
            raise InputError(
                f"'smoothing' is {self.smoothing!r:.40}; give a width of 0 or more, in pixels."
            )
        if self.filter not in ("power", "amplitude"):
            raise InputError(f"'filter' is {self.filter!r}; choose 'power' or 'amplitude'.")

    @property
    def microstructure(self) -> Microstructure:
        """What the images are."""
        return cell(self.n, self.pixel_size, phases=len(self.fractions))

    @property
    def provenance(self) -> dict[str, Any]:
        """What decides the images, ready for JSON."""
        return {
            "structure": "ThresholdedField",
            "spectrum": name_of(self.spectrum),
            "filter": self.filter,
            "fractions": list(self.fractions),
            "smoothing": self.smoothing,
        }

    def __call__(
        self, phi: ArrayLike, seeds: Sequence[np.random.SeedSequence]
    ) -> NDArray[np.uint8]:
        """Simulates one microstructure per row of `phi`.

        Arguments:
            phi: The process parameters, with shape `(N, P)`.
            seeds: One seed sequence a row; sample i depends on `phi[i]` and `seeds[i]` only.

        Returns:
            The labels 0, …, C − 1, with shape `(N, H, W)`.
        """
        spectrum = self.spectrum(phi, self.n)
        amplitude = np.sqrt(spectrum) if self.filter == "power" else spectrum
        down, across = (
            np.exp(-((self.smoothing * 2 * np.pi * np.fft.fftfreq(n)) ** 2) / 2)
            for n in sides(self.n)
        )
        field = gaussian_random_field(amplitude * down[:, None] * across, seeds)
        return threshold_phases(field, self.fractions)


def _check_fractions(fractions: Sequence[float]) -> None:
    values = real_array(fractions, "fractions", "the volume fraction of each phase")
    if values.ndim != 1 or not 2 <= len(values) <= 255:
        raise InputError(
            f"'fractions' is {fractions!r}; give the volume fraction of each of 2 to 255 phases."
        )
    if not (values > 0).all() or abs(values.sum() - 1) > 1e-9:
        raise InputError(
            f"'fractions' is {fractions!r}, whose sum is {values.sum():g}; every phase needs a "
            "positive fraction, and their sum must be 1."
        )
