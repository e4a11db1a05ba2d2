r"""A convolutional network :math:`p(m \mid x)` that keeps connectivity.

A property along the horizontal direction is read from x and one along the vertical from
:math:`x^\top`, components of one quantity with the same weights, so the network commutes with
transposition,

.. math:: p(m_1, m_2 \mid x) = f(m_1 \mid x)\, f(m_2 \mid x^\top).

Convolutions wrap around where the images do. Whether a material lets flow through is decided at
its narrowest place, which a mean over the cell cannot see. Each feature :math:`h_{rc}` is
therefore pooled in three ways: its mean, its maximum and its *bottleneck*, the minimum along the
flow of the mean across it,

.. math:: \min_c \frac{1}{H} \sum_r h_{rc}.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..errors import InputError
from ..model.distributions import NormalMixture
from ..schema import Schema
from ._learning import check_sizes

__all__ = ["StructureNetwork", "StructureSizes", "bottleneck", "pooled"]


@dataclass(frozen=True)
class StructureSizes:
    """The hyper-parameters of a `StructureNetwork`.

    Arguments:
        channels: The channels of the first convolution, and of the two after it at half the
            resolution.
        hidden: The width of the head.
        components: The Gaussians a property.
        floor: The smallest standard deviation, in units of the standardised property.

    Raises:
        InputError: If a number is not positive.
    """

    channels: tuple[int, int] = (12, 24)
    hidden: int = 64
    components: int = 3
    floor: float = 0.02

    def __post_init__(self) -> None:
        check_sizes(self)


class StructureNetwork(nn.Module):
    """Microstructures in, one mixture a property out, on standardised m.

    Arguments:
        schema: Two-phase images, periodic or not, and properties each along a direction.
        sizes: The hyper-parameters.
        flags: Whether the percolation flag of a direction chooses between two heads, one for
            open and one for blocked.
    """

    def __init__(self, schema: Schema, sizes: StructureSizes, flags: bool) -> None:
        super().__init__()
        if schema.images.dimensions != 2:
            raise InputError(
                f"this network reads images of two dimensions, but the schema has "
                f"{schema.images}; leave it out, or train on sections."
            )
        first, second = sizes.channels
        self.components, self.floor, self.flags = sizes.components, sizes.floor, flags
        self.vertical = [int(p.direction == "vertical") for p in schema.properties]
        groups = schema.groups
        self.quantity = [
            next(i for i, members in enumerate(groups) if j in members)
            for j in range(len(schema.properties))
        ]
        wraps = schema.microstructure is not None and schema.microstructure.periodic
        self.features = nn.Sequential(
            _convolution(1, first, 5, wraps),
            nn.ReLU(),
            nn.AvgPool2d(2, ceil_mode=True),
            _convolution(first, second, 3, wraps),
            nn.ReLU(),
            _convolution(second, second, 3, wraps),
            nn.ReLU(),
        )
        self.shape = (len(groups), 1 + flags, 3, sizes.components)
        self.head = nn.Sequential(
            nn.Linear(3 * second, sizes.hidden),
            nn.SiLU(),
            nn.Linear(sizes.hidden, math.prod(self.shape)),
        )
        final: nn.Linear = self.head[-1]  # type: ignore[assignment]
        with torch.no_grad():
            # components start apart, else they stay equal
            heads = final.bias.view(self.shape)
            heads[:, :, 1].normal_()
            heads[:, :, 2] = math.log(math.expm1(0.5))

    def forward(self, x: Tensor, percolates: Tensor | None = None) -> NormalMixture:
        """The mixtures with batch shape `(N, K)` and one property each.

        Arguments:
            x: Microstructures, with shape `(N, H, W)`.
            percolates: The flags of (horizontal, vertical), with shape `(N, 2)`; needed by a
                network built with `flags`.
        """
        both = [pooled(self.features(image.unsqueeze(1))) for image in (x, x.mT)]
        heads = self.head(torch.stack(both, dim=1)).unflatten(-1, self.shape)
        heads = heads[:, self.vertical, self.quantity]
        out = heads[:, :, 0]
        if percolates is not None and self.flags:
            out = torch.where(percolates[:, self.vertical, None, None] > 0, heads[:, :, 1], out)
        logits, loc, scale = out.unbind(dim=-2)
        scale = self.floor + softplus(scale)
        return NormalMixture(logits, loc.unsqueeze(-1), scale.unsqueeze(-1))


def bottleneck(h: Tensor) -> Tensor:
    """The minimum along the last axis of the mean over the one before, with shape `(*)`.

    Example:
        >>> channel = torch.zeros(6, 6)
        >>> channel[2] = 1
        >>> blocked = channel.clone()
        >>> blocked[2, 4] = 0
        >>> bottleneck(channel).item() > bottleneck(blocked).item() == 0
        True
    """
    return h.mean(dim=-2).amin(dim=-1)


def pooled(h: Tensor) -> Tensor:
    """Mean, maximum and bottleneck of features with shape `(N, C, H, W)`, with shape
    `(N, 3 C)`."""
    return torch.cat([h.mean(dim=(-2, -1)), h.amax(dim=(-2, -1)), bottleneck(h)], dim=-1)


def _convolution(inputs: int, outputs: int, size: int, wraps: bool) -> nn.Conv2d:
    mode = "circular" if wraps else "replicate"
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, padding_mode=mode)
