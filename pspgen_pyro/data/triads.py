"""A labelled data set of triads (φ, x, m), with the schema that says what they are."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

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
