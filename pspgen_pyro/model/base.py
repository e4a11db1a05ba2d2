"""What every part has in common: a name, hyper-parameters that survive JSON, and `build`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from ..io.kinds import described, revived

__all__ = ["Dimensions", "Part", "part_from_json", "part_to_json"]


@dataclass(frozen=True)
class Dimensions:
    r"""The sizes that all parts of one model share.

    Arguments:
        process: The number :math:`P` of process parameters.
        image: The pixels `(H, W)` of a microstructure.
        properties: The number :math:`K` of properties.
        latent: The size :math:`D_0` of :math:`z_0`.
        process_latent: The size :math:`D_1` of :math:`z_1`.
        phases: The number of phases, and of labels a pixel can have.
    """

    process: int
    image: tuple[int, int]
    properties: int
    latent: int
    process_latent: int
    phases: int = 2

    @property
    def pixels(self) -> int:
        """The number of pixels H·W."""
        return self.image[0] * self.image[1]


class Part(ABC):
    """A part of the model or the guide: hyper-parameters now, a torch module once the sizes are
    known."""

    kinds: ClassVar[dict[str, type[Part]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Part.kinds[cls.__name__] = cls

    @abstractmethod
    def build(self, dims: Dimensions) -> nn.Module:
        """A fresh module with random weights from torch's generator."""


def part_to_json(part: Part) -> dict[str, Any]:
    """The part's class name and hyper-parameters, ready for JSON."""
    return described(part)


def part_from_json(spec: dict[str, Any]) -> Part:
    """The part that `part_to_json` described.

    Raises:
        DataError: If the kind is unknown or its hyper-parameters do not fit.
    """
    return revived(spec, Part.kinds, "part")
