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
the encoder has from the start.

Beside a decoder that reads the code, u is the code. Beside `PropertyItself` u is m: of a triad it
is known, and of a bare pair (φ, x) it is read off the code c, which then is the guide's own,

.. math:: q(u \mid x) = \int p(m = u \mid c)\, q(c \mid x)\, dc.

Its draws are exact; where a Gaussian is needed, it has this law's moments.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pyro.distributions import Independent, Normal
from torch import Tensor, nn
from torch.nn.functional import one_hot, silu, softplus

from ..errors import InputError
from ..properties import percolation
from .base import Dimensions, Part
from .distributions import NormalMixture
from .nn import ResidualMLP

__all__ = ["CodedEncoder", "ConnectivityEncoder", "DirectionalCode"]

_POOLED, _POINTS = 5, 32


@dataclass(frozen=True)
class ConnectivityEncoder(Part):
    r"""A convolutional :math:`q(u \mid x)` beside a fully connected :math:`q(w \mid x, \varphi)`.

    Arguments:
        code: The entries of the code a property. The code is the first `code` × K entries of z0,
            unless it is read.
        channels: The channels of the convolutions.
        layers: Residual 3 × 3 convolutions after the first, 5 × 5 one of stride 2.
        head: The hidden width between the pooled fields and the code.
        percolation: Whether the head also sees if x (phase 1) percolates along its direction.
        image: The hidden widths of w's branch of x.
        vector: The hidden widths of w's branch of φ.
        joint: The hidden widths of the network that joins the two.
        reading: How the properties are read off the code, such as `CodedProperty()`, if the first
            K entries of z0 are the properties themselves.
    """

    code: int = 1
    channels: int = 24
    layers: int = 0
    head: int = 64
    percolation: bool = False
    image: tuple[int, ...] = (128, 512)
    vector: tuple[int, ...] = (64,)
    joint: tuple[int, ...] = (64,)
    reading: Part | None = None

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


class CodedEncoder(nn.Module):
    """An encoder whose first entries are a property code, or the properties read off it.

    Arguments:
        dims: The sizes.
        code: The network of one direction.
        size: The entries of the code a property.
        flags: Whether the network wants to know if phase 1 percolates.
        reading: How the properties are read off the code; None if the decoder does.
    """

    reads_m = False
    _points: Tensor

    def __init__(
        self, dims: Dimensions, code: DirectionalCode, size: int, flags: bool, reading: Part | None
    ) -> None:
        super().__init__()
        self.code, self.flags = code, flags
        self.hidden_size = size * dims.properties
        self.reading = None
        self.code_size = self.hidden_size
        if reading is not None:
            inner = dataclasses.replace(dims, latent=self.hidden_size)
            self.reading, self.code_size = reading.build(inner), dims.properties
            sobol = torch.quasirandom.SobolEngine(self.hidden_size, scramble=True, seed=0)
            points = torch.special.ndtri(sobol.draw(_POINTS, dtype=torch.float64))
            self.register_buffer("_points", points.to(torch.get_default_dtype()), persistent=False)

    def planes(self, x: Tensor) -> Tensor:
        """The image as the networks see it, with shape `(N, C, H, W)`."""
        return (2 * x - 1).unsqueeze(-3)

    def hidden_given(self, x: Tensor) -> Independent:
        """The distribution of the code given x, from the image and its transpose, with event shape
        `(K × code)`; property by property."""
        known, planes = None, self.planes(x)
        if self.flags:
            found = percolation((x == 1).cpu().numpy().astype(np.uint8))
            known = torch.tensor(found).to(planes).T.flatten()
        both = self.code(torch.cat([planes, planes.mT]), known)
        loc, scale = both.unflatten(0, (2, len(x))).movedim(0, 1).chunk(2, dim=-1)
        law = Normal(loc.flatten(1), 0.02 + softplus(scale.flatten(1) - 1), validate_args=False)
        return law.to_event(1)

    def read(self, hidden: Tensor) -> Tensor:
        """A draw of u given the code."""
        return hidden if self.reading is None else self._read(hidden).draw()

    def agreement(self, x: Tensor, u: Tensor) -> Tensor:
        """The log-density, with shape `(N,)`, of the properties u at the mean code of x."""
        return self._read(self.hidden_given(x).mean).log_prob(u)

    def _read(self, hidden: Tensor) -> NormalMixture:
        reading: Any = self.reading
        return reading(hidden, hidden)

    def code_given(self, x: Tensor, m: Tensor | None = None) -> Independent:
        """The distribution q(u | x), or q(u | x, m) in the rows whose standardised m is known if u
        is m; with event shape `(U,)`."""
        hidden = self.hidden_given(x)
        if self.reading is None:
            return hidden
        law = self._read(hidden.mean + hidden.stddev * self._points[:, None])
        loc = law.mean.mean(0)
        scale = (law.variance.mean(0) + law.mean.var(0, correction=0)).sqrt()
        if m is not None:
            known = m.isfinite().all(-1, keepdim=True)
            loc = torch.where(known, m, loc)
            scale = scale.masked_fill(known, self.reading.floor)
        return Normal(loc, scale, validate_args=False).to_event(1)


class _ConnectivityEncoder(CodedEncoder):
    def __init__(self, dims: Dimensions, part: ConnectivityEncoder) -> None:
        planes = 1 if dims.phases == 2 else dims.phases
        code = DirectionalCode(
            planes, part.code, part.channels, part.layers, part.head, part.percolation
        )
        super().__init__(dims, code, part.code, part.percolation, part.reading)
        self.phases, rest = dims.phases, dims.latent - self.code_size
        self.of_x = ResidualMLP(dims.pixels * planes, dims.latent, part.image, "elu")
        self.of_phi = ResidualMLP(dims.process, dims.latent, part.vector, "elu")
        self.joint = ResidualMLP(2 * dims.latent, 2 * rest, part.joint, "elu")

    def planes(self, x: Tensor) -> Tensor:
        if self.phases == 2:
            return super().planes(x)
        like = next(self.parameters())
        return one_hot(x.long(), self.phases).movedim(-1, -3).to(like.dtype)

    def forward(
        self, x: Tensor, m: Tensor, phi: Tensor, code: Independent | None = None
    ) -> Independent:
        code = self.code_given(x, m) if code is None else code
        flat = self.planes(x).flatten(-3)
        branches = torch.cat([self.of_x(flat), self.of_phi(phi)], dim=-1)
        loc, scale = self.joint(branches).chunk(2, dim=-1)
        return Normal(
            torch.cat([code.mean, loc], dim=-1),
            torch.cat([code.stddev, 1e-4 + softplus(scale)], dim=-1),
            validate_args=False,
        ).to_event(1)
