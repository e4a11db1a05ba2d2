"""Splits of a small data set for comparisons: every setting is held out once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import InputError
from .triads import Triads

__all__ = ["folds_by_setting"]


def folds_by_setting(triads: Triads, k: int = 5, seed: int = 0) -> Iterator[tuple[Triads, Triads]]:
    """Pairs of triads to learn from and triads to judge by, no setting in both.

    Replicates stay together, so a model is judged where it has seen nothing.

    Arguments:
        triads: The triads.
        k: How many pairs; every setting is judged by in one of them.
        seed: Seeds the order in which the settings are dealt out.

    Raises:
        InputError: If there are fewer than two parts, or fewer settings than parts.

    Example:
        >>> import xarray as xr
        >>> from pspgen_pyro.process import ProcessSpace
        >>> from pspgen_pyro.schema import Schema
        >>> schema = Schema(process=ProcessSpace(("T",), (0,), (1,)), properties=("strength",))
        >>> data = xr.Dataset({"phi_index": ("sample", np.repeat(np.arange(5), 2))})
        >>> [len(judge) for _, judge in folds_by_setting(Triads(schema, data), 2)]
        [6, 4]
    """
    index = np.asarray(triads.data["phi_index"].values)
    settings = np.unique(index)
    if not 2 <= k <= len(settings):
        raise InputError(
            f"'k' is {k}; choose at least 2 and at most {len(settings)}, the number of settings."
        )
    order = np.random.default_rng(seed).permutation(settings)
    for part in range(k):
        held = np.isin(index, order[part::k])
        yield tuple(  # type: ignore[misc]
            Triads(triads.schema, triads.data.isel(sample=np.flatnonzero(chosen)))
            for chosen in (~held, held)
        )
