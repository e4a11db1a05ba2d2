"""Triads as tensors: what training iterates over.

A bare pair (φ, x), whose properties nobody has computed, is a triad whose m is NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ..errors import InputError

if TYPE_CHECKING:
    from ..model import PSPGen

__all__ = ["Batches", "TriadTensors"]


@dataclass(frozen=True)
class TriadTensors:
    """Triads (φ, x, m) side by side.

    Arguments:
        phi: Process parameters, with shape `(N, P)`.
        x: Microstructures as small integers, with shape `(N, H, W)`.
        m: Properties, with shape `(N, K)`; NaN in the rows of bare pairs.
        code: The mean and standard deviation of each property code, once an encoder has given
            them.
    """

    phi: Tensor
    x: Tensor
    m: Tensor
    code: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.phi)

    def __getitem__(self, index: Tensor | slice) -> tuple[Any, ...]:
        triad = self.phi[index], self.x[index].to(self.phi.dtype), self.m[index]
        if self.code is None:
            return triad
        return *triad, (self.code[0][index], self.code[1][index])

    @property
    def labelled(self) -> Tensor:
        """Whether the properties of each row are known, with shape `(N)`."""
        return self.m.isfinite().all(-1)

    def only_labelled(self) -> TriadTensors:
        """The rows whose properties are known."""
        known = self.labelled
        return TriadTensors(self.phi[known], self.x[known], self.m[known])

    def to(self, like: Tensor) -> TriadTensors:
        """The same triads on the device and in the precision of another tensor."""
        return TriadTensors(self.phi.to(like), self.x.to(like.device), self.m.to(like))

    def shuffled(self, size: int) -> Iterator[tuple[Any, ...]]:
        """Batches in an order drawn from torch's generator."""
        for index in torch.randperm(len(self)).split(size):
            yield self[index]

    def ordered(self, size: int) -> Iterator[tuple[Any, ...]]:
        """Batches in the order of the data."""
        for start in range(0, len(self), size):
            yield self[start : start + size]


@dataclass(frozen=True)
class Batches:
    """Training and validation triads, no φ in both.

    Arguments:
        train: The triads whose loss is minimised.
        validation: The triads that decide which weights are kept.
    """

    train: TriadTensors
    validation: TriadTensors

    @classmethod
    def from_dataset(cls, triads: xr.Dataset, dtype: torch.dtype = torch.float32) -> Batches:
        """Takes the folds of a triads dataset as tensors.

        A sample without m is kept as a bare pair, unless its microstructure failed as well (it is
        all solid then, and a solid one has m = −∞, never NaN).

        Raises:
            InputError: If a fold has no labelled sample or a property is infinite.
        """
        fold = triads["fold"].values
        parts = []
        for value, name in ((0, "training"), (1, "validation")):
            index = np.flatnonzero(fold == value)
            if not len(index):
                raise InputError(
                    f"'triads' has no {name} sample; simulate at least 10 different φ so that "
                    "both folds are filled."
                )
            part = triads.isel(sample=index)
            m = torch.tensor(part["m"].values, dtype=dtype)
            if m.isinf().any():
                raise InputError(
                    f"'triads' has {int(m.isinf().any(-1).sum())} {name} sample(s) with k = 0, "
                    "whose m = log k is "
                    "infinite; the 'study' formulation keeps a blocked direction finite."
                )
            real = m.isfinite().all(-1) | torch.tensor(part["x"].values.any(axis=(1, 2)))
            part, m = part.isel(sample=real.numpy()), m[real]
            m = m.where(m.isfinite().all(-1, keepdim=True), torch.nan)
            parts.append(
                TriadTensors(
                    torch.tensor(part["phi"].values, dtype=dtype),
                    torch.tensor(part["x"].values),
                    m,
                )
            )
            if not parts[-1].labelled.any():
                raise InputError(
                    f"'triads' has no {name} sample with properties; compute m for some of them."
                )
        return cls(*parts)

    def hide_properties(self, labelled: int, seed: int = 0) -> Batches:
        """The same pairs (φ, x), of which only so many keep their m; a tenth of those validate.

        Raises:
            InputError: If fewer than 10 labels are to be kept, or more than there are.
        """
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
            parts.append(TriadTensors(fold.phi, fold.x, m))
        return Batches(*parts)

    def with_pairs(self, others: Batches) -> Batches:
        """These triads and, without their m, the rows of `others`.

        Raises:
            InputError: If the rows have other sizes.
        """
        folds = []
        for own, more in ((self.train, others.train), (self.validation, others.validation)):
            if own.x.shape[1:] != more.x.shape[1:] or own.phi.shape[1] != more.phi.shape[1]:
                raise InputError(
                    f"'others' has microstructures of {tuple(more.x.shape[1:])} pixels and "
                    f"{more.phi.shape[1]} settings, but here are {tuple(own.x.shape[1:])} and "
                    f"{own.phi.shape[1]}; the pairs must come from the same process."
                )
            hidden = torch.full((len(more), own.m.shape[1]), torch.nan, dtype=own.m.dtype)
            phi, x = torch.cat([own.phi, more.phi]), torch.cat([own.x, more.x])
            folds.append(TriadTensors(phi, x, torch.cat([own.m, hidden])))
        return Batches(*folds)

    def only_labelled(self) -> Batches:
        """The rows whose properties are known."""
        return Batches(self.train.only_labelled(), self.validation.only_labelled())

    def to(self, like: Tensor) -> Batches:
        """The same folds on the device and in the precision of another tensor."""
        return Batches(self.train.to(like), self.validation.to(like))

    def check_against(self, model: PSPGen) -> None:
        """Says which size of the data does not fit the model, if one does not.

        Raises:
            InputError: If the process parameters, the pixels or the properties differ in number.
        """
        dims = model.dims
        for name, came, wanted in (
            ("phi", (self.train.phi.shape[1],), (dims.process,)),
            ("x", tuple(self.train.x.shape[1:]), dims.image),
            ("m", (self.train.m.shape[1],), (dims.properties,)),
        ):
            if came != wanted:
                raise InputError(
                    f"'data' has {name} of size {came} but the model was built for {wanted}; "
                    "build the model from this data set."
                )
