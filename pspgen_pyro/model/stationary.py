r"""The periodic convolutional image: a latent field, its decoder, its encoder and its prior.

A process without an origin makes microstructures whose law does not change when they are shifted
around the torus. Here w, the part of :math:`z_0` that is not the property code, is a stack of
small periodic fields of one value a tile of 4 × 4 pixels. Encoder and decoder are periodic
convolutions, so they commute with shifts by a tile, and the one Gaussian law of w that respects
shifts is diagonal in Fourier space,

.. math:: w = \mu(\varphi) + \mathcal{F}^{-1}\left[\sqrt{S(k; \varphi)}\,
    \mathcal{F}[\epsilon]\right], \qquad \epsilon \sim \mathcal{N}(0, I),

with a learned spectral density S. It is the latent image of what the process itself does: filter
white noise, and apply a local nonlinear map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from pyro.distributions import Bernoulli, Independent, Normal  # pyright: ignore
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from ..errors import InputError
from .base import Dimensions, Part
from .blocks import Conditional
from .convolution import CodedEncoder, DirectionalCode
from .nn import ResidualMLP

__all__ = ["ConvolutionalEncoder", "ConvolutionalImage", "StationaryPrior"]

_TILE = 4


def _planes(latent: int, image: tuple[int, int], name: str) -> int:
    """How many latent fields so many entries make."""
    sites = image[0] // _TILE * (image[1] // _TILE)
    if image[0] % _TILE or image[1] % _TILE or not latent or latent % sites:
        raise InputError(
            f"'{name}' makes w a stack of fields of one value a {_TILE} × {_TILE} tile, but w has "
            f"{latent} entries and the image {image[0]}×{image[1]} pixels; choose sides that "
            f"{_TILE} divides, and 'latent' so that w has a multiple of {sites} entries."
        )
    return latent // sites


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        inputs, outputs, size, stride=stride, padding=size // 2, padding_mode="circular"
    )


@dataclass(frozen=True)
class ConvolutionalImage(Part):
    r"""Independent Bernoulli pixels whose logits are a periodic convolutional network of w, told
    the code u and :math:`z_1` at every layer.

    Arguments:
        code: The entries of u a property.
        channels: The channels on the coarsest grid; half as many on the finer one.
    """

    code: int = 1
    channels: int = 32

    def build(self, dims: Dimensions) -> nn.Module:
        if dims.phases != 2:
            raise InputError(
                f"'image_decoder' is a ConvolutionalImage, made for two phases; here are "
                f"{dims.phases}, so take a CategoricalImage."
            )
        return _ConvolutionalImage(dims, self)


class _ConvolutionalImage(nn.Module):
    def __init__(self, dims: Dimensions, part: ConvolutionalImage) -> None:
        super().__init__()
        c, self.code = part.channels, part.code * dims.properties
        self.grid = (
            _planes(dims.latent - self.code, dims.image, "image_decoder"),
            dims.image[0] // _TILE,
            dims.image[1] // _TILE,
        )
        told = self.code + dims.process_latent
        self.told = ResidualMLP(told, 2 * (c + c // 2), (64,), "silu")
        self.first = _conv(self.grid[0], c)
        self.second = _conv(c, 4 * (c // 2))
        self.third = _conv(c // 2, c // 2)
        self.last = _conv(c // 2, 4)

    def forward(self, z0: Tensor, z1: Tensor) -> Independent:
        batch = z0.shape[:-1]
        z0, z1 = z0.reshape(-1, z0.shape[-1]), z1.reshape(-1, z1.shape[-1])
        u, w = z0[:, : self.code], z0[:, self.code :].unflatten(-1, self.grid)
        coarse, fine = self.told(torch.cat([u, z1], -1))[..., None, None].split(
            [2 * self.first.out_channels, 2 * self.third.in_channels], dim=1
        )
        h = _told(self.first(w), coarse)
        h = torch.pixel_shuffle(self.second(h), 2)
        h = _told(h, fine)
        h = h + silu(self.third(h))
        logits = torch.pixel_shuffle(self.last(h), 2).squeeze(1)
        logits = logits.reshape(*batch, *logits.shape[-2:])
        return Bernoulli(logits=logits, validate_args=False).to_event(2)


def _told(h: Tensor, told: Tensor) -> Tensor:
    scale, shift = told.chunk(2, dim=1)
    return silu(h * (1 + scale) + shift)


@dataclass(frozen=True)
class ConvolutionalEncoder(Part):
    r"""The guide :math:`q(u \mid x)\, q(w \mid x, \varphi)` by periodic convolutions throughout.

    Arguments:
        code: The entries of u a property.
        code_channels: The channels of the code's convolution.
        head: The hidden width between the pooled fields and the code.
        channels: The channels of w's network on the coarsest grid.
        percolation: Whether the code also sees if x percolates.
        reading: As for `ConnectivityEncoder`.
    """

    code: int = 1
    code_channels: int = 24
    head: int = 64
    channels: int = 32
    percolation: bool = False
    reading: Part | None = None

    def build(self, dims: Dimensions) -> nn.Module:
        return _ConvolutionalEncoder(dims, self)


class _ConvolutionalEncoder(CodedEncoder):
    def __init__(self, dims: Dimensions, part: ConvolutionalEncoder) -> None:
        if dims.phases != 2 or dims.properties != 2 or dims.image[0] != dims.image[1]:
            raise InputError(
                "'encoder' is a ConvolutionalEncoder, made for two phases and two properties "
                "along the directions of a square image; take a ThreeBranchEncoder."
            )
        code = DirectionalCode(1, part.code, part.code_channels, 0, part.head, part.percolation)
        super().__init__(dims, code, part.code, part.percolation, part.reading)
        planes = _planes(dims.latent - self.code_size, dims.image, "encoder")
        c = part.channels
        self.first = _conv(1, c // 2, 5, 2)
        self.second = _conv(c // 2, c, 3, 2)
        self.of_phi = ResidualMLP(dims.process, 2 * c, (64,), "silu")
        self.third = _conv(c, c)
        self.last = _conv(c, 2 * planes)

    def forward(
        self, x: Tensor, m: Tensor, phi: Tensor, code: Independent | None = None
    ) -> Independent:
        code = self.code_given(x, m) if code is None else code
        h = silu(self.second(silu(self.first(self.planes(x)))))
        h = h + _told(self.third(h), self.of_phi(phi)[..., None, None])
        loc, scale = self.last(h).chunk(2, dim=1)
        return Normal(
            torch.cat([code.mean, loc.flatten(1)], dim=-1),
            torch.cat([code.stddev, 1e-3 + softplus(scale.flatten(1) - 1)], dim=-1),
            validate_args=False,
        ).to_event(1)


@dataclass(frozen=True)
class StationaryPrior(Part):
    r"""A stack of independent stationary Gaussian fields with spectra that depend on
    :math:`\varphi`.

    Arguments:
        hidden: The widths of the hidden layers of the network from φ to the spectra.
    """

    hidden: tuple[int, ...] = (64, 64)

    def build(self, dims: Dimensions) -> nn.Module:
        return _StationaryPrior(dims, self)


class _StationaryPrior(Conditional):
    closed_form = True

    def __init__(self, dims: Dimensions, part: StationaryPrior) -> None:
        super().__init__(dims, dims.latent, None)
        h, w = dims.image[0] // _TILE, dims.image[1] // _TILE
        self.grid = (_planes(dims.latent, dims.image, "prior"), h, w)
        sites = torch.arange(h * w).reshape(h, w)
        opposite = sites.roll((-1, -1), (0, 1)).flip(0, 1)
        # k and −k share one density, so that the field is real
        pairs, index = torch.minimum(sites, opposite).unique(return_inverse=True)
        self.register_buffer("_index", index.flatten(), persistent=False)
        self.pairs = len(pairs)
        self.network = ResidualMLP(
            dims.process, self.grid[0] * (self.pairs + 1), part.hidden, "silu"
        )
        with torch.no_grad():
            self.network[-1].weight.mul_(0.1)  # type: ignore[union-attr]
            self.network[-1].bias.zero_()  # type: ignore[union-attr]

    _index: Tensor

    def _moments(self, phi: Tensor) -> tuple[Tensor, Tensor]:
        """The mean of each field, with shape `(*, planes, 1, 1)`, and the logarithm of the
        spectral density, with shape `(*, planes, h, w)`."""
        out = self.network(phi).unflatten(-1, (self.grid[0], self.pairs + 1))
        density = out[..., 1:][..., self._index].unflatten(-1, self.grid[1:])
        return out[..., :1].unsqueeze(-1), density.clamp(-12, 12)

    def law(self, phi: Tensor) -> StationaryField:
        return StationaryField(*self._moments(phi))

    def carry(self, noise: Tensor, phi: Tensor) -> Tensor:
        mean, log_density = self._moments(phi)
        waves = torch.fft.fft2(noise.unflatten(-1, self.grid)) * (0.5 * log_density).exp()
        return (mean + torch.fft.ifft2(waves).real).flatten(-3)


class StationaryField:
    """The density of a stack of stationary Gaussian fields, flattened.

    Arguments:
        mean: With shape `(*, planes, 1, 1)`.
        log_density: The logarithm of the spectral density, with shape `(*, planes, h, w)`.
    """

    def __init__(self, mean: Tensor, log_density: Tensor) -> None:
        self.mean, self.log_density = mean, log_density

    def _quadratic(self, value: Tensor, variance: Tensor | float) -> Tensor:
        field = value.unflatten(-1, self.log_density.shape[-3:]) - self.mean
        power = torch.fft.fft2(field, norm="ortho").abs().square() + variance
        return power * torch.exp(-self.log_density) + self.log_density

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density of flattened fields."""
        terms = self._quadratic(value, 0.0) + math.log(2 * math.pi)
        return -0.5 * terms.sum((-3, -2, -1))

    def divergence(self, loc: Tensor, scale: Tensor) -> Tensor:
        """The divergence KL(q ‖ self) of a diagonal Gaussian q, in closed form."""
        variance = scale.square().unflatten(-1, self.log_density.shape[-3:])
        noise = variance.mean((-2, -1), keepdim=True)
        terms = self._quadratic(loc, noise) - variance.log() - 1
        return 0.5 * terms.sum((-3, -2, -1))
