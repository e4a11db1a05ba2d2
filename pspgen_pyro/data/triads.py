"""A labelled data set of triads (φ, x, m), with the schema that says what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from ..io.validation import local_path
from ..schema import Schema

if TYPE_CHECKING:
    from .declared import Images, Process, Properties

__all__ = ["Triads"]


@dataclass(frozen=True, eq=False, repr=False)
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

        return cls(*open_store(path, excluded=excluded, verify=verify))

    def save(self, path: str | Path) -> Path:
        """Writes a triads store, all of it or nothing; equal triads have equal bytes.

        Raises:
            InputError: If `path` exists, or a variable is not what the schema says.
            StorageError: If writing fails.
        """
        from .saving import save_store

        save_store(self.schema, self.data, path)
        return Path(path)

    def __len__(self) -> int:
        return self.data.sizes["sample"]

    @classmethod
    def from_arrays(
        cls,
        phi: Any,
        x: Any,
        m: Any,
        *,
        properties: Properties,
        process: Process = None,
        constraints: str | Sequence[str] = (),
        microstructure: Images = None,
        validation: float = 0.1,
        seed: int = 0,
        quiet: bool = False,
    ) -> Triads:
        """Triads of arrays, checked; prints the summary once.

        Arguments:
            phi: Settings, with shape `(N, P)`: numpy, torch, pandas (columns by name) or xarray.
            x: Images, with shape `(N, H, W)`; None if there are none.
            m: Values of the properties in their own units, with shape `(N, K)`; NaN where one is
                unknown.
            properties: What each column of `m` is: a `Property`, or its text "name [unit] scale".
            process: A `ProcessSpace`; or a mapping from names to (low, high), (low, high, unit)
                or a `Setting`; or names, such as "T [K]", whose bounds are then the range of the
                data, or "n integer 6:12". None takes the names from `phi`.
            constraints: What settings fulfil together, such as "a + b + c = 100".
            microstructure: What `x` is: a `Microstructure`, or its entries without the shape, as
                `dict(phases=2, periodic=False)`.
            validation: The part of the settings that validates.
            seed: Seeds the folds.
            quiet: Print nothing.

        Raises:
            InputError: If something is wrong; the sentence names the row and the column.

        Example:
            >>> import numpy as np
            >>> phi = np.random.default_rng(0).uniform(size=(100, 2))
            >>> triads = Triads.from_arrays(
            ...     phi, None, phi.sum(1), process={"a": (0, 1), "b": (0, 1)},
            ...     properties="strength [MPa]", quiet=True,
            ... )
            >>> len(triads), int(triads.data["fold"].sum())
            (100, 10)
        """
        from .arrays import triads_of_arrays

        schema, data = triads_of_arrays(
            phi,
            x,
            m,
            process=process,
            constraints=constraints,
            properties=properties,
            microstructure=microstructure,
            validation=validation,
            seed=seed,
        )
        return cls(schema, data)._told(quiet)

    @classmethod
    def from_table(
        cls,
        path: str | Path,
        *,
        process: Process,
        constraints: str | Sequence[str] = (),
        properties: Properties,
        images: str | None = None,
        microstructure: Images = None,
        validation: float = 0.1,
        seed: int = 0,
        quiet: bool = False,
    ) -> Triads:
        """Triads of a CSV file and of images beside it, checked; prints the summary once.

        Arguments:
            path: The table, with a header and one row a sample.
            process: The columns that are settings, as in `from_arrays`.
            constraints: What they fulfil together, such as "a + b + c = 100".
            properties: The columns that are properties: each a `Property`, or its text
                "name [unit] scale".
            images: The column that holds the paths of the images, or a pattern such as
                ``img/*.png`` whose files are the rows in order; both count from the table's
                folder.
            microstructure: What the images are, as in `from_arrays`.
            validation: The part of the settings that validates.
            seed: Seeds the folds.
            quiet: Print nothing.

        Raises:
            InputError: If something is wrong; the sentence names the row and the column.
        """
        from .table import triads_of_table

        schema, data = triads_of_table(
            local_path(path, "path"),
            process=process,
            constraints=constraints,
            properties=properties,
            images=images,
            microstructure=microstructure,
            validation=validation,
            seed=seed,
        )
        return cls(schema, data)._told(quiet)

    def split(self, held_out: float = 0.2, *, seed: int = 0) -> tuple[Triads, Triads]:
        """These triads without some settings, and the triads of those settings, kept for a test.

        Every setting stays whole. The first part keeps its folds; no row of the second one trains
        (its fold is 1).

        Arguments:
            held_out: The part of the settings to hold out, of each fold.
            seed: Seeds the draw.

        Raises:
            InputError: If a part would be empty.
        """
        from .folds import hold_out

        rest, test = hold_out(self.data, held_out, seed)
        return Triads(self.schema, rest), Triads(self.schema, test)

    def summary(self) -> str:
        """What the triads are, what was noted when they were read, and what looks wrong."""
        from .summary import summary

        return summary(self.schema, self.data)

    def __repr__(self) -> str:
        return self.summary()

    def _told(self, quiet: bool) -> Triads:
        if not quiet:
            print(self.summary())
        return self
