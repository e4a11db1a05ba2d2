r"""What settings must fulfil together, by name and in words.

.. math:: a^\top \varphi = b, \qquad a^\top \varphi \le b, \qquad
          \#\{j \in J : \varphi_j \ne 0\} \le k

are written "a + b + c = 100", "a <= 2 b" and "at most 2 of a, b, c".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .sums import read_sum

__all__ = ["AtMost", "Constraint", "Linear", "parse_constraint"]

_RELATION = re.compile(r"(<=|>=|==|=|≤|≥|<|>)")
_AT_MOST = re.compile(r"at most (?P<k>\d+) of (?P<names>.+?)(?: (?:non-?zero|not zero))?", re.I)
_HOW = 'write "a + b + c = 100", "a <= 2 b" or "at most 2 of a, b, c"'


@dataclass(frozen=True)
class Linear:
    """A weighted sum of settings that is a number, or at most one.

    Arguments:
        text: As it was written.
        names: The settings.
        weights: Their weights.
        relation: "=" or "<=".
        bound: The number.
    """

    text: str
    names: tuple[str, ...]
    weights: tuple[float, ...]
    relation: Literal["=", "<="]
    bound: float

    def row(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Its weights in the order of `names`, with shape `(P)`."""
        weights = dict(zip(self.names, self.weights, strict=True))
        return np.array([weights.get(name, 0.0) for name in names])


@dataclass(frozen=True)
class AtMost:
    """Of some settings at most so many are not zero.

    Arguments:
        text: As it was written.
        names: The settings.
        count: How many.
    """

    text: str
    names: tuple[str, ...]
    count: int


Constraint = Linear | AtMost


def parse_constraint(text: str, names: Sequence[str]) -> Constraint:
    """What a constraint says.

    Arguments:
        text: The constraint.
        names: The names of all settings.

    Raises:
        InputError: If it cannot be read, or names what the process does not have.

    Example:
        >>> parse_constraint("a <= 2 b", ("a", "b")).weights
        (1.0, -2.0)
    """
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"'constraints' has {text!r:.60}; {_HOW}.")
    if (found := _AT_MOST.fullmatch(text.strip())) is not None:
        return _at_most(text.strip(), found, names)
    parts = _RELATION.split(text)
    if len(parts) != 3:
        raise InputError(f"'constraints' has {text!r:.80}, which is no relation; {_HOW}.")
    left, relation, right = parts
    sign = -1.0 if relation in (">=", "≥", ">") else 1.0
    said = f"'constraints' has {text!r:.80}"
    (before, less), (after, more) = (read_sum(side, names, said) for side in (left, right))
    weights = {n: sign * (before.get(n, 0.0) - after.get(n, 0.0)) for n in before | after}
    kept = {name: weight for name, weight in weights.items() if weight}
    if not kept:
        raise InputError(f"'constraints' has {text!r:.80}, which binds no setting; {_HOW}.")
    kind: Literal["=", "<="] = "=" if relation in ("=", "==") else "<="
    return Linear(text.strip(), tuple(kept), tuple(kept.values()), kind, sign * (more - less))


def _at_most(text: str, found: re.Match[str], names: Sequence[str]) -> AtMost:
    listed = tuple(name.strip() for name in found["names"].split(","))
    unknown = [name for name in listed if name not in names]
    if unknown:
        raise InputError(
            f"'constraints' has {text!r:.80}, but {unknown[0]!r:.40} is no setting here; there "
            f"are {', '.join(names)}."
        )
    count = int(found["k"])
    if not 0 < count < len(set(listed)) or len(set(listed)) < len(listed):
        raise InputError(
            f"'constraints' has {text!r:.80}; name each setting once, and more of them than the "
            "number that may be other than zero."
        )
    return AtMost(text, listed, count)
