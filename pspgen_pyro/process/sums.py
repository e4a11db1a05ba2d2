"""Weighted sums of settings, as people write them: "0.02 T + 1.0 t - 3"."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ..errors import InputError

__all__ = ["read_sum"]

_NUMBER = re.compile(r"\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?")


def read_sum(text: str, names: Sequence[str], said: str) -> tuple[dict[str, float], float]:
    """The weights by name, and what is added to them.

    Arguments:
        text: The sum.
        names: The names of all settings.
        said: How the sentence of an error begins.

    Raises:
        InputError: If a term cannot be read, or names what the process does not have.

    Example:
        >>> read_sum("2 a - 0.5*b + 3", ("a", "b"), "'cost' is wrong")
        ({'a': 2.0, 'b': -0.5}, 3.0)
    """
    # longer names first, so that "Al2" is not read as "Al" and 2
    known = sorted(names, key=len, reverse=True)
    weights: dict[str, float] = {}
    constant, rest, first = 0.0, text.strip(), True
    if not rest:
        raise InputError(f"{said}, where a sum is empty; write one such as '0.02 T + 1.0 t'.")
    while rest:
        sign, rest = _sign(rest, first, said)
        number = _NUMBER.match(rest)
        weight, first = sign, False
        if number is not None and float(number[0]) == np.inf:
            raise InputError(f"{said}, but {number[0]!r:.40} is no finite number.")
        if number is not None:
            weight, rest = sign * float(number[0]), rest[number.end() :].lstrip()
            if rest.startswith("*"):
                rest, number = rest[1:].lstrip(), None
        name = next((one for one in known if _starts(rest, one)), None)
        if name is not None:
            rest = rest[len(name) :].lstrip()
            weights[name] = weights.get(name, 0.0) + weight
        elif number is not None and rest[:1] in ("", "+", "-", "−"):
            constant += weight
        else:
            word = re.split(r"[\s+*-]", rest, maxsplit=1)[0] or rest[:20]
            raise InputError(
                f"{said}, but {word!r:.40} is no setting here; there are {', '.join(names)}."
            )
    return weights, constant


def _sign(rest: str, first: bool, said: str) -> tuple[float, str]:
    if rest[0] in "+-−":
        return (1.0 if rest[0] == "+" else -1.0), rest[1:].lstrip()
    if first:
        return 1.0, rest
    raise InputError(f"{said}; a sign is missing before {rest!r:.20}.")


def _starts(rest: str, name: str) -> bool:
    """Whether a term is this name and not a longer word."""
    after = rest[len(name) : len(name) + 1]
    return rest.startswith(name) and not (after.isalnum() or after == "_")
