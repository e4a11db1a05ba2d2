r"""Process maps :math:`z_1 = g(\varphi)` (Eq. 5): what the process does control."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from .base import Dimensions, Part
from .nn import ResidualMLP

__all__ = ["ResidualMap"]


@dataclass(frozen=True)
class ResidualMap(Part):
    """App. A: a residual network with hidden layers of 256, 128 and 64 and ELU."""

    hidden: tuple[int, ...] = (256, 128, 64)

    def build(self, dims: Dimensions) -> nn.Module:
        return ResidualMLP(dims.inputs, dims.process_latent, self.hidden, "elu")
