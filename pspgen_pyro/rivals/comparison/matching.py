r"""A continuous normalising flow for :math:`p(\varphi \mid m)`, trained by flow matching.

A path :math:`u_s = s\, u_1 + (1 - (1 - s_0) s)\, \varepsilon` leads from noise
:math:`\varepsilon \sim \mathcal{N}(0, I)` at :math:`s = 0` to data :math:`u_1` at
:math:`s = 1`, at the speed :math:`u_1 - (1 - s_0)\, \varepsilon`.
The time of zuko's flow runs from data to noise, :math:`t = 1 - s`, so its field learns the
opposite speed,

.. math:: \min \mathbb{E} \left\| v(1 - s, u_s, m) + u_1 - (1 - s_0)\, \varepsilon \right\|^2.

The coordinates u are either the logits of φ between its bounds, beyond which no draw can fall, or
φ scaled to :math:`[-1, 1]`, whose draws beyond a bound are put on it.

References:
    Flow matching for generative modeling (Lipman et al., 2023), https://arxiv.org/abs/2210.02747
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ...errors import InputError
from ...process import ProcessSpace
from .._learning import check_sizes

__all__ = ["Matching", "ProcessFlow"]

# s0, the width of the path at the data
_WIDTH = 1e-3
# the distance from a bound, as a share of the interval, below which logits are cut
_EDGE = 1e-5
# the standard deviation of the logit of a uniform draw
_LOGISTIC = math.pi / math.sqrt(3)
_LAST_RATE = 1e-6
# the tolerances of the integration along the path, the authors'
_ODE = 1e-4


@dataclass(frozen=True)
class Matching:
    """The hyper-parameters of the flow.

    Arguments:
        coordinates: `"logit"` or `"raw"`.
        hidden: The widths of the hidden layers.

    Other arguments:
        steps: The number of steps.
        batch_size: Pairs (φ, m) a step.
        rate: The first rate of AdamW, which falls along a half-cosine.
        memory: The decay of the exponential moving average of the weights.

    Raises:
        InputError: If a number is not positive, or the coordinates are unknown.
    """

    coordinates: Literal["logit", "raw"] = "logit"
    hidden: tuple[int, ...] = (256, 256)
    steps: int = 3000
    batch_size: int = 1024
    rate: float = 1e-3
    memory: float = 0.995

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.coordinates not in ("logit", "raw"):
            raise InputError(f"'coordinates' is {self.coordinates!r}; choose 'logit' or 'raw'.")


class ProcessFlow:
    """The flow :math:`p(φ | m)`, in the units of φ and on standardised m.

    Arguments:
        process: The process space.
        settings: The hyper-parameters.
        network: The trained flow of zuko.
    """

    def __init__(self, process: ProcessSpace, settings: Matching, network: Any) -> None:
        self.settings, self.network = settings, network
        self.lower = torch.tensor(process.lower, dtype=torch.float64)
        self.range = torch.tensor(process.upper, dtype=torch.float64) - self.lower

    @classmethod
    def fit(cls, process: ProcessSpace, settings: Matching, phi: Tensor, m: Tensor) -> Self:
        """Learns from pairs with shape `(N, P)` and `(N, K)`; random numbers come from torch's
        generator."""
        import zuko

        network = zuko.flows.CNF(
            len(process),
            m.shape[1],
            freqs=3,
            hidden_features=settings.hidden,
            atol=_ODE,
            rtol=_ODE,
            activation=torch.nn.SiLU,
        ).float()
        flow = cls(process, settings, network)
        flow.network = _matched(network, settings, flow.inwards(phi).float(), m.float())
        return flow

    @torch.no_grad()
    def sample(self, m: Tensor, generator: torch.Generator) -> NDArray[np.float64]:
        """One draw of φ for each m with shape `(N, K)`, with shape `(N, P)`."""
        noise = torch.randn(len(m), len(self.lower), generator=generator)
        u = self.network(m.float()).transform.inv(noise.float()).double()
        share = self._share(u).clamp(0, 1)
        # rounding must not carry a draw over its upper bound
        top = (self.lower + self.range).numpy()
        return np.minimum((self.lower + self.range * share).numpy(), top)

    def log_density(self, phi: Tensor, m: Tensor) -> Tensor:
        """The logarithm of p(φ | m), with shape `(*)`; with a gradient in φ."""
        share = ((phi - self.lower) / self.range).clamp(_EDGE, 1 - _EDGE)
        if self.settings.coordinates == "raw":
            slope = torch.full_like(share, 0.5)
        else:
            slope = _LOGISTIC * share * (1 - share)
        law = self.network(m.float()).log_prob(self.inwards(phi).float()).double()
        return law - (slope * self.range).log().sum(dim=-1)

    def inwards(self, phi: Tensor) -> Tensor:
        """The coordinates u of φ."""
        share = (phi - self.lower) / self.range
        if self.settings.coordinates == "raw":
            return 2 * share - 1
        return torch.special.logit(share.clamp(_EDGE, 1 - _EDGE)) / _LOGISTIC

    def _share(self, u: Tensor) -> Tensor:
        """Where between its bounds φ lies."""
        if self.settings.coordinates == "raw":
            return (u + 1) / 2
        return torch.sigmoid(_LOGISTIC * u)


def _matched(network: Any, settings: Matching, data: Tensor, context: Tensor) -> Any:
    """The moving average of the weights along the training."""
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.rate, weight_decay=1e-5, fused=True
    )
    rate = CosineAnnealingLR(optimiser, settings.steps, eta_min=_LAST_RATE)
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.memory))
    for _ in range(settings.steps):
        index = torch.randint(len(data), (settings.batch_size,))
        u, noise = data[index], torch.randn(settings.batch_size, data.shape[1]).float()
        s = torch.rand(settings.batch_size).float()
        place = s[:, None] * u + (1 - (1 - _WIDTH) * s[:, None]) * noise
        speed = u - (1 - _WIDTH) * noise
        loss = (network.transform.f(1 - s, place, context[index]) + speed).square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        rate.step()
        averaged.update_parameters(network)
    return averaged.module.eval().requires_grad_(False)
