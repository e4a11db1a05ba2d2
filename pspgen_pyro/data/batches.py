"""Triads as tensors: what training iterates over.

An unknown property is NaN, entry by entry; an unlabelled sample (φ, x) is a row whose properties
are all unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..io.validation import check_seed, check_whole

if TYPE_CHECKING:
    from ..process import ProcessSpace, Symmetry
    from ..schema import Schema
    from .triads import Triads

__all__ = ["Batch", "Batches"]


@dataclass(frozen=True)
class Batch:
    """Rows (φ, x, m) side by side.

    Arguments:
        phi: Process parameters, with shape `(N, P)`.
        x: Microstructures, small integers or grey values, with shape `(N, H, W)`; None if the
            data have none.
        m: Properties on their scales, with shape `(N, K)`; NaN where they are unknown.
    """

    phi: Tensor
    x: Tensor | None
    m: Tensor

    def __len__(self) -> int:
        return len(self.phi)

    def __getitem__(self, index: Tensor | slice) -> Batch:
        return Batch(self.phi[index], None if self.x is None else self.x[index], self.m[index])

    @property
    def images(self) -> Tensor:
        """The microstructures.

        Raises:
            InputError: If there are none.
        """
        if self.x is None:
            raise InputError("these rows have no images, which are needed here.")
        return self.x

    @property
    def labelled(self) -> Tensor:
        """Whether all properties of each row are known, with shape `(N)`."""
        return self.m.isfinite().all(-1)

    @property
    def partly_labelled(self) -> Tensor:
        """Whether some property of each row is known, with shape `(N)`."""
        return self.m.isfinite().any(-1)

    def joined(self, other: Batch) -> Batch:
        """These rows, and those of another batch of the same sizes after them."""
        x = None if self.x is None or other.x is None else torch.cat([self.x, other.x])
        return Batch(torch.cat([self.phi, other.phi]), x, torch.cat([self.m, other.m]))

    def to(self, like: Tensor) -> Batch:
        """The same rows on the device and in the precision of another tensor; images of labels
        stay small integers."""
        x = self.x
        if x is not None:
            x = x.to(like) if x.is_floating_point() else x.to(like.device)
        return Batch(self.phi.to(like), x, self.m.to(like))

    def shuffled(self, size: int) -> Iterator[Batch]:
        """Batches in an order drawn from torch's generator."""
        for index in torch.randperm(len(self)).split(size):
            yield self[index]

    def ordered(self, size: int) -> Iterator[Batch]:
        """Batches in the order of the data."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def forever(self, size: int) -> Iterator[Batch]:
        """Batches of exactly this size, or of all rows if there are fewer, in ever new orders."""
        size = min(size, len(self))
        while True:
            for batch in self.shuffled(size):
                if len(batch) == size:
                    yield batch

    def augmented(self, symmetries: Sequence[Symmetry], process: ProcessSpace) -> Batch:
        """Each row under a random element of every symmetry."""
        from ..process import augment

        return Batch(*augment(symmetries, process, self.phi, self.x, self.m))

    def orbit(self, symmetries: Sequence[Symmetry], process: ProcessSpace) -> list[Batch]:
        """The rows under every combination of the elements of those symmetries that can be
        listed."""
        from ..process import orbit

        return [Batch(*rows) for rows in orbit(symmetries, process, self.phi, self.x, self.m)]


@dataclass(frozen=True)
class Batches:
    """Training and validation rows, no φ in both.

    Arguments:
        train: The rows whose loss is minimised.
        validation: The rows that decide which weights are kept.
    """

    train: Batch
    validation: Batch

    @classmethod
    def from_triads(cls, triads: Triads, dtype: torch.dtype = torch.float32) -> Batches:
        """Takes the folds of a data set as tensors.

        A row without m whose image is all zeros is one whose simulation failed; it is left out.

        Raises:
            InputError: If a fold is empty, has no property that is known, or a value without an m.
        """
        found = []
        for value, name in ((0, "training"), (1, "validation")):
            rows = np.flatnonzero(triads.data["fold"].values == value)
            if not len(rows):
                raise InputError(
                    f"'triads' has no {name} row; give at least 10 different φ so that both folds "
                    "are filled."
                )
            part = triads.data.isel(sample=rows)
            m = torch.tensor(part["m"].values, dtype=dtype)
            if m.isinf().any():
                raise InputError(
                    f"'triads' has {int(m.isinf().any(-1).sum())} {name} row(s) with an infinite "
                    "m; declare a detection limit of that property, or leave the value empty."
                )
            if "value" in part:
                # a value that has no m, as 0 on a log scale, must not pass for an unknown one
                triads.schema.scaled(part["value"].values)
            x = torch.tensor(part["x"].values) if "x" in part else None
            batch = Batch(torch.tensor(part["phi"].values, dtype=dtype), x, m)
            if x is not None:
                batch = batch[batch.partly_labelled | (x != 0).flatten(1).any(-1)]
            if not batch.partly_labelled.any():
                raise InputError(
                    f"'triads' has no {name} row with properties; compute some of them."
                )
            found.append(batch)
        return cls(*found)

    def hide_properties(self, labelled: int, seed: int = 0) -> Batches:
        """The same rows, of which only so many keep their m; a tenth of those validate.

        Raises:
            InputError: If fewer than 10 labels are to be kept, or more than there are.
        """
        check_whole(labels=labelled)
        check_seed(seed)
        total = len(self.train) + len(self.validation)
        share = max(1, round(labelled * len(self.validation) / total))
        generator = torch.Generator().manual_seed(seed)
        parts = []
        for fold, keep in ((self.train, labelled - share), (self.validation, share)):
            known = fold.labelled.nonzero().squeeze(-1)
            if labelled < 10 or keep > len(known):
                raise InputError(
                    f"'labelled' is {labelled}; keep at least 10 labels and no more than the "
                    f"{int(self.train.labelled.sum() + self.validation.labelled.sum())} there are."
                )
            kept = known[torch.randperm(len(known), generator=generator)[:keep]]
            m = torch.full_like(fold.m, torch.nan)
            m[kept] = fold.m[kept]
            parts.append(Batch(fold.phi, fold.x, m))
        return Batches(*parts)

    def with_pairs(self, others: Batches) -> Batches:
        """These rows and, without their m, the rows of `others`.

        Raises:
            InputError: If the rows have other sizes, or no images.
        """
        folds = []
        for own, more in ((self.train, others.train), (self.validation, others.validation)):
            if own.x is None or more.x is None:
                raise InputError(
                    "'others' or these rows have no images; an unlabelled sample is a setting and "
                    "an image."
                )
            if own.x.shape[1:] != more.x.shape[1:] or own.phi.shape[1] != more.phi.shape[1]:
                raise InputError(
                    f"'others' has microstructures of {tuple(more.x.shape[1:])} pixels and "
                    f"{more.phi.shape[1]} settings, but here are {tuple(own.x.shape[1:])} and "
                    f"{own.phi.shape[1]}; the pairs must come from the same process."
                )
            hidden = torch.full((len(more), own.m.shape[1]), torch.nan, dtype=own.m.dtype)
            folds.append(own.joined(Batch(more.phi, more.x, hidden)))
        return Batches(*folds)

    def only_labelled(self) -> Batches:
        """The rows whose properties are all known."""
        return Batches(self.train[self.train.labelled], self.validation[self.validation.labelled])

    def to(self, like: Tensor) -> Batches:
        """The same folds on the device and in the precision of another tensor."""
        return Batches(self.train.to(like), self.validation.to(like))

    def check_against(self, schema: Schema) -> None:
        """Says what of the data does not fit a schema, if anything does not.

        Raises:
            InputError: If sizes differ, a setting or a pixel is not of the schema, or something
                is NaN that must not be.
        """
        for fold in (self.train, self.validation):
            _check(fold, schema)


def _check(fold: Batch, schema: Schema) -> None:
    images = schema.microstructure
    shapes = {
        "phi": (tuple(fold.phi.shape[1:]), (len(schema.process),)),
        "x": (
            None if fold.x is None else tuple(fold.x.shape[1:]),
            None if images is None else images.shape,
        ),
        "m": (tuple(fold.m.shape[1:]), (len(schema.properties),)),
    }
    for name, (came, wanted) in shapes.items():
        if came != wanted:
            raise InputError(
                f"'data' has {name} of size {came} but the schema says {wanted}; build the model "
                "from the schema of this data set."
            )
    schema.process.check(fold.phi.double().cpu().numpy())
    if fold.m.isinf().any():
        raise InputError(
            "'data' has an infinite m; declare a detection limit, or make it NaN if it is unknown."
        )
    if fold.x is None or images is None:
        return
    top = 1 if images.grey else int(images.phases) - 1
    low, high = float(fold.x.min()), float(fold.x.max())
    whole = images.grey or not fold.x.is_floating_point() or bool((fold.x == fold.x.round()).all())
    # written so that NaN fails
    if not (low >= 0 and high <= top and whole):
        kind = "grey values between 0 and 1" if images.grey else f"labels from 0 to {top}"
        raise InputError(
            f"'data' has pixels from {low:g} to {high:g}, but the schema says {kind}; bring the "
            "images in by `Triads.from_arrays`, which converts what it understands."
        )
