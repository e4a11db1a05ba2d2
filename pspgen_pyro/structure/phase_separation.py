r"""Process → structure: a thresholded Gaussian field that separates into two phases.

.. math:: \varphi \to S(\varphi) \to f \to c_0 = \pm 1 \to c(T) \to x = 1[c(T) > 0].

The paper leaves two choices of this link unsaid, so they are named presets, and every dataset says
which made it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..io.provenance import name_of
from ..io.validation import check_positive
from ..schema import Microstructure
from ..schema.units import length_parts
from .phase_field import cahn_hilliard
from .random_field import Sides, gaussian_random_field, sides, threshold

__all__ = ["AS_STATED", "CALIBRATED", "PRESETS", "PhaseSeparatedField", "Preset"]

Spectrum = Callable[[ArrayLike, Sides], NDArray[np.float64]]


@dataclass(frozen=True)
class Preset:
    r"""How a spectrum becomes an initial image.

    Arguments:
        name: The name that published numbers quote.
        filter: "power" takes :math:`S` as the power spectral density (amplitude :math:`\sqrt S`);
            "amplitude" takes it as the amplitude of the filter itself.
        void_fraction: The void fraction before phase separation.
    """

    name: str
    filter: Literal["power", "amplitude"]
    void_fraction: float

    def __post_init__(self) -> None:
        if self.filter not in ("power", "amplitude"):
            raise InputError(f"'filter' is {self.filter!r}; choose 'power' or 'amplitude'.")
        if not 0.0 < self.void_fraction < 1.0:
            raise InputError(
                f"'void_fraction' is {self.void_fraction:g}; give a fraction above 0 and below 1."
            )

    def amplitude(self, spectrum: NDArray[np.float64]) -> NDArray[np.float64]:
        """The factor of each Fourier coefficient, with the shape of `spectrum`."""
        return np.sqrt(spectrum) if self.filter == "power" else spectrum


AS_STATED = Preset("as_stated", "power", 2 / 3)
"""The generator as the paper states it."""

CALIBRATED = Preset("calibrated", "amplitude", 0.58)
"""The generator that reproduces the paper's tables; the default of the study."""

PRESETS: dict[str, Preset] = {preset.name: preset for preset in (AS_STATED, CALIBRATED)}


@dataclass(frozen=True)
class PhaseSeparatedField:
    r"""The structure simulator :math:`p(x \mid \varphi)`.

    Arguments:
        n: The number of pixels of one side, or of both, (H, W).
        spectrum: The spectral density as a function of `(phi, n)`.
        preset: How the spectrum becomes an initial image.
        gamma: The gradient coefficient of the Cahn–Hilliard equation, in pixels squared.
        pixel_size: The side of a pixel with its unit, such as "0.5 um", if the data shall say it.

    Raises:
        InputError: If an argument is out of range.

    Example:
        >>> from pspgen_pyro.structure import two_mode_spectrum
        >>> structure = PhaseSeparatedField(12, two_mode_spectrum)
        >>> x = structure([[5.0, 1.0]], np.random.SeedSequence(0).spawn(1))
        >>> x.shape, x.dtype
        ((1, 12, 12), dtype('uint8'))
    """

    n: Sides
    spectrum: Spectrum
    preset: Preset = field(default=CALIBRATED)
    gamma: float = 2.0
    pixel_size: str | None = None

    def __post_init__(self) -> None:
        _ = self.microstructure
        check_positive(optional=False, gamma=self.gamma)

    @property
    def microstructure(self) -> Microstructure:
        """What the images are."""
        return cell(self.n, self.pixel_size)

    @property
    def provenance(self) -> dict[str, Any]:
        """What decides the images, ready for JSON."""
        return {
            "structure": "PhaseSeparatedField",
            "spectrum": name_of(self.spectrum),
            "preset": self.preset.name,
            "filter": self.preset.filter,
            "void_fraction": self.preset.void_fraction,
            "gamma": self.gamma,
        }

    def __call__(
        self, phi: ArrayLike, seeds: Sequence[np.random.SeedSequence]
    ) -> NDArray[np.uint8]:
        """Simulates one microstructure per row of `phi`.

        Arguments:
            phi: The process parameters, with shape `(N, P)`.
            seeds: One seed sequence a row; sample i depends on `phi[i]` and `seeds[i]` only.

        Returns:
            1 for void and 0 for solid, with shape `(N, H, W)`.
        """
        initial = self.initial(phi, seeds)
        c = 2.0 * initial.astype(np.float64) - 1.0
        return (cahn_hilliard(c, self.gamma) > 0).astype(np.uint8)

    def initial(
        self, phi: ArrayLike, seeds: Sequence[np.random.SeedSequence]
    ) -> NDArray[np.uint8]:
        """The thresholded field before phase separation, with shape `(N, H, W)`."""
        amplitude = self.preset.amplitude(self.spectrum(phi, self.n))
        return threshold(gaussian_random_field(amplitude, seeds), self.preset.void_fraction)


def cell(n: Sides, pixel_size: str | None, phases: int = 2) -> Microstructure:
    """What the images of a simulator of periodic cells are.

    Raises:
        InputError: If a side or the pixel size is none.
    """
    size, unit = (None, None) if pixel_size is None else length_parts(pixel_size, "pixel_size")
    return Microstructure(shape=sides(n), phases=phases, pixel_size=size, pixel_unit=unit)
