"""What every part has in common: a name, hyper-parameters that survive JSON, and `build`."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from ..errors import DataError

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
    spec: dict[str, Any] = {"kind": type(part).__name__}
    for field in dataclasses.fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        spec[field.name] = part_to_json(value) if isinstance(value, Part) else value
    return spec


def part_from_json(spec: dict[str, Any]) -> Part:
    """The part that `part_to_json` described.

    Raises:
        DataError: If the kind is unknown or its hyper-parameters do not fit.
    """
    arguments = {key: _argument(value) for key, value in spec.items()}
    kind = arguments.pop("kind", None)
    if kind not in Part.kinds:
        raise DataError(
            f"'kind' is {kind!r}, which is no part of this package; known parts are "
            f"{', '.join(sorted(Part.kinds))}."
        )
    try:
        return Part.kinds[kind](**arguments)
    except TypeError as error:
        raise DataError(f"the hyper-parameters of {kind} do not fit: {error}.") from error


def _argument(value: Any) -> Any:
    if isinstance(value, dict):
        return part_from_json(value)
    return tuple(value) if isinstance(value, list) else value
