r"""Process maps :math:`z_1 = g(\varphi)` (Eq. 5): what the process does control."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..nn import ResidualMLP
from .base import Dimensions, Part

__all__ = ["ResidualMap"]


@dataclass(frozen=True)
class ResidualMap(Part):
    """App. A: a residual network with hidden layers of 256, 128 and 64 and ELU.

    Arguments:
        hidden: The widths of the hidden layers.
        passes_on: Whether the first P entries of z1 are the standardised settings themselves, so
            that a decoder can read those whatever the network does.
    """

    hidden: tuple[int, ...] = (256, 128, 64)
    passes_on: bool = False

    def build(self, dims: Dimensions) -> nn.Module:
        if not self.passes_on:
            return ResidualMLP(dims.process, dims.process_latent, self.hidden, "elu")
        if dims.process_latent <= dims.process:
            raise InputError(
                f"'process_map' passes on {dims.process} settings but z1 has "
                f"{dims.process_latent} entries; make 'process_latent' larger."
            )
        return _PassesOn(dims, self.hidden)


class _PassesOn(nn.Module):
    def __init__(self, dims: Dimensions, hidden: tuple[int, ...]) -> None:
        super().__init__()
        rest = dims.process_latent - dims.process
        self.network = ResidualMLP(dims.process, rest, hidden, "elu")

    def forward(self, phi: Tensor) -> Tensor:
        return torch.cat([phi, self.network(phi)], dim=-1)
