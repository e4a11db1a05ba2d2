r"""Inverse materials design under uncertainty, as a Pyro program.

The chain, and where each step of it lives:

1. :math:`\varphi`, what the engineer sets: `process`
2. :math:`\varphi \to x`, process to microstructure: `structure`
3. :math:`x \to m`, microstructure to property: `properties`
4. 1–3 as one seeded simulator, and labelled triads of it: `chain`, `data`, `study`
5. :math:`p(x, m \mid \varphi)`, the whole chain as a Pyro model and guide: `model`
6. learning it from triads: `training`; a trained model with its story: `runs`
7. :math:`\varphi^* = \arg\max P(m \in \mathcal{M}_d \mid \varphi)`, and its check by fresh
physics: `design`; with a laboratory in the loop: `campaign`

The names below are loaded when first used, so that a process that only simulates never loads
torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .campaign import Campaign
    from .chain import Chain
    from .data import generate
    from .data.batches import Batches
    from .data.triads import Triads
    from .design import Box, Design, design_in_loop, maximise, probability, verify
    from .design.parsing import target
    from .errors import InputError
    from .model import PSPGen
    from .process import Categorical, Fixed, Integer, Ordinal, ProcessSpace, Real
    from .properties import percolation, permeability
    from .runs import Run, fit, load_run
    from .schema import Microstructure, Property, Schema
    from .study import case
    from .training.updates import Alternating, Cosine, Joint, Plateau

_HOME = {
    name: home
    for home, names in {
        "campaign": "Campaign",
        "chain": "Chain",
        "data": "generate",
        "data.batches": "Batches",
        "data.triads": "Triads",
        "design": "Box Design design_in_loop maximise probability verify",
        "design.parsing": "target",
        "errors": "InputError",
        "model": "PSPGen",
        "process": "Categorical Fixed Integer Ordinal ProcessSpace Real",
        "properties": "percolation permeability",
        "runs": "Run fit load_run",
        "schema": "Microstructure Property Schema",
        "study": "case",
        "training": "Alternating Cosine Joint Plateau",
    }.items()
    for name in names.split()
}

__version__ = "0.2.0"
__all__ = [
    "Alternating",
    "Batches",
    "Box",
    "Campaign",
    "Categorical",
    "Chain",
    "Cosine",
    "Design",
    "Fixed",
    "InputError",
    "Integer",
    "Joint",
    "Microstructure",
    "Ordinal",
    "PSPGen",
    "Plateau",
    "ProcessSpace",
    "Property",
    "Real",
    "Run",
    "Schema",
    "Triads",
    "case",
    "design_in_loop",
    "fit",
    "generate",
    "load_run",
    "maximise",
    "percolation",
    "permeability",
    "probability",
    "target",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
