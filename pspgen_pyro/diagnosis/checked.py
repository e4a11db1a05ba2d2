"""What the checks of a run found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Checkup"]


@dataclass
class Checkup:
    """What the checks found.

    Arguments:
        rows: What was checked, the number found and the verdict, for people.
        content: The same and more as plain values, ready for JSON.
        figures: Figures by name.
        tree: The ranks of simulation-based calibration, for ArviZ.
        notes: Tables and sentences that follow the rows.
    """

    rows: list[tuple[str, str, str]] = field(default_factory=list)
    content: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    tree: xr.DataTree | None = None
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        width = max(len(row[0]) for row in self.rows)
        lines = [
            f"{what:{width}s}  {number:32s}  {verdict}" for what, number, verdict in self.rows
        ]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])
