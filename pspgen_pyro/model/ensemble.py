r"""Deep ensembles: what the data leave open, by models trained apart.

An `Ensemble` is asked as one model is: `probability` and `maximise` of `design` take either.

References:
    Simple and scalable predictive uncertainty estimation using deep ensembles (Lakshminarayanan et
    al., 2017)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from numpy.typing import ArrayLike
from torch import Tensor

from ..errors import InputError
from ..process import ProcessSpace
from ..schema import Schema
from .base import Dimensions
from .pspgen import PSPGen

__all__ = ["Ensemble"]


@dataclass(frozen=True, eq=False)
class Ensemble(Sequence[PSPGen]):
    """Models trained apart on the same question, in order.

    Arguments:
        members: The models.

    Raises:
        InputError: If there is none, or their processes, properties, pixels or sizes of z0 differ.
    """

    members: tuple[PSPGen, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        if not self.members:
            raise InputError("'members' is empty; give at least one model.")
        for i, member in enumerate(self.members):
            differs = _difference(member, self.members[0])
            if differs:
                raise InputError(
                    f"'members' has model {i + 1} with another {differs} than the first; give "
                    "models that were trained on the same data with the same sizes."
                )

    def __len__(self) -> int:
        return len(self.members)

    @overload
    def __getitem__(self, index: int) -> PSPGen: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[PSPGen, ...]: ...
    def __getitem__(self, index: int | slice) -> PSPGen | tuple[PSPGen, ...]:
        return self.members[index]

    @property
    def schema(self) -> Schema:
        """The schema of all members."""
        return self.members[0].schema

    @property
    def process(self) -> ProcessSpace:
        """The process space of all members."""
        return self.members[0].process

    @property
    def m_loc(self) -> Tensor:
        """The location of the properties of the first member, for its device and precision."""
        return self.members[0].m_loc

    def tensor(self, values: ArrayLike) -> Tensor:
        """Numbers on the members' device and in their precision."""
        return self.members[0].tensor(values)

    @property
    def property_names(self) -> tuple[str, ...]:
        """The names of the properties of all members."""
        return self.members[0].property_names

    @property
    def dims(self) -> Dimensions:
        """The sizes of the first member; those of φ, x, m and z0 are everyone's."""
        return self.members[0].dims


def _difference(member: PSPGen, first: PSPGen) -> str:
    same = {
        "schema": member.schema == first.schema,
        "size of z0": member.dims.latent == first.dims.latent,
    }
    return next((name for name, equal in same.items() if not equal), "")
