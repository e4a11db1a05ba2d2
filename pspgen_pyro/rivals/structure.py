r"""A periodic convolutional network :math:`p(m \mid x)` that keeps connectivity.

The horizontal property is read from x and the vertical one from :math:`x^\top` with the same
weights, so the network commutes with transposition,

.. math:: p(m_1, m_2 \mid x) = f(m_1 \mid x)\, f(m_2 \mid x^\top).

Convolutions wrap around the cell. Whether a material lets flow through is decided at its narrowest
place, which a mean over the cell cannot see. Each feature :math:`h_{rc}` is therefore pooled in
three ways: its mean, its maximum and its *bottleneck*, the minimum along the flow of the mean
across it,

.. math:: \min_c \frac{1}{H} \sum_r h_{rc}.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..model.distributions import NormalMixture
from ._learning import check_positive

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
        check_positive(self)


class StructureNetwork(nn.Module):
    """Microstructures in, one mixture a direction out.

    Arguments:
        m: The labels known, with shape `(N, 2)`; both directions share one scale.
        sizes: The hyper-parameters.
        flags: Whether the percolation flag of a direction chooses between two heads, one for
            open and one for blocked.
    """

    m_loc: Tensor
    m_scale: Tensor

    def __init__(self, m: Tensor, sizes: StructureSizes, flags: bool) -> None:
        super().__init__()
        first, second = sizes.channels
        self.components, self.floor, self.flags = sizes.components, sizes.floor, flags
        self.register_buffer("m_loc", m.mean())
        self.register_buffer("m_scale", m.std(correction=0).clamp(min=1e-6))
        self.features = nn.Sequential(
            _circular(1, first, 5),
            nn.ReLU(),
            nn.AvgPool2d(2, ceil_mode=True),
            _circular(first, second, 3),
            nn.ReLU(),
            _circular(second, second, 3),
            nn.ReLU(),
        )
        self.head = nn.Sequential(
            nn.Linear(3 * second, sizes.hidden),
            nn.SiLU(),
            nn.Linear(sizes.hidden, (1 + flags) * 3 * sizes.components),
        )
        self.to(m)
        final: nn.Linear = self.head[-1]  # type: ignore[assignment]
        with torch.no_grad():
            # components start apart, else they stay equal
            heads = final.bias.view(1 + flags, 3, sizes.components)
            heads[:, 1].normal_()
            heads[:, 2] = math.log(math.expm1(0.5))

    def forward(self, x: Tensor, percolates: Tensor | None = None) -> NormalMixture:
        """The mixtures with batch shape `(N, 2)` and one property each.

        Arguments:
            x: Microstructures, with shape `(N, H, W)`.
            percolates: The flags of (horizontal, vertical), with shape `(N, 2)`; needed by a
                network built with `flags`.
        """
        directions = [
            pooled(self.features(image.unsqueeze(1))) for image in (x, x.transpose(-1, -2))
        ]
        heads = self.head(torch.stack(directions, dim=1)).chunk(1 + self.flags, dim=-1)
        out = heads[0]
        if percolates is not None and self.flags:
            out = torch.where(percolates.unsqueeze(-1) > 0, heads[1], out)
        logits, loc, scale = out.unsqueeze(-1).chunk(3, dim=-2)
        return NormalMixture(
            logits.squeeze(-1),
            self.m_loc + self.m_scale * loc,
            self.m_scale * (self.floor + softplus(scale)),
        )


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


def _circular(inputs: int, outputs: int, size: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, padding_mode="circular")
