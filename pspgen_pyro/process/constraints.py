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

__all__ = ["AtMost", "Constraint", "Linear", "parse_constraint"]

_RELATION = re.compile(r"(<=|>=|==|=|≤|≥|<|>)")
_NUMBER = re.compile(r"\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?")
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
    weights: dict[str, float] = {}
    bound = 0.0
    for side, factor in ((left, sign), (right, -sign)):
        for name, weight in _terms(side, text, names):
            if name is None:
                bound -= factor * weight
            else:
                weights[name] = weights.get(name, 0.0) + factor * weight
    kept = {name: weight for name, weight in weights.items() if weight}
    if not kept:
        raise InputError(f"'constraints' has {text!r:.80}, which binds no setting; {_HOW}.")
    kind: Literal["=", "<="] = "=" if relation in ("=", "==") else "<="
    return Linear(text.strip(), tuple(kept), tuple(kept.values()), kind, bound)


def _at_most(text: str, found: re.Match[str], names: Sequence[str]) -> AtMost:
    listed = tuple(name.strip() for name in found["names"].split(","))
    unknown = [name for name in listed if name not in names]
    if unknown:
        raise InputError(_unknown(unknown[0], text, names))
    count = int(found["k"])
    if not 0 < count < len(set(listed)) or len(set(listed)) < len(listed):
        raise InputError(
            f"'constraints' has {text!r:.80}; name each setting once, and more of them than the "
            "number that may be other than zero."
        )
    return AtMost(text, listed, count)


def _terms(side: str, text: str, names: Sequence[str]) -> list[tuple[str | None, float]]:
    """The terms of a sum: a name, or None for a plain number, and its weight."""
    # longer names first, so that "Al2" is not read as "Al" and 2
    known = sorted(names, key=len, reverse=True)
    found: list[tuple[str | None, float]] = []
    rest = side.strip()
    if not rest:
        raise InputError(f"'constraints' has {text!r:.80}, one side of which is empty; {_HOW}.")
    first = True
    while rest:
        sign, rest = _sign(rest, first, text)
        number = _NUMBER.match(rest)
        weight = 1.0
        if number is not None:
            weight, rest = float(number[0]), rest[number.end() :].lstrip()
            if rest.startswith("*"):
                rest, number = rest[1:].lstrip(), None
        name = next((one for one in known if _starts(rest, one)), None)
        if name is not None:
            rest = rest[len(name) :].lstrip()
        elif number is None:
            word = re.split(r"[\s+*-]", rest, maxsplit=1)[0] or rest[:20]
            raise InputError(_unknown(word, text, names))
        found.append((name, sign * weight))
        first = False
    return found


def _sign(rest: str, first: bool, text: str) -> tuple[float, str]:
    if rest[0] in "+-−":
        return (1.0 if rest[0] == "+" else -1.0), rest[1:].lstrip()
    if first:
        return 1.0, rest
    raise InputError(f"'constraints' has {text!r:.80}; a sign is missing before {rest!r:.20}.")


def _starts(rest: str, name: str) -> bool:
    """Whether a term is this name and not a longer word."""
    after = rest[len(name) : len(name) + 1]
    return rest.startswith(name) and not (after.isalnum() or after == "_")


def _unknown(word: str, text: str, names: Sequence[str]) -> str:
    return (
        f"'constraints' has {text!r:.80}, but {word!r:.40} is no setting here; there are "
        f"{', '.join(names)}."
    )
