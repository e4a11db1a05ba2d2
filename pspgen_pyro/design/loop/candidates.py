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
    process = model.process
    around = design.starts[rng.integers(len(design.starts), size=_SCOUTS)]
    reach = 10 ** rng.uniform(-2.5, -0.5, (_SCOUTS, 1))
    around = process.feasible.near(around, reach, rng)
    everywhere = process.sample(_SCOUTS, rng)
    return np.concatenate([design.phi[None], design.starts, around, everywhere])
