"""What an image of a microstructure is."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..errors import InputError
from ..io.validation import Record, returned_numbers
from .properties import DIRECTIONS, Direction
from .units import conversion

__all__ = ["Microstructure"]


Side = Annotated[int, Field(ge=1, strict=True)]


class Microstructure(Record):
    """The images x of a data set: H × W pixels, or D × H × W voxels, of phase labels or of grey
    values.

    Arguments:
        shape: The pixels (H, W): rows, then columns; of a volume (D, H, W), layers first.
        phases: The number of phases, whose labels run from 0 (two-phase: 0 = solid, 1 = void); or
            "grey" for values between 0 and 1.
        periodic: Whether the image goes on at its opposite edge, as one cell of a lattice does. A
            crop of a larger image does not.
        pixel_size: The side of a pixel, if it is known.
        pixel_unit: The unit of that length, such as "um".

    Raises:
        InputError: If a size is not positive, there are fewer than two phases, or the unit is no
            length.

    Example:
        >>> Microstructure(shape=(36, 24), periodic=False).pixels
        864
    """

    shape: Annotated[tuple[Side, ...], Field(min_length=2, max_length=3)]
    phases: Annotated[int, Field(ge=2, le=256, strict=True)] | Literal["grey"] = 2
    periodic: Annotated[bool, Field(strict=True)] = True
    pixel_size: Annotated[float, Field(gt=0, strict=True)] | None = None
    pixel_unit: str | None = None

    @model_validator(mode="after")
    def _length(self) -> Microstructure:
        if (self.pixel_size is None) != (self.pixel_unit is None):
            raise ValueError("a pixel size and its unit go together; give both or neither")
        if self.pixel_unit is not None:
            conversion(self.pixel_unit, "m", "pixel_unit")
        return self

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return math.prod(self.shape)

    @property
    def dimensions(self) -> int:
        """2 for images, 3 for volumes."""
        return len(self.shape)

    @property
    def dims(self) -> tuple[str, ...]:
        """The names of the axes of one image."""
        return ("layer", "row", "column")[-self.dimensions :]

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The names of its directions."""
        return DIRECTIONS[: self.dimensions]

    @property
    def grey(self) -> bool:
        """Whether pixels are grey values rather than labels."""
        return self.phases == "grey"

    @property
    def dtype(self) -> str:
        """The type of a pixel."""
        return "float32" if self.grey else "uint8"

    def checked(self, x: Any, count: int, who: str) -> NDArray[Any]:
        """So many images as `who` returned them, once they are what is declared here.

        Raises:
            InputError: If they are not.
        """
        found = returned_numbers(x, who, (count, *self.shape), str(self))
        if self.phases == "grey":
            fits, allowed = (found >= 0) & (found <= 1), "grey values from 0 to 1"
        else:
            fits = np.isin(found, np.arange(self.phases))
            allowed = f"whole labels from 0 to {self.last_label}"
        if not fits.all():
            raise InputError(
                f"'{who}' returned {found[~fits][0]:g} in an image, but declares {self}; return "
                f"{allowed}."
            )
        return found.astype(self.dtype)

    @property
    def planes(self) -> int:
        """How many numbers a network sees of each pixel: one of two phases or grey, else one a
        phase."""
        return 1 if self.phases in (2, "grey") else int(self.phases)

    @property
    def last_label(self) -> int:
        """The last label, that of the void in two phases.

        Raises:
            InputError: If the images are grey values.
        """
        if self.phases == "grey":
            raise InputError("grey values have no phases; this needs images of phase labels.")
        return self.phases - 1

    def __str__(self) -> str:
        kind = "grey values" if self.grey else f"{self.phases} phases"
        size = f", pixel {self.pixel_size:g} {self.pixel_unit}" if self.pixel_size else ""
        edge = "periodic" if self.periodic else "not periodic"
        sides = "×".join(str(side) for side in self.shape)
        return f"{sides} pixels, {kind}, {edge}{size}"
