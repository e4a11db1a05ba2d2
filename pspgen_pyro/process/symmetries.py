r"""Symmetries in law of a process, and how training uses them.

A symmetry :math:`T` maps a triad to another one that is exactly as likely,

.. math:: p(x, m \mid \varphi) = p(T_x x, T_m m \mid T_\varphi \varphi),

so that a sample of the one is a sample of the other. The process declares what it knows, and
training applies it at random to every batch: whoever simulates a triad has simulated its images
under the symmetries too.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from ..errors import InputError
from ..io.kinds import Kind
from .settings import Setting

if TYPE_CHECKING:
    from torch import Generator, Tensor

    Rows = tuple[Tensor, Tensor | None, Tensor]

__all__ = [
    "Mirror",
    "PeriodicShift",
    "Permutation",
    "Reflection",
    "Symmetry",
    "Transposition",
    "augment",
    "orbit",
]


class _Space(Protocol):
    """What a symmetry needs to know of a process space."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def lower(self) -> tuple[float, ...]: ...
    @property
    def upper(self) -> tuple[float, ...]: ...
    @property
    def settings(self) -> tuple[Setting, ...]: ...


class _Images(Protocol):
    """What a symmetry needs to know of the microstructures."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def periodic(self) -> bool: ...


class Symmetry(Kind, ABC, family="symmetry"):
    """A symmetry in law of a process."""

    of_images: ClassVar[bool] = False
    """Whether it moves x alone: φ and m stay."""
    of_settings: ClassVar[bool] = False
    """Whether it moves φ alone: x and m stay."""

    def settings(self, process: _Space, phi: Tensor, generator: Generator | None = None) -> Tensor:
        """Settings, or standardised ones, under random elements of a symmetry that moves φ
        alone."""
        return phi

    def check_against(self, process: _Space) -> None:  # noqa: B027
        """Says why the symmetry does not fit a process, if it does not.

        Raises:
            InputError: If it names what the process does not have.
        """

    def check_schema(self, order: tuple[int, ...] | None, images: _Images | None) -> None:  # noqa: B027
        """Says why the symmetry does not fit the properties or the images, if it does not.

        Arguments:
            order: The order of the properties of a transposed image; None if there is none.
            images: What x is; None if there are no images.

        Raises:
            InputError: If it cannot be applied.
        """

    def for_order(self, order: tuple[int, ...] | None) -> Self:
        """The same symmetry, told the order of the properties of a transposed image."""
        return self

    @abstractmethod
    def __call__(
        self,
        process: _Space,
        phi: Tensor,
        x: Tensor | None,
        m: Tensor,
        generator: Generator | None = None,
    ) -> Rows:
        """A random element of the symmetry applied to each row.

        Arguments:
            process: The process space.
            phi: Process parameters, with shape `(N, P)`.
            x: Microstructures, with shape `(N, H, W)`; None if the data have none.
            m: Properties, with shape `(N, K)`; NaN where they are unknown.
            generator: The source of randomness; torch's own if None.

        Returns:
            φ, x and m of the same shapes.
        """

    def elements(self, process: _Space, phi: Tensor, x: Tensor | None, m: Tensor) -> list[Rows]:
        """The rows under every element of the symmetry, the identity first; only the identity if
        there are too many to list."""
        return [(phi, x, m)]


def _coins(like: Tensor, generator: Generator | None) -> Tensor:
    import torch

    return (torch.rand(len(like), generator=generator) < 0.5).to(like.device)


class _OfImages(Symmetry):
    of_images: ClassVar[bool] = True

    @abstractmethod
    def _moved(self, x: Tensor, generator: Generator | None) -> Tensor: ...

    def __call__(
        self,
        process: _Space,
        phi: Tensor,
        x: Tensor | None,
        m: Tensor,
        generator: Generator | None = None,
    ) -> Rows:
        return phi, None if x is None else self._moved(x, generator), m


@dataclass(frozen=True)
class PeriodicShift(_OfImages):
    """The process prefers no origin: x may be shifted around the torus; φ and m stay."""

    def check_schema(self, order: tuple[int, ...] | None, images: _Images | None) -> None:
        if images is not None and not images.periodic:
            raise InputError(
                "'symmetries' has a PeriodicShift, but the images are not periodic; leave it out."
            )

    def _moved(self, x: Tensor, generator: Generator | None) -> Tensor:
        import torch

        index = [torch.arange(len(x)).view(-1, *[1] * (x.ndim - 1))]
        for axis, side in enumerate(x.shape[1:], 1):
            places = torch.randint(side, (len(x), 1), generator=generator) + torch.arange(side)
            view = [-1 if i in (0, axis) else 1 for i in range(x.ndim)]
            view[0] = len(x)
            index.append((places % side).view(view))
        return x[tuple(index)]


@dataclass(frozen=True)
class Reflection(_OfImages):
    """The process cannot tell left from right, nor up from down: x may be reflected along any
    direction; φ and m stay."""

    def _moved(self, x: Tensor, generator: Generator | None) -> Tensor:
        for axis in range(-1, -x.ndim, -1):
            chosen = _coins(x, generator).view(-1, *[1] * (x.ndim - 1))
            x = x.flip(axis).where(chosen, x)
        return x


class _Exchange(Symmetry):
    """A symmetry of two elements, of which the second transposes x, reorders the properties and
    moves the settings."""

    properties: tuple[int, ...] | None

    def check_schema(self, order: tuple[int, ...] | None, images: _Images | None) -> None:
        name = type(self).__name__
        if images is not None and images.shape[-2] != images.shape[-1]:
            raise InputError(
                f"'symmetries' has a {name}, but the images have {images.shape[-2]}×"
                f"{images.shape[-1]} pixels and only square ones can be transposed; leave it out."
            )
        if order is None:
            raise InputError(
                f"'symmetries' has a {name}, which exchanges directions, but a property along one "
                "direction has no partner of the same quantity along the other; declare both, or "
                "leave it out."
            )
        if self.properties is not None and self.properties != order:
            raise InputError(
                f"'symmetries' has a {name} that reorders the properties as {self.properties}, "
                f"but the declared directions say {order}; leave 'properties' out."
            )

    def for_order(self, order: tuple[int, ...] | None) -> Self:
        return dataclasses.replace(self, properties=order)  # type: ignore[type-var]

    def _moved(self, process: _Space, phi: Tensor) -> Tensor:
        """The settings under the second element."""
        return phi

    def __call__(
        self,
        process: _Space,
        phi: Tensor,
        x: Tensor | None,
        m: Tensor,
        generator: Generator | None = None,
    ) -> Rows:
        same, exchanged = self.elements(process, phi, x, m)
        chosen = _coins(phi, generator)

        def picked(a: Any, b: Any) -> Any:
            return a if a is None else b.where(chosen.view(-1, *[1] * (a.ndim - 1)), a)

        phi, x, m = (picked(a, b) for a, b in zip(same, exchanged, strict=True))
        return phi, x, m

    def elements(self, process: _Space, phi: Tensor, x: Tensor | None, m: Tensor) -> list[Rows]:
        if self.properties is None:
            raise InputError(
                f"'symmetries' has a {type(self).__name__} that was not told how the properties "
                "are reordered; take it from `schema.symmetries`."
            )
        if x is not None and x.shape[-1] != x.shape[-2]:
            raise InputError(
                f"'x' has {x.shape[-2]}×{x.shape[-1]} pixels; only square microstructures can be "
                "transposed, so train without that symmetry."
            )
        if sorted(self.properties) != list(range(m.shape[-1])):
            raise InputError(
                f"'symmetries' reorders the properties as {self.properties}, but m has "
                f"{m.shape[-1]}; give each of their numbers, from 0 on, once."
            )
        moved = self._moved(process, phi)
        return [(phi, x, m), (moved, None if x is None else x.mT, m[:, list(self.properties)])]


@dataclass(frozen=True)
class Transposition(_Exchange):
    """Both directions are alike: x may be transposed if the properties trade places; φ stays.

    Arguments:
        properties: The order of the properties after transposition; what the schema says of
            their directions if None.
    """

    properties: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Mirror(_Exchange):
    """One parameter weighs the two directions: mirrored within its bounds, it transposes x and
    makes the properties trade places.

    Arguments:
        parameter: The name of the parameter that is mirrored about the middle of its bounds.
        properties: The order of the properties after transposition; what the schema says of
            their directions if None.
    """

    parameter: str
    properties: tuple[int, ...] | None = None

    def check_against(self, process: _Space) -> None:
        if self.parameter not in process.names:
            raise InputError(
                f"'symmetries' mirrors the parameter {self.parameter!r}, but the process has "
                f"{', '.join(process.names)}; name one of those."
            )
        setting = process.settings[process.names.index(self.parameter)]
        if not setting.plain:
            raise InputError(
                f"'symmetries' mirrors {self.parameter!r}, which is {setting.describe()}; only a "
                "real number that is learned by its value can be mirrored: leave it out."
            )

    def _moved(self, process: _Space, phi: Tensor) -> Tensor:
        j = process.names.index(self.parameter)
        mirrored = phi.clone()
        mirrored[:, j] = process.lower[j] + process.upper[j] - phi[:, j]
        return mirrored


@dataclass(frozen=True)
class Permutation(Symmetry):
    """Some groups of parameters are alike: they may trade places; x and m stay.

    Arguments:
        groups: The names of the parameters of each group; those at the same place trade with each
            other.

    Example:
        >>> from pspgen_pyro.process import ProcessSpace
        >>> names = ("T1", "t1", "T2", "t2")
        >>> alike = Permutation((("T1", "t1"), ("T2", "t2")))
        >>> furnaces = ProcessSpace(names, (300, 1) * 2, (900, 5) * 2, symmetries=(alike,))
    """

    groups: tuple[tuple[str, ...], ...]
    of_settings: ClassVar[bool] = True

    def __post_init__(self) -> None:
        groups = tuple(tuple(group) for group in self.groups)
        object.__setattr__(self, "groups", groups)
        names = [name for group in groups for name in group]
        if len(groups) < 2 or len({len(group) for group in groups}) > 1 or not names:
            raise InputError(
                f"'groups' is {groups}; give at least two groups with the same number of "
                "parameters."
            )
        if len(set(names)) < len(names):
            raise InputError(f"'groups' is {groups}; no parameter can be in it twice.")

    def check_against(self, process: _Space) -> None:
        settings = dict(zip(process.names, process.settings, strict=True))
        for place in zip(*self.groups, strict=True):
            for name in place:
                if name not in settings:
                    raise InputError(
                        f"'symmetries' permutes the parameter {name!r}, but the process has "
                        f"{', '.join(process.names)}; name some of those."
                    )
            if len({settings[name] for name in place}) > 1:
                raise InputError(
                    f"'symmetries' permutes {', '.join(place)}, whose bounds differ, so that a "
                    "permutation would leave the process space; give them the same bounds and "
                    "unit, or leave it out."
                )

    def settings(self, process: _Space, phi: Tensor, generator: Generator | None = None) -> Tensor:
        import torch

        columns = torch.tensor([[process.names.index(n) for n in group] for group in self.groups])
        order = torch.rand(len(phi), len(columns), generator=generator).argsort(dim=1)
        values = phi[:, columns].take_along_dim(order.unsqueeze(-1).to(phi.device), dim=1)
        moved = phi.clone()
        moved[:, columns.flatten()] = values.flatten(1)
        return moved

    def __call__(
        self,
        process: _Space,
        phi: Tensor,
        x: Tensor | None,
        m: Tensor,
        generator: Generator | None = None,
    ) -> Rows:
        return self.settings(process, phi, generator), x, m


def augment(
    symmetries: Sequence[Symmetry],
    process: _Space,
    phi: Tensor,
    x: Tensor | None,
    m: Tensor,
    generator: Generator | None = None,
) -> Rows:
    """Applies a random element of every symmetry to each row, one symmetry after the other."""
    for symmetry in symmetries:
        phi, x, m = symmetry(process, phi, x, m, generator)
    return phi, x, m


def orbit(
    symmetries: Sequence[Symmetry], process: _Space, phi: Tensor, x: Tensor | None, m: Tensor
) -> list[Rows]:
    """The rows under every combination of the elements of those symmetries that can be listed."""
    rows = [(phi, x, m)]
    for symmetry in symmetries:
        rows = [image for row in rows for image in symmetry.elements(process, *row)]
    return rows
