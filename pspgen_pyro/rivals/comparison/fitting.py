"""A rival that looks at the validation rows too, and at images."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from ...errors import InputError
from ...process import Symmetry
from ...schema import Schema
from ..base import Rival

if TYPE_CHECKING:
    from ...data.batches import Batch, Batches

__all__ = ["HeldOutRival"]


class HeldOutRival(Rival):
    """A rival whose `_learn` finds the validation rows under `_held_out`, for choices and checks,
    and its seed under `_seed`."""

    _held_out: Batch
    _seed: int

    def fit(
        self, data: Batches, *, schema: Schema, symmetries: Iterable[Symmetry] = (), seed: int = 0
    ) -> Self:
        """A fitted copy, as of `Rival.fit`; the validation rows choose among several settings and
        tell whether the processes have converged (`convergence`).

        Raises:
            InputError: If the schema or the data have no images, or grey ones.
            MissingDependencyError: If GPyTorch or scikit-learn is missing.
        """
        from .lmc import need_libraries

        images = schema.microstructure
        if images is None or images.grey:
            raise InputError(
                f"'schema' has {images or 'no images'}; the comparison method needs images of "
                "phase labels for its two-point statistics, so use another rival."
            )
        need_libraries()
        knowing = copy.copy(self)
        knowing._held_out, knowing._seed = data.validation, seed
        fitted = super(HeldOutRival, knowing).fit(
            data, schema=schema, symmetries=symmetries, seed=seed
        )
        del fitted._held_out
        return fitted
