"""A labelled data set of triads (φ, x, m), with the schema that says what they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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

    @classmethod
    def open(cls, path: str | Path, *, excluded: bool = False, verify: bool = True) -> Triads:
        """Opens a complete triads store; the arrays are read when they are used.

        Every file is looked for at once, and compared with its checksum when it is read.

        Arguments:
            path: The store.
            excluded: Whether to keep the triads of the region without training data (Case 2).
            verify: Whether to look at the files at all.

        Raises:
            DataError: If there is no such store, it is unfinished or damaged, or it is not a
                triads store. The sentence names the file; a damaged chunk raises it when it is
                read.
        """
        from .opening import open_store

        return open_store(path, excluded=excluded, verify=verify)

    def save(self, path: str | Path) -> Path:
        """Writes a triads store, all of it or nothing; equal triads have equal bytes.

        Raises:
            InputError: If `path` exists, or a variable is not what the schema says.
            StorageError: If writing fails.
        """
        from .saving import save_store

        save_store(self, path)
        return Path(path)

    def __len__(self) -> int:
        return self.data.sizes["sample"]
