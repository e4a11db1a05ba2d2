r"""The reader :math:`q(u \mid x)`: what an image says about its properties.

Flow along a direction is as good as its worst cross-section, which an average over the image
washes out. So the fields :math:`h_{ij}` of a convolution (flow along j) are pooled by their mean,
by their maximum, and by the *bottleneck*,

.. math:: \min_j \frac{1}{H} \sum_i h_{ij}, \qquad \min_j \max_i h_{ij}, \qquad
    \max_i \min_j h_{ij},

which keeps connectivity; of a volume, i runs over all of a layer across the flow. One head a
property turns them into a mixture of Gaussians.

Properties that the schema declares as one quantity along two directions share one network: the
vertical one sees the transposed image, a symmetry of physics that the reader has from the start. A
property of one direction sees the image that way round, one without a direction every way.

A network that has learned few images is too sure of others, and one that has learned noise by
heart is sure of what it cannot see. So images that it has not learned from judge it
(`Reader.judge`): they find the factor by which its standard deviations are too small, and where
they are less likely even so than without any image, the property's law is the one that it has
without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, pad, silu, softplus

from ..errors import InputError
from ..schema import Microstructure
from ..schema.properties import DIRECTIONS
from .base import Dimensions, Part
from .distributions import EntrywiseMixture

__all__ = ["BottleneckReader", "Reader", "seen_pixels"]


@dataclass(frozen=True)
class BottleneckReader(Part):
    """The sizes of a reader.

    Arguments:
        channels: The channels of the first convolution, 5 × 5 of stride 2.
        layers: Residual 3 × 3 convolutions after it.
        head: The hidden width between the pooled fields and the mixture.
        components: The Gaussians a property.
        floor: The smallest standard deviation, in units of the standardised property.
    """

    channels: int = 12
    layers: int = 1
    head: int = 64
    components: int = 4
    floor: float = 0.02

    def build(self, dims: Dimensions) -> Reader:
        images = dims.schema.microstructure
        if images is None:
            raise InputError("a reader reads images, but the schema has no microstructure.")
        return Reader(dims, images, self)


class Reader(nn.Module):
    """One network a quantity, one head a property.

    Arguments:
        dims: The sizes of the model.
        images: What the images are.
        sizes: The sizes of the networks.
    """

    spread: Tensor
    blind: Tensor
    marginal_loc: Tensor
    marginal_scale: Tensor

    def __init__(self, dims: Dimensions, images: Microstructure, sizes: BottleneckReader) -> None:
        super().__init__()
        self.images, self.floor = images, sizes.floor
        self.components = sizes.components
        self.properties = dims.schema.properties
        count = len(self.properties)
        self.register_buffer("spread", torch.ones(count, 1))
        self.register_buffer("blind", torch.zeros(count, 1, dtype=torch.bool))
        self.register_buffer("marginal_loc", torch.zeros(count, self.components))
        self.register_buffer("marginal_scale", torch.ones(count, self.components))
        self.groups = dims.schema.groups
        self.networks = nn.ModuleList(
            _Directional(images, sizes, both=self._both(members)) for members in self.groups
        )

    def _both(self, members: tuple[int, ...]) -> bool:
        return self.properties[members[0]].direction is None

    def forward(self, x: Tensor) -> EntrywiseMixture:
        """The law of the standardised properties given x with shape `(N, H, W)`; its batch shape
        is `(N,)`."""
        planes = seen_planes(x, self.images, next(self.parameters()))
        found: list[Tensor] = [planes] * len(self.properties)
        for members, network in zip(self.groups, self.networks, strict=True):
            views = [_along(planes, self.properties[j].direction) for j in members]
            # of a square image all directions are one batch
            stacked = len({view.shape for view in views}) == 1
            out = network(torch.cat(views)).chunk(len(views)) if stacked else map(network, views)
            for j, mixture in zip(members, out, strict=True):
                found[j] = mixture
        weights, loc, scale = torch.stack(found, dim=1).chunk(3, dim=-1)
        return EntrywiseMixture(
            torch.where(self.blind, 0.0, weights),
            torch.where(self.blind, self.marginal_loc, loc),
            torch.where(
                self.blind, self.marginal_scale, self.spread * (self.floor + softplus(scale))
            ),
        )

    def taken_at_its_word(self, x: Tensor) -> EntrywiseMixture:
        """The same law without the factor that held-out images found."""
        law = self(x)
        return EntrywiseMixture(law.log_weights, law.loc, law.scale / self.spread)

    def forget(self) -> None:
        """Takes the networks at their word, as they are trained."""
        self.blind.fill_(False)
        self.spread.fill_(1.0)

    @torch.no_grad()
    def judge(self, m: Tensor, held_x: Tensor, held_m: Tensor, ends: Tensor) -> None:
        """Learns the spread under which held-out rows are the likeliest, the law without an image,
        and whether they are less likely with theirs.

        Arguments:
            m: Standardised properties of the training rows, with shape `(N, K)`; NaN if unknown.
            held_x: Held-out images, with shape `(M, H, W)`.
            held_m: Their standardised properties, with shape `(M, K)`.
            ends: The standardised detection limits, with shape `(2, K)`.
        """
        self.forget()
        weights, loc, scale = self.law_of(held_x).parts
        tried = torch.stack(
            [
                EntrywiseMixture(weights, loc, factor * scale).entries(held_m, ends)
                for factor in _SPREADS
            ]
        )
        seen = torch.empty_like(held_m)
        for members in map(list, self.groups):
            best = int(tried[..., members].sum(dim=(1, 2)).argmax())
            self.spread[members], seen[:, members] = _SPREADS[best], tried[best][:, members]
        places = (torch.arange(self.components).to(m) + 0.5) / self.components
        for members in map(list, self.groups):
            known = m[:, members]
            loc = known[known.isfinite()].quantile(places)
            self.marginal_loc[members] = loc
            self.marginal_scale[members] = self.floor + loc.std(correction=0) / 2
        unseen = EntrywiseMixture(
            torch.zeros_like(self.marginal_loc), self.marginal_loc, self.marginal_scale
        )
        self.blind[:] = self.favoured(unseen.entries(held_m, ends) - seen).unsqueeze(-1)

    def favoured(self, odds: Tensor) -> Tensor:
        """Of which properties, with shape `(K,)`, rows speak for one law and against another.

        No row counts for more than 5 nats. Properties of one quantity are judged together.

        Arguments:
            odds: The difference of the log-densities under the two, with shape `(N, K)`.
        """
        odds, found = odds.clamp(-_MOST, _MOST), torch.zeros(odds.shape[-1], dtype=torch.bool)
        for members in map(list, self.groups):
            found[members] = bool(odds[:, members].sum() > 0)
        return found.to(odds.device)

    def law_of(self, x: Tensor) -> EntrywiseMixture:
        """The law of many images, without a gradient."""
        with torch.no_grad():
            parts = [self(images).parts for images in x.split(_ROWS)]
        return EntrywiseMixture(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def log_prob(self, x: Tensor, m: Tensor, ends: Tensor) -> Tensor:
        r"""The value of :math:`\log q(m \mid x)`, with shape `(N, K)`, for standardised m; 0 where
        m is NaN. Arguments as of `Encoder.forward`."""
        return self(x).entries(m, ends)


class _Directional(nn.Module):
    """Fields of convolutions, pooled for a flow along the columns' axis, and the head.

    Arguments:
        images: What the images are.
        sizes: The sizes of the network.
        both: Whether it sees the image along every direction.
    """

    def __init__(self, images: Microstructure, sizes: BottleneckReader, both: bool) -> None:
        super().__init__()
        c, self.wraps = sizes.channels, images.periodic
        convolution = nn.Conv3d if images.dimensions == 3 else nn.Conv2d
        self.ways = images.directions if both else images.directions[:1]
        self.first = convolution(images.planes, c, 5, stride=2)
        self.layers = nn.ModuleList(convolution(c, c, 3) for _ in range(sizes.layers))
        self.head = nn.Sequential(
            nn.Linear(_POOLED * c * len(self.ways), sizes.head),
            nn.SiLU(),
            nn.Linear(sizes.head, 3 * sizes.components),
        )
        with torch.no_grad():
            # components start apart, else they stay equal
            _, loc, scale = self.head[-1].bias.chunk(3)  # type: ignore[union-attr, operator]
            loc.normal_()
            scale.fill_(-0.5)

    def forward(self, planes: Tensor) -> Tensor:
        h = silu(self.first(self._padded(planes, 2)))
        for layer in self.layers:
            h = h + silu(layer(self._padded(h, 1)))
        return self.head(torch.cat([pooled(_along(h, way)) for way in self.ways], dim=-1))

    def _padded(self, h: Tensor, by: int) -> Tensor:
        return (
            _Wrapped.apply(h, by) if self.wraps else pad(h, [by, by] * (h.ndim - 2), "replicate")
        )


class _Wrapped(torch.autograd.Function):
    """Fields continued periodically by a few pixels, in half the time of torch's own gradient."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, by: int) -> Tensor:
        ctx.by = by
        return pad(h, [by, by] * (h.ndim - 2), "circular")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        by = ctx.by
        for axis in range(2, gradient.ndim):
            n = gradient.shape[axis] - 2 * by
            inner = gradient.narrow(axis, by, n).clone()
            inner.narrow(axis, n - by, by).add_(gradient.narrow(axis, 0, by))
            inner.narrow(axis, 0, by).add_(gradient.narrow(axis, n + by, by))
            gradient = inner
        return gradient, None


def pooled(h: Tensor) -> Tensor:
    """The five pools of fields with shape `(N, C, H, W)` or `(N, C, D, H, W)`, with shape
    `(N, 5 C)`."""
    h = h.flatten(2, -2)
    # the gradient of max follows one index, that of amax visits every pixel
    across, best, worst = h.mean(-2), h.max(-2).values, h.min(-1).values
    return torch.cat(
        [
            across.mean(-1),
            best.max(-1).values,
            across.min(-1).values,
            best.min(-1).values,
            worst.max(-1).values,
        ],
        dim=-1,
    )


def _along(planes: Tensor, direction: str | None) -> Tensor:
    """The fields turned so that this direction is their last axis."""
    return planes if direction is None else planes.transpose(-1, -1 - DIRECTIONS.index(direction))


def seen_planes(x: Tensor, images: Microstructure, like: Tensor) -> Tensor:
    """The image as networks see it, with shape `(N, C, *shape)`: two phases as ±1, grey values on
    the same range, more phases as one indicator each."""
    if images.planes == 1:
        return (2 * x.to(like.dtype) - 1).unsqueeze(-1 - images.dimensions)
    return one_hot(x.long(), images.planes).movedim(-1, -1 - images.dimensions).to(like.dtype)


def seen_pixels(x: Tensor, images: Microstructure, like: Tensor) -> Tensor:
    """The same, flattened, with shape `(N, C · pixels)`."""
    return seen_planes(x, images, like).flatten(-1 - images.dimensions)


_POOLED, _ROWS, _MOST = 5, 500, 5.0
_SPREADS = [2 ** (i / 4) for i in range(17)]
"""The factors, from 1 to 16, by which standard deviations may be too small."""
