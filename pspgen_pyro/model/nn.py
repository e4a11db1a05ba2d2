r"""Residual networks of App. A: ordinary torch modules, no Pyro in them.

A layer maps :math:`h \mapsto a(W h + b) + V h`, where :math:`a` is the activation and :math:`V`
the identity when the widths agree and a learned projection otherwise; the last layer is affine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "ResidualLayer", "ResidualMLP"]

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
