"""What the networks see of the settings: values, logarithms, and an indicator for each name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .settings import Fixed, Setting

__all__ = ["Features"]


@dataclass(frozen=True)
class Features:
    """What the networks see of φ: Q numbers, each of one setting.

    Arguments:
        source: The setting that each comes from, with shape `(Q)`.
        level: The level whose indicator it is, with shape `(Q)`; NaN where it is the value itself.
        log: Where it is the logarithm of the value, with shape `(Q)`.
        low: Its smallest value, with shape `(Q)`.
        high: Its largest.
        loc: Its mean under the settings' priors.
        scale: Its standard deviation.
    """

    source: NDArray[np.int64]
    level: NDArray[np.float64]
    log: NDArray[np.bool_]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    loc: NDArray[np.float64]
    scale: NDArray[np.float64]

    @property
    def plain(self) -> bool:
        """Whether they are φ itself."""
        same = np.array_equal(self.source, np.arange(len(self.source)))
        return same and not self.log.any() and bool(np.isnan(self.level).all())

    @classmethod
    def of(cls, settings: Sequence[Setting]) -> Features:
        """Those of some settings."""
        rows = [(j, *row) for j, one in enumerate(settings) for row in _rows(one)]
        source, level, log, low, high, loc, scale = map(np.array, zip(*rows, strict=True))
        return cls(source, level, log.astype(bool), low, high, loc, scale)

    def unit(self, phi: NDArray[np.float64]) -> NDArray[np.float64]:
        """They themselves, each from 0 to 1 over its range, with shape `(*, Q)`."""
        value = phi[..., self.source]
        value = np.where(self.log, np.log(np.where(self.log, value, 1.0)), value)
        value = np.where(np.isnan(self.level), value, np.abs(value - self.level) < 0.5)
        return (value - self.low) / (self.high - self.low)


def _rows(setting: Setting) -> list[tuple[float, ...]]:
    """The rows of `Features` of one setting, without its number."""
    if isinstance(setting, Fixed):
        return []
    if (words := setting.words) is not None:
        share = 1 / len(words)
        spread = (share * (1 - share)) ** 0.5
        return [(float(k), 0, 0.0, 1.0, share, spread) for k in range(len(words))]
    low, high = np.log(setting.bounds) if setting.log else setting.bounds
    if (levels := setting.levels) is not None:
        return [(np.nan, 0, low, high, float(levels.mean()), float(levels.std()))]
    return [(np.nan, float(setting.log), low, high, (low + high) / 2, (high - low) / 12**0.5)]
