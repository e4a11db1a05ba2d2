r"""Encoders :math:`q(z_0 \mid x, m, \varphi)` (Eq. 11, 16, 18), amortised over the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions import Independent, Normal
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..errors import InputError
from ..schema import Microstructure
from .base import Dimensions, Part
from .distributions import Blocks, EntrywiseMixture
from .nn import ResidualMLP
from .reader import BottleneckReader, Reader, seen_pixels

__all__ = ["Encoder", "ReadingEncoder", "ThreeBranchEncoder", "known_properties"]


class Encoder(nn.Module, ABC):
    """The guide's law q(z0 | x, m, φ).

    Arguments:
        reader: The network q(u | x) of the properties; None if the encoder has none.

    `noise` is that of the property decoder it belongs to, if z0 begins with the properties; else
    0.
    """

    reader: Reader | None
    noise: float = 0.0

    def __init__(self, reader: Reader | None) -> None:
        super().__init__()
        self.reader = reader

    @abstractmethod
    def forward(
        self, x: Tensor | None, m: Tensor, phi: Tensor, ends: Tensor, u: Any = None
    ) -> Any:
        """The distribution of z0.

        Arguments:
            x: Images, with shape `(N, H, W)`; None where the data have none.
            m: Standardised properties, with shape `(N, K)`; NaN where they are unknown.
            phi: Standardised settings, with shape `(N, P)`.
            ends: The standardised detection limits, with shape `(2, K)`.
            u: The law of the properties given x and m, if it is known already.
        """


@dataclass(frozen=True)
class ThreeBranchEncoder(Part):
    r"""App. A: one residual network each for x, m and φ (to :math:`D_0` numbers each), and one
    that joins them.

    .. math::
        q(z_0 \mid x, m, \varphi) = \mathcal{N}(\mu, \operatorname{diag} s^2),
        \quad (\mu, s) = E(x, m, \varphi)

    A row with an unknown property goes through networks of its own that see x and φ alone,
    :math:`q_\zeta(z_0 \mid x, \varphi)` (Eq. 18).

    Arguments:
        image: The hidden widths of the branch of x.
        vector: The hidden widths of the branches of m and of φ.
        joint: The hidden widths of the network that joins the three.
    """

    image: tuple[int, ...] = (128, 512)
    vector: tuple[int, ...] = (64,)
    joint: tuple[int, ...] = (64,)

    def build(self, dims: Dimensions) -> Encoder:
        return _ThreeBranchEncoder(dims, _images(self, dims), self)


@dataclass(frozen=True)
class ReadingEncoder(Part):
    r"""The guide of z0 = (u, w) whose first entries are the properties themselves.

    .. math:: q(z_0 \mid x, m, \varphi) = q(u \mid x, m)\, q(w \mid x, \varphi)

    A known property is its own latent up to the decoder's noise, :math:`q(u_j \mid m) =
    \mathcal{N}(m_j, \sigma^2)`; an unknown one is read off x by a `Reader`. Without images z0 = u.

    Arguments:
        noise: The noise :math:`\sigma` of the `PropertyItself` that it belongs to.
        reader: The reader.
        image: The hidden widths of w's branch of x.
        vector: The hidden widths of w's branch of φ.
        joint: The hidden widths of the network that joins the two.
    """

    noise: float = 0.02
    reader: Part = BottleneckReader()  # noqa: RUF009
    image: tuple[int, ...] = (128, 512)
    vector: tuple[int, ...] = (64,)
    joint: tuple[int, ...] = (64,)

    def build(self, dims: Dimensions) -> Encoder:
        if dims.schema.microstructure is None:
            return _TabularEncoder(self.noise)
        if dims.latent <= dims.properties:
            raise InputError(
                f"'latent' is {dims.latent}, but z0 holds {dims.properties} properties and "
                "something of the image; make it larger."
            )
        return _ReadingEncoder(dims, dims.schema.microstructure, self)


class _Branches(nn.Module):
    """Residual networks of x and of other inputs, and one that joins them to a Gaussian.

    Arguments:
        dims: The sizes of the model.
        images: What the images are.
        part: The hidden widths.
        others: The sizes of the other inputs.
        outputs: The entries of the Gaussian.
    """

    def __init__(
        self, dims: Dimensions, images: Microstructure, part: Any, others: list[int], outputs: int
    ) -> None:
        super().__init__()
        self.images, width = images, dims.latent
        self.of_x = ResidualMLP(dims.pixels * dims.planes, width, part.image, "elu")
        self.of_others = nn.ModuleList(
            ResidualMLP(size, width, part.vector, "elu") for size in others
        )
        self.joint = ResidualMLP((1 + len(others)) * width, 2 * outputs, part.joint, "elu")

    def forward(self, x: Tensor, *others: Tensor) -> tuple[Tensor, Tensor]:
        seen = [self.of_x(seen_pixels(x, self.images, others[0]))]
        seen += [net(value) for net, value in zip(self.of_others, others, strict=True)]
        loc, scale = self.joint(torch.cat(seen, dim=-1)).chunk(2, dim=-1)
        return loc, 1e-4 + softplus(scale)


class _ThreeBranchEncoder(Encoder):
    def __init__(self, dims: Dimensions, images: Microstructure, part: ThreeBranchEncoder) -> None:
        super().__init__(reader=None)
        sizes = [dims.properties, dims.inputs]
        self.triads = _Branches(dims, images, part, sizes, dims.latent)
        self.pairs = _Branches(dims, images, part, sizes[1:], dims.latent)

    def forward(
        self, x: Tensor | None, m: Tensor, phi: Tensor, ends: Tensor, u: Any = None
    ) -> Independent:
        if x is None:
            raise InputError("'x' is missing; this guide needs the images.")
        known = m.isfinite().all(-1, keepdim=True)
        loc, scale = self.triads(x, m.nan_to_num(), phi)
        if not known.all():
            others = self.pairs(x, phi)
            loc = torch.where(known, loc, others[0])
            scale = torch.where(known, scale, others[1])
        return Normal(loc, scale, validate_args=False).to_event(1)


class _ReadingEncoder(Encoder):
    reader: Reader

    def __init__(self, dims: Dimensions, images: Microstructure, part: ReadingEncoder) -> None:
        super().__init__(part.reader.build(dims))  # type: ignore[arg-type]
        self.noise, self.rest = part.noise, dims.latent - dims.properties
        self.branches = _Branches(dims, images, part, [dims.inputs], self.rest)

    def forward(
        self,
        x: Tensor | None,
        m: Tensor,
        phi: Tensor,
        ends: Tensor,
        u: EntrywiseMixture | None = None,
    ) -> Blocks:
        if u is None:
            u = self.properties_given(x, m, ends)
        if x is None:
            loc = m.new_zeros(*m.shape[:-1], self.rest)
            scale = loc + 1
        else:
            loc, scale = self.branches(x, phi)
        return Blocks(u, Normal(loc, scale, validate_args=False).to_event(1))

    def properties_given(self, x: Tensor | None, m: Tensor, ends: Tensor) -> EntrywiseMixture:
        """The law q(u | x, m), with batch shape `(N,)`; arguments as of `forward`."""
        known, reader = m.isfinite(), self.reader
        given = known_properties(m.nan_to_num(), ends, self.noise, reader.components)
        if known.all():
            return given
        if x is None:
            raise InputError(
                "'m' is unknown in some entries and there is no image to read it off; give 'x' "
                "or all of m."
            )
        pairs = zip(given.parts, reader(x).parts, strict=True)
        mask = known.unsqueeze(-1)
        return EntrywiseMixture(*(torch.where(mask, own, other) for own, other in pairs))


class _TabularEncoder(Encoder):
    """z0 is the properties alone: there is no image."""

    def __init__(self, noise: float) -> None:
        super().__init__(reader=None)
        self.noise = noise

    def forward(
        self, x: Tensor | None, m: Tensor, phi: Tensor, ends: Tensor, u: Any = None
    ) -> EntrywiseMixture:
        # an unknown property of a table has no evidence but the prior's scale
        known = m.isfinite().unsqueeze(-1)
        law = known_properties(m.nan_to_num(), ends, self.noise)
        return EntrywiseMixture(
            law.log_weights, torch.where(known, law.loc, 0.0), torch.where(known, law.scale, 1.0)
        )


def known_properties(
    m: Tensor, ends: Tensor, noise: float, components: int = 1
) -> EntrywiseMixture:
    r"""The law of u where m is known: :math:`\mathcal{N}(m, \sigma^2)`, and half a unit beyond a
    detection limit where m lies on it."""
    low, high = ends
    beyond = 0.5 * ((m >= high).to(m) - (m <= low).to(m))
    loc = (m + beyond).unsqueeze(-1).expand(*m.shape, components)
    scale = torch.where(beyond != 0, 0.5, noise).to(m).unsqueeze(-1).expand_as(loc)
    return EntrywiseMixture(torch.zeros_like(loc), loc, scale)


def _images(part: Part, dims: Dimensions) -> Microstructure:
    if dims.schema.microstructure is None:
        raise InputError(
            f"'encoder' is a {type(part).__name__}, which needs images, but the schema has no "
            "microstructure; take a ReadingEncoder."
        )
    return dims.schema.microstructure
