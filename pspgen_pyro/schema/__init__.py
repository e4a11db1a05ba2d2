r"""What a triad is: one validated description, written into every store, run and answer.

A `Schema` names the process :math:`\varphi`, the `Microstructure` x (or none) and every `Property`
of m. Nothing in the package infers any of that from the sizes of arrays.
"""

from .microstructure import Microstructure
from .properties import Property
from .schema import Schema
from .units import conversion

__all__ = ["Microstructure", "Property", "Schema", "conversion"]
