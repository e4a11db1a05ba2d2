"""Where the best setting may lie before anything is simulated: what a search chooses among."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...model import PSPGen
from ..ascent import Design

__all__ = ["scouts"]

_SCOUTS = 1024


def scouts(model: PSPGen, design: Design, rng: np.random.Generator) -> NDArray[np.float64]:
    """The ends of the model's ascents and scouts, half of them everywhere and half around those
    ends, near and far, with shape `(Q, P)`; the first is the design's φ*."""
    low, high = np.array(model.process.lower), np.array(model.process.upper)
    around = design.starts[rng.integers(len(design.starts), size=_SCOUTS)]
    reach = 10 ** rng.uniform(-2.5, -0.5, (_SCOUTS, 1))
    around = around + reach * (high - low) * rng.standard_normal((_SCOUTS, len(low)))
    everywhere = rng.uniform(low, high, (_SCOUTS, len(low)))
    return np.concatenate(
        [design.phi[None], design.starts, np.clip(around, low, high), everywhere]
    )
