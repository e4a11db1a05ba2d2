r"""Residual networks of App. A: ordinary torch modules, no Pyro in them.

A layer maps :math:`h \mapsto a(W h + b) + V h`, where :math:`a` is the activation and :math:`V`
the identity when the widths agree and a learned projection otherwise; the last layer is affine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

__all__ = ["ACTIVATIONS", "ResidualLayer", "ResidualMLP", "StackedMLP", "thinned"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"elu": nn.ELU, "relu": nn.ReLU, "silu": nn.SiLU}


class ResidualLayer(nn.Module):
    r"""One layer :math:`h \mapsto a(W h + b) + V h`.

    Arguments:
        inputs: The width of :math:`h`.
        outputs: The width of the result.
        activation: One of "elu", "relu", "silu".
    """

    def __init__(self, inputs: int, outputs: int, activation: str = "elu") -> None:
        super().__init__()
        self.affine = nn.Linear(inputs, outputs)
        self.activation = ACTIVATIONS[activation]()
        self.skip = nn.Identity() if inputs == outputs else nn.Linear(inputs, outputs, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """Maps shape `(*, inputs)` to `(*, outputs)`."""
        return self.activation(self.affine(h)) + self.skip(h)


class ResidualMLP(nn.Sequential):
    """Residual layers of the given widths, then an affine map to the outputs (App. A's "ResNet").

    Arguments:
        inputs: The width of the input.
        outputs: The width of the output.
        hidden: The widths of the hidden layers.
        activation: One of "elu", "relu", "silu".

    Example:
        >>> import torch
        >>> ResidualMLP(2, 21, hidden=(256, 128, 64))(torch.zeros(5, 2)).shape
        torch.Size([5, 21])
    """

    def __init__(
        self, inputs: int, outputs: int, hidden: Sequence[int], activation: str = "elu"
    ) -> None:
        widths = (inputs, *hidden)
        layers = [
            ResidualLayer(a, b, activation) for a, b in zip(widths, widths[1:], strict=False)
        ]
        super().__init__(*layers, nn.Linear(widths[-1], outputs))


def thinned(h: Tensor, share: float) -> Tensor:
    """Leaves out a share of the entries at random and enlarges the others, so that the mean stays:
    dropout by 16 random bits an entry, in a third of the time of torch's.

    Arguments:
        h: Anything.
        share: At least 0 and less than 1, taken to the nearest of 65,536.
    """
    least = min(round(share * 65_536), 65_535)
    words = torch.empty(-(-h.numel() // 4), dtype=torch.int64, device=h.device)
    bits = words.random_(torch.iinfo(torch.int64).min, None).view(torch.int16)[: h.numel()]
    kept = (bits >= least - 32_768).view(h.shape)
    return h * (kept.to(h) * (65_536 / (65_536 - least)))


class StackedMLP(nn.Module):
    """Several `ResidualMLP` of one shape, evaluated side by side as one.

    Arguments:
        members: How many.
        inputs: The width of the input.
        outputs: The width of the output.
        hidden: The widths of the hidden layers, with SiLU.

    Example:
        >>> import torch
        >>> StackedMLP(8, 2, 5, hidden=(16, 16))(torch.zeros(7, 2)).shape
        torch.Size([8, 7, 5])
    """

    def __init__(self, members: int, inputs: int, outputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        widths = (inputs, *hidden)
        pairs = list(zip(widths, widths[1:], strict=False))
        self.affine = nn.ModuleList(_StackedLinear(members, a, b) for a, b in pairs)
        self.skip = nn.ModuleList(
            nn.Identity() if a == b else _StackedLinear(members, a, b, bias=False)
            for a, b in pairs
        )
        self.last = _StackedLinear(members, widths[-1], outputs)
        self.members = members

    def forward(self, h: Tensor, drop: float = 0.0) -> Tensor:
        """Maps shape `(*, inputs)` to `(members, *, outputs)`; `drop` is the share of each hidden
        layer that is left out at random."""
        batch = h.shape[:-1]
        h = h.reshape(1, -1, h.shape[-1]).expand(self.members, -1, -1)
        for affine, skip in zip(self.affine, self.skip, strict=True):
            h = silu(affine(h)) + skip(h)
            h = thinned(h, drop) if drop else h
        return self.last(h).unflatten(1, batch) if batch else self.last(h).squeeze(1)


class _StackedLinear(nn.Module):
    """Affine maps side by side, drawn as `torch.nn.Linear` draws its own."""

    def __init__(self, members: int, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        reach = inputs**-0.5
        shape = (members, inputs, outputs)
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-reach, reach))
        self.bias = (
            nn.Parameter(torch.empty(members, 1, outputs).uniform_(-reach, reach))
            if bias
            else None
        )

    def forward(self, h: Tensor) -> Tensor:
        """Maps shape `(members, N, inputs)` to `(members, N, outputs)`."""
        if self.bias is None:
            return torch.bmm(h, self.weight)
        return torch.baddbmm(self.bias, h, self.weight)
