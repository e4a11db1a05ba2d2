r"""What a setting costs, :math:`c(\varphi)`, in any currency.

A linear cost is written "0.02 T + 1.0 t" or `{"T": 0.02, "t": 1.0}`, each number a unit of the
parameter's; any other is a function of φ in torch, from which its gradient comes. Under a
tolerance it is the cost of the nominal setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..process import ProcessSpace
from ..process.sums import read_sum
from .tolerance import named_numbers

__all__ = ["Cost", "CostFunction"]

CostFunction = Callable[[Tensor], Tensor]

_PROBES = 16


@dataclass(frozen=True)
class Cost:
    """A cost that was tried out.

    Arguments:
        function: Maps φ with shape `(N, P)` to costs with shape `(N)`.
        words: It in words.
        scale: The width of its range over the process space, from a few settings.

    Example:
        >>> furnace = ProcessSpace(("T", "t"), (900.0, 1.0), (1200.0, 9.0), ("K", "h"))
        >>> cost = Cost.of("0.02 T + t", furnace)
        >>> cost(torch.tensor([[1000.0, 2.0]]))
        tensor([22.])
    """

    function: CostFunction
    words: str
    scale: float

    @classmethod
    def of(
        cls, given: CostFunction | Mapping[str, float] | str | Cost, process: ProcessSpace
    ) -> Cost:
        """The cost that a text, a mapping from names or a function says.

        Raises:
            InputError: If it cannot be read, names what is no parameter, or is a function that
                fails, or returns another shape, what is not finite or what has no gradient.
        """
        if isinstance(given, Cost):
            return given
        fixed = 0.0
        if isinstance(given, str):
            said = f"'cost' is {given!r:.80}"
            given, fixed = read_sum(given, process.names, said)
            if not given:
                raise InputError(
                    f"{said}, which names no setting; write a sum such as '0.02 T + 1.0 t'."
                )
        if isinstance(given, Mapping):
            return _tried(*_linear(given, fixed, process), process)
        if not callable(given):
            raise InputError(
                f"'cost' is {given!r:.60}; write '0.02 T + t', a mapping from names to numbers, "
                "or a function of φ in torch."
            )
        return _tried(given, "cost", process)

    def __call__(self, phi: Tensor) -> Tensor:
        """The costs, with shape `(N)`, of φ with shape `(N, P)`.

        Raises:
            InputError: If one is not finite.
        """
        found = self.function(phi)
        if not torch.isfinite(found).all():
            i = int((~torch.isfinite(found)).nonzero()[0])
            raise InputError(
                f"'cost' is {float(found[i])} at φ = {phi[i].tolist()}; it must be finite in all "
                "of the process space."
            )
        return found

    def __str__(self) -> str:
        return self.words


def _linear(
    given: Mapping[str, float], fixed: float, process: ProcessSpace
) -> tuple[CostFunction, str]:
    weights = named_numbers(given, process, "cost")
    terms = zip(process.names, weights, strict=True)
    told = [f"{weight:g} {name}" for name, weight in terms if weight]
    words = " + ".join([*told, *([f"{fixed:g}"] if fixed else [])])
    return (lambda phi: phi @ phi.new_tensor(weights) + fixed), words.replace("+ -", "- ") or "0"


def _tried(function: CostFunction, words: str, process: ProcessSpace) -> Cost:
    """A cost whose function returns what it should at a few settings."""
    phi = torch.tensor(process.scattered(_PROBES), dtype=torch.float64).requires_grad_()
    try:
        found = function(phi)
    except Exception as error:
        raise InputError(
            f"'cost' fails at φ with shape {tuple(phi.shape)}: {type(error).__name__}: {error}; "
            "give a function of φ in torch."
        ) from error
    if not isinstance(found, Tensor) or found.shape != phi.shape[:1]:
        came = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise InputError(
            f"'cost' returned {came} for φ with shape {tuple(phi.shape)}; return a tensor with "
            f"shape {tuple(phi.shape[:1])}, one cost a setting."
        )
    if not found.requires_grad:
        raise InputError(
            "'cost' has no gradient; compute it from φ in torch, without `detach`, `item` or "
            "numpy."
        )
    (gradient,) = torch.autograd.grad(found.sum(), phi, allow_unused=True)
    if gradient is None:
        raise InputError("'cost' does not depend on φ; compute it from φ in torch.")
    cost = Cost(function, words, float(np.ptp(found.detach().numpy())) or 1.0)
    cost(phi.detach())
    if not torch.isfinite(gradient).all():
        raise InputError(
            "'cost' has a gradient that is not finite; give a function that is smooth in all of "
            "the process space."
        )
    return cost
