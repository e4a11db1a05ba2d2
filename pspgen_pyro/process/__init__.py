r"""The process: its settings :math:`\varphi`, what they can be and must fulfil together, and its
symmetries in law."""

from .settings import Categorical, Fixed, Integer, Ordinal, Real, Setting
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
    "Categorical",
    "Fixed",
    "Integer",
    "Mirror",
    "Ordinal",
    "PeriodicShift",
    "Permutation",
    "ProcessSpace",
    "Real",
    "Reflection",
    "Setting",
    "Symmetry",
    "Transposition",
    "augment",
    "orbit",
]
