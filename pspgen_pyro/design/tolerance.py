r"""No setting is held exactly: P over what a process makes of a nominal φ.

.. math::
    P_\delta(m \in \mathcal{M}_d \mid \varphi) = \mathbb{E}_{\delta}\left[
        P(m \in \mathcal{M}_d \mid \varphi + \delta) \right], \qquad
    \delta_j \sim \mathcal{U}[-r_j, r_j], \quad r_j = \tau_j \text{ or } \rho_j |\varphi_j|

The δ are scrambled Sobol points, the same for every φ, so that the surface is smooth and its
gradient exact for the sample. Where p(m | φ) has a closed form they are all that is sampled;
elsewhere δ and z0 are one joint sample.

At the edge φ keeps its whole tolerance inside the process space, :math:`l_j \le \varphi_j - r_j`
and :math:`\varphi_j + r_j \le u_j`. A model knows nothing beyond the bounds, so what it said there
would be invented. Clipping δ at a bound instead would make a setting on the bound look twice as
well held as one inside, and a search would go there for a precision that no furnace has. Whoever
may go to a bound exactly, for it is a stop of the machine, gives that parameter no tolerance.

References:
    Robust optimization: a comprehensive survey (Beyer & Sendhoff, 2007)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..io.validation import is_number
from ..process import ProcessSpace

__all__ = ["Tolerance", "named_numbers"]

_HOW = "write 'T=5, t=2 %', a number in the parameter's unit or a percentage of its value"


@dataclass(frozen=True)
class Tolerance:
    r"""How well each parameter is held.

    Arguments:
        absolute: The half-widths :math:`\tau`, one a parameter, in its unit; 0 where it is held
            exactly.
        relative: The half-widths :math:`\rho` as shares of the value.
        words: The same by the parameters' names.

    Example:
        >>> furnace = ProcessSpace(("T", "t"), (900.0, 1.0), (1200.0, 9.0), ("K", "h"))
        >>> held = Tolerance.of({"T": 5, "t": "2 %"}, furnace)
        >>> print(held)
        T ± 5 K, t ± 2 %
        >>> held.narrowed(furnace).lower[0], held.narrowed(furnace).upper[0]
        (905.0, 1195.0)
    """

    absolute: tuple[float, ...]
    relative: tuple[float, ...]
    words: str

    @classmethod
    def of(cls, given: Mapping[str, Any] | str | Tolerance, process: ProcessSpace) -> Tolerance:
        """The tolerance that a mapping from names, or a text, says; who is not named is held
        exactly.

        Raises:
            InputError: If a name is unknown, a number is none, negative or not finite, or no
                setting keeps its tolerance inside the process space.
        """
        if isinstance(given, Tolerance):
            given.narrowed(process)
            return given
        pairs = _pairs(given) if isinstance(given, str) else given
        if not isinstance(pairs, Mapping):
            raise InputError(f"'tolerance' is {given!r:.60}; {_HOW}.")
        absolute, relative = np.zeros(len(process)), np.zeros(len(process))
        words = []
        for name, entry in pairs.items():
            j = _place(name, process, "tolerance")
            number, percent = _number(name, entry)
            (relative if percent else absolute)[j] = number / 100 if percent else number
            unit = "%" if percent else "" if process.units[j] == "1" else process.units[j]
            words.append(f"{name} ± {number:g} {unit}".rstrip())
        held = cls(tuple(absolute.tolist()), tuple(relative.tolist()), ", ".join(words))
        held.narrowed(process)
        return held

    def reach(self, phi: NDArray[np.float64]) -> NDArray[np.float64]:
        """The half-widths at φ, with shape `(*, P)`."""
        return np.asarray(self.absolute) + np.asarray(self.relative) * np.abs(phi)

    def spread(self, phi: Tensor, noise: Tensor) -> Tensor:
        """The settings φ + δ, with shape `(N, S, P)`.

        Arguments:
            phi: The nominal settings, with shape `(N, P)`.
            noise: Standard normal draws, with shape `(S, P)`; their distribution function makes
                them uniform.
        """
        absolute, relative = phi.new_tensor(self.absolute), phi.new_tensor(self.relative)
        reach = (absolute + relative * phi.abs()).unsqueeze(-2)
        return phi.unsqueeze(-2) + reach * (2 * torch.special.ndtr(noise) - 1)

    def drawn(
        self, phi: NDArray[np.float64], count: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Settings that a process makes of one φ with shape `(P)`, with shape `(count, P)`."""
        return phi + self.reach(phi) * rng.uniform(-1, 1, (count, len(phi)))

    def narrowed(self, process: ProcessSpace) -> ProcessSpace:
        """The settings that keep their tolerance inside the process space.

        Raises:
            InputError: If there are none.
        """
        self._check_settings(process)
        low, high = np.array(process.lower), np.array(process.upper)
        tau, rho = np.array(self.absolute), np.array(self.relative)
        if (rho >= 1).any():
            j = int(np.argmax(rho >= 1))
            raise InputError(
                f"'tolerance' is {100 * rho[j]:g} % of {process.names[j]}; a percentage must be "
                "below 100."
            )
        # φ - ρ|φ| and φ + ρ|φ| increase with φ
        lower = np.where(low >= 0, low / (1 - rho), low / (1 + rho)) + tau
        upper = np.where(high >= 0, high / (1 + rho), high / (1 - rho)) - tau
        if (narrow := (tau + rho > 0) & ~(lower < upper)).any():
            j = int(np.argmax(narrow))
            raise InputError(
                f"'tolerance' of {process.names[j]} is wider than its range "
                f"[{low[j]:g}, {high[j]:g}], so no setting keeps it inside; give less, or fit a "
                "model of a wider process space."
            )
        # its symmetries need not be those of the tolerance
        return process.within(lower, upper)

    def _check_settings(self, process: ProcessSpace) -> None:
        wide = np.array(self.absolute) + np.array(self.relative) > 0
        for name, one, held in zip(process.names, process.settings, ~wide, strict=True):
            if not held and one.levels is not None:
                raise InputError(
                    f"'tolerance' is given for {name}, which is {one.describe()}; only a real "
                    "number strays."
                )
        if process.constraints and wide.any():
            raise InputError(
                "'tolerance' is given, but the settings are constrained "
                f"({'; '.join(process.constraints)}) and would stray from that; leave it out."
            )

    def check(self, phi: NDArray[np.float64], process: ProcessSpace) -> None:
        """Says so if a setting with shape `(*, P)` does not keep its tolerance inside.

        Raises:
            InputError: If one does not.
        """
        inside = self.narrowed(process)
        if not (outside := inside.outside(phi)).any():
            return
        j = int(np.argwhere(outside)[0][-1])
        value = float(phi[..., j][outside[..., j]].flat[0])
        raise InputError(
            f"'phi' has {process.names[j]} = {value:g}, which under the tolerance {self} leaves "
            f"[{process.lower[j]:g}, {process.upper[j]:g}], where the model knows nothing; choose "
            f"it in [{inside.lower[j]:.6g}, {inside.upper[j]:.6g}], or give it no tolerance."
        )

    def __str__(self) -> str:
        return self.words or "none"


def named_numbers(given: Mapping[str, float], process: ProcessSpace, what: str) -> Any:
    """The numbers of a mapping from names in the order of the parameters, with shape `(P)`; 0 for
    who is not named.

    Raises:
        InputError: If a name is unknown, or a number is none or not finite.
    """
    found = np.zeros(len(process))
    for name, number in given.items():
        j = _place(name, process, what)
        if not is_number(number):
            raise InputError(f"'{what}' has {name}: {number!r:.40}; give a finite number.")
        found[j] = number
    return found


def _place(name: Any, process: ProcessSpace, what: str) -> int:
    if name not in process.names:
        raise InputError(
            f"'{what}' has {name!r:.40}, which is no parameter; there are "
            f"{', '.join(process.names)}."
        )
    return process.names.index(name)


def _number(name: str, entry: Any) -> tuple[float, bool]:
    """The number, and whether it is a percentage."""
    text = str(entry).strip()
    percent = isinstance(entry, str) and text.endswith("%")
    try:
        number = (
            np.nan if isinstance(entry, bool) or "_" in text else float(text.removesuffix("%"))
        )
    except ValueError:
        number = np.nan
    if not (np.isfinite(number) and number >= 0):
        raise InputError(f"'tolerance' has {name}: {entry!r:.40}; {_HOW}, not negative.")
    return number, percent


def _pairs(text: str) -> dict[str, str]:
    """The pairs of "T=5, t=2 %"."""
    pairs: dict[str, str] = {}
    for part in text.split(","):
        found = re.fullmatch(r"\s*(.+?)\s*(?:=|±|\+-)\s*(.+?)\s*", part)
        if found is None or found[1] in pairs:
            raise InputError(f"'tolerance' has {part.strip()!r:.40}; {_HOW}, each name once.")
        pairs[found[1]] = found[2]
    return pairs
