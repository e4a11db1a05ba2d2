"""What every part has in common: hyper-parameters that survive JSON, and what its module answers.

A part is a frozen dataclass of hyper-parameters; `build` makes its torch module once the sizes are
known. The modules of priors and decoders subclass one of the abstract classes
here, which say what the rest of the package may ask them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..io.kinds import Kind
from ..schema import Schema

if TYPE_CHECKING:
    from .distributions import NormalMixture
    from .trend import Trend

__all__ = ["Dimensions", "ImageDecoder", "Part", "Prior", "PropertyDecoder"]


@dataclass(frozen=True)
class Dimensions:
    r"""The sizes that all parts of one model share.

    Arguments:
        schema: What a triad is.
        latent: The size :math:`D_0` of :math:`z_0`.
        process_latent: The size :math:`D_1` of :math:`z_1`.
    """

    schema: Schema
    latent: int
    process_latent: int

    @property
    def process(self) -> int:
        """The number P of process parameters."""
        return len(self.schema.process)

    @property
    def inputs(self) -> int:
        """The number Q of what the networks see of them."""
        return len(self.schema.process.features.source)

    @property
    def properties(self) -> int:
        """The number K of properties."""
        return len(self.schema.properties)

    @property
    def image(self) -> tuple[int, ...] | None:
        """The pixels (H, W), or (D, H, W), of a microstructure; None if there is none."""
        images = self.schema.microstructure
        return None if images is None else images.shape

    @property
    def pixels(self) -> int:
        """The number of pixels; 0 without images."""
        images = self.schema.microstructure
        return 0 if images is None else images.pixels

    @property
    def planes(self) -> int:
        """How many numbers a network sees of each pixel."""
        images = self.schema.microstructure
        return 0 if images is None else images.planes


class Part(Kind, ABC, family="part"):
    """A part of the model or the guide: hyper-parameters now, a torch module once the sizes are
    known."""

    @abstractmethod
    def build(self, dims: Dimensions) -> nn.Module:
        """A fresh module with random weights from torch's generator."""


class Prior(nn.Module, ABC):
    r"""The law :math:`p(z_0 \mid \varphi)`.

    Arguments:
        entries: How many entries of z0, counted from the first, have a law that is learned; the
            others are standard normal.
        members: How many laws are fitted apart; 0 if nothing is learned.

    `trend` is what these laws lie about, if they have such.
    """

    def __init__(self, entries: int, members: int = 0) -> None:
        super().__init__()
        self.entries, self.members = entries, members
        self.trend: Trend | None = None

    @abstractmethod
    def forward(self, phi: Tensor) -> Any:
        """The distribution of z0 for standardised settings with shape `(*, P)`."""

    @abstractmethod
    def laws(
        self, phi: Tensor, drop: float = 0.0, trend: Tensor | None = None
    ) -> NormalMixture | None:
        """The laws of the first entries that are fitted apart, with batch shape `(members, *)`,
        whose even mixture is the prior's; None if nothing is learned. Training leaves out a share
        `drop` of each hidden layer at random, and gives the `trend` without what it learns from,
        with shape `(members, *, entries)`."""

    @abstractmethod
    def law(self, phi: Tensor) -> NormalMixture | None:
        """The law of the first entries; None if nothing is learned."""

    @abstractmethod
    def carry(self, noise: Tensor, phi: Tensor) -> Tensor:
        """Maps standard normal `noise` with shape `(*, entries)` to draws of the first entries."""

    @property
    def biases(self) -> list[nn.Parameter]:
        """What shifts and widens the law alike at every φ."""
        return []

    def start_at(self, u: Tensor, spread: Tensor) -> None:  # noqa: B027
        """Starts the components of a mixture at some of these values of the first entries, less
        the trend, with shape `(N, entries)`, NaN where one is unknown; all as wide as `spread`,
        with shape `(entries,)`."""

    def transport(self, noise: Tensor, phi: Tensor) -> Tensor:
        """Maps standard normal `noise` with shape `(*, D0)` to draws of z0 given φ, smoothly."""
        if not self.entries:
            return noise
        first = self.carry(noise[..., : self.entries], phi)
        return torch.cat([first, noise[..., self.entries :]], dim=-1)

    def tied(self, entries: int) -> int:
        """How many first entries must be drawn together to know that many of them."""
        return max(entries, self.entries)


class ImageDecoder(nn.Module, ABC):
    """The law p(x | z0, z1) of microstructures."""

    @abstractmethod
    def forward(self, z0: Tensor, z1: Tensor) -> Any:
        """The distribution of x for z0 with shape `(*, D0)` and z1 with shape `(*, D1)`."""

    @abstractmethod
    def likeliest(self, z0: Tensor, z1: Tensor) -> Tensor:
        """The most likely microstructures, with shape `(*, H, W)`: labels, or grey values."""


class PropertyDecoder(nn.Module, ABC):
    """The law p(m | z0, z1) of standardised properties.

    Arguments:
        reads: How many entries of z0, counted from the first, it sees.

    `noise` is the standard deviation of m about the first entries of z0, if it is those; else 0.
    """

    noise: float = 0.0

    def __init__(self, reads: int) -> None:
        super().__init__()
        self.reads = reads

    @abstractmethod
    def forward(self, z0: Tensor, z1: Tensor) -> NormalMixture:
        """The law of m for z0 with shape `(*, D0)` and z1 with shape `(*, D1)`."""

    def marginal(self, law: NormalMixture) -> NormalMixture | None:
        """The law of m if the entries it reads have this one; None if it has no closed form."""
        return None

    def given_m(self, m: Tensor, loc: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and standard deviation of the entries it reads given m, where loc and scale are
        those of a Gaussian m before; of a decoder whose `marginal` has a closed form."""
        raise TypeError(f"{type(self).__name__} has no law of z0 given m in closed form.")
