"""Triads as tensors: what training iterates over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from .errors import InputError

if TYPE_CHECKING:
    from .model import PSPGen

__all__ = ["Batches", "TriadTensors"]


@dataclass(frozen=True)
class TriadTensors:
    """Triads (φ, x, m) side by side.

    Arguments:
        phi: Process parameters, with shape `(N, P)`.
        x: Microstructures as small integers, with shape `(N, H, W)`.
        m: Properties, with shape `(N, K)`.
    """

    phi: Tensor
    x: Tensor
    m: Tensor

    def __len__(self) -> int:
        return len(self.phi)

    def __getitem__(self, index: Tensor | slice) -> tuple[Tensor, Tensor, Tensor]:
        return self.phi[index], self.x[index].to(self.phi.dtype), self.m[index]

    def to(self, like: Tensor) -> TriadTensors:
        """The same triads on the device and in the precision of another tensor."""
        return TriadTensors(self.phi.to(like), self.x.to(like.device), self.m.to(like))

    def shuffled(self, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Batches in an order drawn from torch's generator."""
        for index in torch.randperm(len(self)).split(size):
            yield self[index]

    def ordered(self, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
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
        """Takes the folds of a triads dataset as tensors; failed samples (m is NaN) are left out.

        Raises:
            InputError: If a fold is empty or a property is infinite.
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
            known = m.isfinite().all(-1)
            part, m = part.isel(sample=known.numpy()), m[known]
            parts.append(
                TriadTensors(
                    torch.tensor(part["phi"].values, dtype=dtype),
                    torch.tensor(part["x"].values),
                    m,
                )
            )
        return cls(*parts)

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
