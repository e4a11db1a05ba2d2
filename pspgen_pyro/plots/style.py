"""What all pictures share: the colours of the data, panels, and labels with units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from ..process import ProcessSpace
    from ..schema import Schema

__all__ = ["CYCLE", "PALETTE", "panel", "panels", "parameter_labels", "property_labels"]

PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermilion": "#D55E00",
    "sky": "#56B4E9",
    "pink": "#CC79A7",
    "grey": "#8A8F98",
}
"""The colours of the data (Okabe and Ito, 2008)."""

CYCLE = tuple(PALETTE[name] for name in ("blue", "vermilion", "green", "pink", "orange", "sky"))
"""The colours of several things of one kind, in turn."""


def parameter_labels(process: ProcessSpace) -> list[str]:
    """The axis label of each process parameter, with its unit.

    Example:
        >>> from pspgen_pyro import case
        >>> parameter_labels(case("case1").process)[0]
        'phi1 (dimensionless)'
    """
    return [
        name if one.words else f"{name} ({'dimensionless' if one.unit == '1' else one.unit})"
        for name, one in zip(process.names, process.settings, strict=True)
    ]


def property_labels(schema: Schema) -> list[str]:
    """The axis label of each property on its scale, with its unit.

    Example:
        >>> from pspgen_pyro.process import ProcessSpace
        >>> from pspgen_pyro.schema import Schema
        >>> furnace = ProcessSpace(("T",), (900.0,), (1200.0,))
        >>> property_labels(Schema(process=furnace, properties=("k [m^2] log", "strength [MPa]")))
        ['ln(k / m^2)', 'strength [MPa]']
    """
    return [known.label for known in schema.properties]


def panel(width: float = 4.6, height: float = 3.8) -> tuple[Figure, Axes]:
    """A figure with one panel, in inches."""
    return plt.subplots(figsize=(width, height), layout="constrained")


def panels(
    rows: int, columns: int, size: tuple[float, float], **options: Any
) -> tuple[Figure, Any]:
    """A figure of so many inches and its panels, with shape `(rows, columns)`."""
    options |= {"figsize": size, "squeeze": False, "layout": "constrained"}
    return plt.subplots(rows, columns, **options)
