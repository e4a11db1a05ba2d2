"""The real Fourier transform of periodic images, one sample at a time in effect.

scipy's transform gives each image of a batch the bits it would have alone (torch's does not), so
simulated data do not depend on how the samples were grouped.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from ..errors import InputError
from ..io.validation import real_array

__all__ = ["backward", "forward", "image_stack"]


def image_stack(value: Any, what: str) -> NDArray[np.float64]:
    """A stack of images of finite numbers, with shape `(N, H, W)`.

    Raises:
        InputError: If it is none.
    """
    found = real_array(value, what, "a stack of images with shape (N, H, W)")
    if found.ndim != 3 or 0 in found.shape[1:]:
        raise InputError(
            f"'{what}' has shape {found.shape}; give a stack of images with shape (N, H, W)."
        )
    if not np.isfinite(found).all():
        raise InputError(f"'{what}' holds NaN or infinite values; every one must be finite.")
    return found


def forward(image: NDArray[np.float64], *, overwrite: bool = False) -> NDArray[np.complex128]:
    """The half spectrum `(*, H, W // 2 + 1)` of images `(*, H, W)`."""
    transform = fft.rfft2(image, overwrite_x=overwrite, workers=1)
    return cast("NDArray[np.complex128]", transform)


def backward(
    spectrum: NDArray[np.complex128], width: int, *, overwrite: bool = False
) -> NDArray[np.float64]:
    """The images `(*, H, width)` of a half spectrum."""
    size = (spectrum.shape[-2], width)
    image = fft.irfft2(spectrum, s=size, overwrite_x=overwrite, workers=1)
    return cast("NDArray[np.float64]", image)
