r"""A periodic convolutional encoder whose pooling keeps connectivity.

The latent is cut in two, :math:`z_0 = (u, w)`. The *property code* u, a few numbers a property,
carries what x says about m; w carries the rest of the image:

.. math:: q(z_0 \mid x, \varphi) = q(u \mid x)\, q(w \mid x, \varphi).

Flow along a direction is as good as its worst cross-section, which an average over the image
washes out. So the convolutions' fields :math:`h_{ij}` (flow along j) are pooled by their mean, by
their maximum, and by the *bottleneck*,

.. math:: \min_j \frac{1}{H} \sum_i h_{ij}, \qquad \min_j \max_i h_{ij}, \qquad
    \max_i \min_j h_{ij}.

The vertical code comes from the same weights and the transposed image: a symmetry of physics that
the encoder has from the start. It never sees m, so a bare pair (φ, x) is encoded like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from pyro.distributions import Independent, Normal
from torch import Tensor, nn
from torch.nn.functional import one_hot, silu, softplus

from ..errors import InputError
from ..nn import ResidualMLP
from ..properties import percolation
from .base import Dimensions, Part

__all__ = ["ConnectivityEncoder", "DirectionalCode", "code_law"]

_POOLED = 5


@dataclass(frozen=True)
class ConnectivityEncoder(Part):
    r"""A convolutional :math:`q(u \mid x)` beside a fully connected :math:`q(w \mid x, \varphi)`.

    Arguments:
        code: The entries of u a property; u is the first `code` × K entries of z0.
        channels: The channels of the convolutions.
        layers: Residual 3 × 3 convolutions after the first, 5 × 5 one of stride 2.
        head: The hidden width between the pooled fields and the code.
        percolation: Whether the head also sees if x (phase 1) percolates along its direction.
        image: The hidden widths of w's branch of x.
        vector: The hidden widths of w's branch of φ.
        joint: The hidden widths of the network that joins the two.
    """

    code: int = 1
    channels: int = 24
    layers: int = 0
    head: int = 64
    percolation: bool = False
    image: tuple[int, ...] = (128, 512)
    vector: tuple[int, ...] = (64,)
    joint: tuple[int, ...] = (64,)

    def build(self, dims: Dimensions) -> nn.Module:
        if dims.properties != 2 or dims.image[0] != dims.image[1]:
            raise InputError(
                "'encoder' is a ConnectivityEncoder, made for two properties along the two "
                f"directions of a square image; here are {dims.properties} and "
                f"{dims.image[0]}×{dims.image[1]} pixels, so take a ThreeBranchEncoder."
            )
        if not 0 < self.code * dims.properties < dims.latent:
            raise InputError(
                f"'code' is {self.code} but z0 has {dims.latent} entries for {dims.properties} "
                "properties; choose a positive number that leaves entries for the image."
            )
        return _ConnectivityEncoder(dims, self)


class DirectionalCode(nn.Module):
    """Fields of convolutions, pooled for a flow along the columns' axis, and the head."""

    def __init__(
        self, planes: int, code: int, channels: int, layers: int, head: int, percolation: bool
    ) -> None:
        super().__init__()
        c = channels
        self.first = nn.Conv2d(planes, c, 5, stride=2, padding=2, padding_mode="circular")
        self.layers = nn.ModuleList(
            nn.Conv2d(c, c, 3, padding=1, padding_mode="circular") for _ in range(layers)
        )
        self.head = nn.Sequential(
            nn.Linear(_POOLED * c + percolation, head),
            nn.SiLU(),
            nn.Linear(head, 2 * code),
        )

    def forward(self, planes: Tensor, flags: Tensor | None) -> Tensor:
        h = silu(self.first(planes))
        for layer in self.layers:
            h = h + silu(layer(h))
        # the gradient of max follows one index, that of amax visits every pixel
        across, best, worst = h.mean(-2), h.max(-2).values, h.min(-1).values
        pooled = [across.mean(-1), best.max(-1).values, across.min(-1).values]
        pooled += [best.min(-1).values, worst.max(-1).values]
        if flags is not None:
            pooled.append(flags.unsqueeze(-1))
        return self.head(torch.cat(pooled, dim=-1))


def code_law(network: DirectionalCode, planes: Tensor, x: Tensor, flags: bool) -> Independent:
    """The distribution q(u | x), from the image and its transpose.

    Arguments:
        network: The network of one direction.
        planes: The image as the network sees it, with shape `(N, C, H, W)`.
        x: The image itself, with shape `(N, H, W)`.
        flags: Whether the network wants to know if phase 1 percolates.
    """
    known = None
    if flags:
        found = percolation((x == 1).cpu().numpy().astype(np.uint8))
        known = torch.tensor(found).to(planes).T.flatten()
    both = network(torch.cat([planes, planes.mT]), known)
    loc, scale = both.unflatten(0, (2, len(x))).movedim(0, 1).chunk(2, dim=-1)
    law = Normal(loc.flatten(1), 0.02 + softplus(scale.flatten(1) - 1), validate_args=False)
    return law.to_event(1)


class _ConnectivityEncoder(nn.Module):
    reads_m = False

    def __init__(self, dims: Dimensions, part: ConnectivityEncoder) -> None:
        super().__init__()
        self.part, self.phases = part, dims.phases
        planes = 1 if dims.phases == 2 else dims.phases
        self.code_size = part.code * dims.properties
        rest = dims.latent - self.code_size
        self.code = DirectionalCode(
            planes, part.code, part.channels, part.layers, part.head, part.percolation
        )
        self.of_x = ResidualMLP(dims.pixels * planes, dims.latent, part.image, "elu")
        self.of_phi = ResidualMLP(dims.process, dims.latent, part.vector, "elu")
        self.joint = ResidualMLP(2 * dims.latent, 2 * rest, part.joint, "elu")

    def _planes(self, x: Tensor) -> Tensor:
        if self.phases == 2:
            return (2 * x - 1).unsqueeze(-3)
        like = next(self.parameters())
        return one_hot(x.long(), self.phases).movedim(-1, -3).to(like.dtype)

    def code_given(self, x: Tensor) -> Independent:
        """The distribution q(u | x), with event shape `(K × code)`; property by property."""
        return code_law(self.code, self._planes(x), x, self.part.percolation)

    def forward(
        self, x: Tensor, m: Tensor, phi: Tensor, code: Independent | None = None
    ) -> Independent:
        code = self.code_given(x) if code is None else code
        flat = self._planes(x).flatten(-3)
        branches = torch.cat([self.of_x(flat), self.of_phi(phi)], dim=-1)
        loc, scale = self.joint(branches).chunk(2, dim=-1)
        return Normal(
            torch.cat([code.mean, loc], dim=-1),
            torch.cat([code.stddev, 1e-4 + softplus(scale)], dim=-1),
            validate_args=False,
        ).to_event(1)
