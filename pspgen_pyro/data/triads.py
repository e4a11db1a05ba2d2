"""A labelled data set of triads (φ, x, m), with the schema that says what they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from ..process import ProcessSpace
from ..schema import Schema

__all__ = ["Triads"]


@dataclass(frozen=True, eq=False)
class Triads:
    """Triads (φ, x, m) and what they are.

    The data set has the variables

    ===============  =======================  ====================================================
    name             dimensions               what
    ===============  =======================  ====================================================
    ``phi``          (sample, parameter)      settings, in their units
    ``x``            (sample, row, column)    images: labels (uint8) or grey values (float32);
                                              absent where the schema has no microstructure
    ``value``        (sample, property)       properties, in their units; NaN where unknown
    ``m``            (sample, property)       the same on the properties' scales
    ``phi_index``    (sample)                 the number of the setting; replicates share it
    ``replicate``    (sample)                 the number of the replicate of its setting
    ``fold``         (sample)                 0 for training, 1 for validation, by setting
    ===============  =======================  ====================================================

    Arguments:
        schema: What a triad is.
        data: The data set, in memory or opened from a store.
    """

    schema: Schema
    data: xr.Dataset

    def __len__(self) -> int:
        return self.data.sizes["sample"]

    @classmethod
    def open(cls, path: str | Path) -> Triads:
        """Branch only: today's stores of the study with a schema."""
        from ..schema import Microstructure, Property
        from .store import open_triads

        data = open_triads(path)
        attrs = data.attrs
        lower, upper = zip(*attrs["bounds"], strict=True)
        fields = {"lower": lower, "upper": upper, "symmetries": attrs.get("symmetries", [])}
        process = ProcessSpace.from_json(
            {"names": attrs["names"], "units": attrs["units"], **fields}
        )
        names = [str(name) for name in data["property"].values]
        properties = tuple(
            Property(name=n, scale="log", quantity="k", direction=n)  # type: ignore[arg-type]
            for n in names
        )
        shape = (data.sizes["row"], data.sizes["column"])
        images = Microstructure(shape=shape, phases=int(attrs.get("phases", 2)))
        return cls(Schema(process=process, microstructure=images, properties=properties), data)
