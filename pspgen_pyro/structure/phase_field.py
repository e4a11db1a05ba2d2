r"""Phase separation: the Cahn–Hilliard equation on the periodic image.

.. math:: \partial_t c = D \nabla^2 (c^3 - c - \gamma \nabla^2 c)

with :math:`c = \pm 1` in the two phases, pixel spacing 1 and interfaces of width
:math:`\sqrt{\gamma}`. In Fourier space, with :math:`k^2 = k_x^2 + k_y^2` of the angular wave
numbers :math:`2 \pi i / n`,

.. math::
    \dot{\hat c} = L \hat c + N(c), \qquad
    L = -D \gamma k^4, \qquad N(c) = -D k^2 \, \mathcal{F}[c^3 - c].

The stiff part L is solved exactly; the reaction N is advanced by the fourth-order exponential
Runge–Kutta scheme ETDRK4. A sharp ±1 image relaxes within a few hundredths of a time unit and
coarsens slowly afterwards, so the steps are graded. The term −c belongs to N: moved into L, it
leaves the cubic term alone with the explicit part, and the scheme is unstable from steps of 0.125.

A step is at most :math:`3 \gamma / D`. So long ones, from sharp images of 36 × 36 pixels to
:math:`T = 5`, put at most 3 % of the pixels into the other phase than steps of 0.0025 do, for
:math:`\gamma` from 0.2 to 8; longer ones end in overflow or, unnoticed, in another structure.

The equation conserves the mean of :math:`c` and never raises the free energy

.. math:: F(c) = \sum_{\text{pixels}} \tfrac14 (c^2 - 1)^2 + \tfrac{\gamma}{2} |\nabla c|^2.

References:
    | Exponential time differencing for stiff systems (Cox, Matthews, 2002)
    | https://doi.org/10.1006/jcph.2002.6995

    | Fourth-order time-stepping for stiff PDEs (Kassam, Trefethen, 2005)
    | https://doi.org/10.1137/S1064827502410633
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.validation import check_instance, check_positive
from ._fourier import backward, forward, image_stack

__all__ = ["GRADED_STEPS", "cahn_hilliard", "free_energy"]

GRADED_STEPS: tuple[float, ...] = (0.005,) * 10 + (0.05,) * 9 + (0.15,) * 30
"""49 steps to :math:`T = 5`: 0.005 to t = 0.05, 0.05 to t = 0.5, 0.15 to t = 5."""


def cahn_hilliard(
    c: NDArray[np.float64],
    gamma: float,
    *,
    diffusivity: float = 10.0,
    steps: Sequence[float] = GRADED_STEPS,
) -> NDArray[np.float64]:
    r"""Evolves concentrations by the given time steps.

    Arguments:
        c: The initial concentrations, with shape `(N, H, W)`.
        gamma: The gradient coefficient :math:`\gamma`, in pixels squared.
        diffusivity: The coefficient :math:`D`, in pixels squared per unit of time.
        steps: The sizes of the time steps; their sum is the duration.

    Returns:
        The final concentrations, with shape `(N, H, W)`. Each sample is computed as if it were
        alone.

    Raises:
        InputError: If `c` is not a finite stack of images, `gamma`, `diffusivity` or a step is
            not positive, or a step is longer than :math:`3 \gamma / D`.
        FloatingPointError: If the free energy rose, as where the scheme is unstable.

    Example:
        >>> c = np.sign(np.random.default_rng(0).standard_normal((2, 16, 16)))
        >>> bool(np.allclose(cahn_hilliard(c, 2.0).mean((1, 2)), c.mean((1, 2))))
        True
    """
    c = image_stack(c, "c")
    _check(gamma, diffusivity, steps)
    result = np.empty(c.shape)
    size = max(1, _CACHED_PIXELS // (c.shape[1] * c.shape[2]))
    for start in range(0, len(c), size):
        part = slice(start, start + size)
        _evolve(c[part], result[part], gamma, diffusivity, steps)
        _check_energy(c[part], result[part], gamma, start)
    return result


def free_energy(c: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    r"""The free energy :math:`F(c)` of each sample, with shape `(N,)`; gradients by Fourier.

    Arguments:
        c: The concentrations, with shape `(N, H, W)`.
        gamma: The gradient coefficient :math:`\gamma`, in pixels squared.

    Example:
        >>> free_energy(np.ones((1, 8, 8)), 2.0)
        array([0.])
    """
    height, width = c.shape[1:]
    power = np.abs(np.fft.fft2(c)) ** 2 / (height * width)
    down, across = ((2 * np.pi * np.fft.fftfreq(n)) ** 2 for n in (height, width))
    gradient = ((down[:, None] + across) * power).sum(axis=(1, 2))
    return 0.25 * ((c**2 - 1) ** 2).sum(axis=(1, 2)) + 0.5 * gamma * gradient


_ROUNDING = 1e-6
_LONGEST = 3.0

# a sub-batch of this size keeps the seven work arrays of a step in the second-level cache
_CACHED_PIXELS = 8 * 36**2


@dataclass(frozen=True)
class _Coefficients:
    """The factors of one step, each `(H, W // 2 + 1)`; −D k² is folded into the last four."""

    whole: NDArray[np.float64]
    half: NDArray[np.float64]
    stage: NDArray[np.float64]
    first: NDArray[np.float64]
    middle: NDArray[np.float64]
    last: NDArray[np.float64]


@lru_cache(maxsize=32)
def _coefficients(
    height: int, width: int, gamma: float, diffusivity: float, step: float
) -> _Coefficients:
    r"""The factors as means over a circle around :math:`z = L \Delta t`: no cancellation at 0."""
    down, across = (2 * np.pi * np.fft.fftfreq(n) for n in (height, width))
    k2 = down[:, None] ** 2 + across[: width // 2 + 1] ** 2
    z = -step * diffusivity * gamma * k2**2
    circle = z[..., None] + np.exp(1j * np.pi * (np.arange(32) + 0.5) / 32)
    e, e_half = np.exp(circle), np.exp(circle / 2)
    factor = -step * diffusivity * k2
    f1 = (-4 - circle + e * (4 - 3 * circle + circle**2)) / circle**3
    f2 = (2 + circle + e * (circle - 2)) / circle**3
    f3 = (-4 - 3 * circle - circle**2 + e * (4 - circle)) / circle**3
    stage = (e_half - 1) / circle
    mean = [factor * f.mean(axis=-1).real for f in (stage, f1, 2 * f2, f3)]
    return _Coefficients(np.exp(z), np.exp(z / 2), *mean)


def _evolve(
    c: NDArray[np.float64],
    out: NDArray[np.float64],
    gamma: float,
    diffusivity: float,
    steps: Sequence[float],
) -> None:
    from . import _kernels as kernels

    height, n = c.shape[1:]
    v = forward(c)
    a, b = np.empty_like(v), np.empty_like(v)
    for step in steps:
        f = _coefficients(height, n, gamma, diffusivity, step)
        rate_v = _rate(v.copy(), n)
        kernels.combine(a, f.half, v, f.stage, rate_v)
        rate_a = _rate(a.copy(), n)
        kernels.combine(b, f.half, v, f.stage, rate_a)
        rate_b = _rate(b, n)
        kernels.last_stage(a, f.half, f.stage, rate_b, rate_v)
        rate_c = _rate(a, n)
        kernels.finish(v, f.whole, f.first, rate_v, f.middle, rate_a, rate_b, f.last, rate_c)
    out[:] = backward(v, n)


def _rate(v: NDArray[np.complex128], n: int) -> NDArray[np.complex128]:
    """The transform of c³ − c for the transform `v` of c, which it overwrites."""
    from . import _kernels as kernels

    c = backward(v, n, overwrite=True)
    kernels.react(c.reshape(-1))
    return forward(c, overwrite=True)


def _check(gamma: float, diffusivity: float, steps: Sequence[float]) -> None:
    check_positive(optional=False, gamma=gamma, diffusivity=diffusivity)
    check_instance((list, tuple, np.ndarray), "the sizes of the time steps", steps=steps)
    longest = _LONGEST * gamma / diffusivity
    for step in steps:
        check_positive(optional=False, steps=step)
        if step > longest * (1 + _ROUNDING):
            raise InputError(
                f"'steps' has {step:g}, but with gamma {gamma:g} and diffusivity {diffusivity:g} "
                f"the scheme loses the structure beyond {longest:.3g}; give shorter steps."
            )


def _check_energy(
    before: NDArray[np.float64], after: NDArray[np.float64], gamma: float, first: int
) -> None:
    """The equation never raises the free energy, an unstable scheme does.

    Raises:
        FloatingPointError: If a sample's energy rose or overflowed.
    """
    with np.errstate(all="ignore"):
        end, start = free_energy(after, gamma), free_energy(before, gamma)
        lost = np.flatnonzero(~(end <= start + _ROUNDING * (1 + np.abs(start))))
    if len(lost):
        raise FloatingPointError(
            f"'steps' are too long for sample {first + lost[0]}, whose free energy rose from "
            f"{start[lost[0]]:g} to {end[lost[0]]:g}; give shorter steps."
        )
