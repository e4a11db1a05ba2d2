r"""The process: its settings :math:`\varphi` with names, units and bounds, and its symmetries in
law."""

from .space import ProcessSpace
from .symmetries import (
    Mirror,
    PeriodicShift,
    Permutation,
    Reflection,
    Symmetry,
    Transposition,
    augment,
    orbit,
)

__all__ = [
    "Mirror",
    "PeriodicShift",
    "Permutation",
    "ProcessSpace",
    "Reflection",
    "Symmetry",
    "Transposition",
    "augment",
    "orbit",
]
