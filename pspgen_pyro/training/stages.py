r"""The stages of training: the blocks in which one objective is ascended.

With z0 = (u, w), u the properties, the objective over triads (φ, x, m) and bare pairs (φ, x) is

.. math::
    \mathcal{J} = \sum_{\text{triads}} \mathcal{L}(x, m, \varphi)
        + \sum_{\text{pairs}} \mathcal{U}(x, \varphi)
        + \sum_{\text{triads}} \log q(m \mid x),

the bound for triads (Eq. 12), the bound for pairs (Eq. 18), and the discriminative term of
semi-supervised variational models. Its blocks are

1. `ReaderStage`: :math:`\sum_{\text{triads}} \log q(m \mid x)`, what an image says of its
   properties;
2. `PriorStage`: :math:`\sum_{\text{triads}} \log p(m \mid \varphi) + \sum_{\text{pairs}} \log
   \mathbb{E}_{q(m \mid x)} [p(m \mid \varphi) / q(m)]`, the part of both bounds in which
   :math:`p(u \mid \varphi)` appears, with :math:`p(m \mid \varphi) = \int p(m \mid u)\, p(u \mid
   \varphi)\, du` in closed form;
3. `Epochs`: the whole bound over what is left, the image's part of the model.

The probability of a target rests on blocks 1 and 2 alone. A model without a reader or a learned
prior, such as the published one, has block 3 only.

References:
    Semi-supervised learning with deep generative models (Kingma et al., 2014)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..data.batches import Batch, Batches
from ..errors import InputError
from ..io.validation import check_positive
from ..model import PSPGen
from ..model.distributions import EntrywiseMixture, NormalMixture, clamped
from ..process import Symmetry
from .checkpoint import History
from .descent import Descent, descend, robust

__all__ = ["PriorStage", "ReaderStage", "Stage", "Training", "read_properties"]

_ROWS, _IMAGES, _FEW, _SETTLING = 500, 300, 200, Descent(1e-2, 0.0)


@dataclass
class Training:
    """One training of a model, as its stages see it.

    Arguments:
        model: The model, trained in place.
        data: Training and validation rows, on the model's device.
        symmetries: What the data are multiplied by.
        seed: Seeds the order of the data and the noise.
        history: What the stages saw.
        held: The parameters that earlier stages have trained.
        checkpoint: Where the epochs keep their state; None for nowhere.
        resume: Whether to go on from there.
        progress: Whether to show a progress bar.
    """

    model: PSPGen
    data: Batches
    symmetries: tuple[Symmetry, ...] = ()
    seed: int = 0
    history: History = field(default_factory=History)
    held: list[nn.Parameter] = field(default_factory=list)
    checkpoint: Path | None = None
    resume: bool = False
    progress: bool = False


class Stage(ABC):
    """One block of the objective: which parameters it moves, and how.

    `name` is its name in the history; a `resumable` stage goes on from a checkpoint, which holds
    all that came before it.
    """

    name: ClassVar[str]
    resumable: ClassVar[bool] = False

    @abstractmethod
    def parameters(self, model: PSPGen) -> list[nn.Parameter]:
        """What it trains; nothing if the model has no such part."""

    @abstractmethod
    def run(self, training: Training) -> None:
        """Trains that in place."""


@dataclass(frozen=True)
class ReaderStage(Stage):
    r"""Block 1: the reader's :math:`\log q(m \mid x)` over all rows with an image and a known
    property; then the validation rows judge it (`Reader.judge`).

    Arguments:
        steps: The largest number of gradient steps.
        passes: The largest number of passes through the rows: few are not to be learned by heart.
        batch_size: Rows a step.
        descent: How the weights descend.
    """

    steps: int = 1500
    passes: int = 400
    batch_size: int = 50
    descent: Descent = Descent(3e-3, 0.05)
    name: ClassVar[str] = "reader"

    def __post_init__(self) -> None:
        check_positive(steps=self.steps, passes=self.passes, batch_size=self.batch_size)

    def parameters(self, model: PSPGen) -> list[nn.Parameter]:
        reader = model.encoder.reader
        return [] if reader is None else list(reader.parameters())

    def run(self, training: Training) -> None:
        model, rows = training.model, training.data.train
        reader, rows = model.encoder.reader, rows[rows.partly_labelled]
        if reader is None or not len(rows):
            return
        process = model.process
        reader.forget()

        def loss(batch: Batch) -> Tensor:
            batch = batch.augmented(training.symmetries, process)
            m = model.standardise_properties(batch.m)
            each = reader.log_prob(batch.x, m, model.standard_ends)  # type: ignore[arg-type]
            return -robust(each, m.unsqueeze(-1)).where(m.isfinite(), 0.0).sum(-1).mean()

        steps = min(self.steps, self.passes * math.ceil(len(rows) / self.batch_size))
        batches = rows.forever(self.batch_size)
        losses = descend(
            self.parameters(model), batches, loss, steps, self.descent, "property reader"
        )
        training.history.stages[self.name] = losses
        held = training.data.validation
        held = held[held.partly_labelled]
        m, held_m = (model.standardise_properties(one.m) for one in (rows, held))
        reader.judge(m, held.images, held_m, model.standard_ends)


@dataclass(frozen=True)
class PriorStage(Stage):
    r"""Block 2: :math:`\log p(m \mid \varphi)` over all rows.

    An unknown property is integrated out against what the reader sees in x,

    .. math:: \log \frac{1}{S} \sum_{s=1}^{S} \frac{p(m^{(s)} \mid \varphi)}{q(m^{(s)})}, \qquad
        m^{(s)} \sim q(m \mid x), \quad q(m) = \prod_j \mathbb{E}_x[q(m_j \mid x)],

    which is the likelihood of x if :math:`q(m \mid x) / q(m)` is that of m: an image that shows
    its properties teaches them, and one that shows nothing teaches nothing. Without an image an
    unknown property is integrated out in closed form.

    Arguments:
        steps: The largest number of gradient steps.
        passes: The largest number of passes through the rows and their images under the
            symmetries: few rows are not to be learned by heart.
        batch_size: Rows a step.
        draws: The draws S a row, one in each S-th part of the law of each property.
        drop: The share of each hidden layer that is left out at random.
        settling: The last share of the steps, in which only the biases of the last layer move, and
            `drop` is times the square of 200 over the number of rows if there are more: laws
            learned with units left out are too wide without that.
        descent: How the weights descend.
        afresh: Whether the components start at training rows, or where they are.
    """

    steps: int = 2000
    passes: int = 150
    batch_size: int = 250
    draws: int = 16
    drop: float = 0.2
    settling: float = 0.2
    descent: Descent = Descent(4e-3, 0.1)
    afresh: bool = True
    name: ClassVar[str] = "prior"

    def __post_init__(self) -> None:
        check_positive(
            steps=self.steps, passes=self.passes, batch_size=self.batch_size, draws=self.draws
        )
        for name, share in {"drop": self.drop, "settling": self.settling}.items():
            if not 0 <= share < 1:
                raise InputError(f"'{name}' is {share:g}; a share is at least 0 and less than 1.")

    def parameters(self, model: PSPGen) -> list[nn.Parameter]:
        known = model.encoder.noise > 0
        return list(model.prior.parameters()) if known else []

    def run(self, training: Training) -> None:
        model = training.model
        rows = _Aggregate.of(training, self.draws)
        if not len(rows.phi):
            raise InputError("'data' has no row that says anything of m.")
        if self.afresh:
            model.prior.start_at(rows.m[torch.randperm(len(rows.phi)), 0])
        ends = model.standard_ends
        size = min(self.batch_size, len(rows.phi))
        steps = min(self.steps, self.passes * math.ceil(len(rows.phi) / self.batch_size))
        less = self.drop * min(1.0, _FEW / len(training.data.train)) ** 2

        def loss_of(drop: float) -> Callable[[Tensor], Tensor]:
            def loss(index: Tensor) -> Tensor:
                m = rows.m[index]
                laws: Any = model.decoder_m.marginal(model.prior.laws(rows.phi[index], drop))  # type: ignore[arg-type]
                between = NormalMixture(laws.log_weights, laws.loc, laws.scale, ends).unsqueezed()
                each = robust(between.log_prob(m), m) - rows.log_weight[index]
                return -(each.logsumexp(-1) - math.log(m.shape[1])).mean(-1).sum()

            return loss

        whole, biases = self.parameters(model), model.prior.biases
        last = int(self.settling * steps) if biases else 0
        phases = (
            (whole, self.drop, steps - last, self.descent),
            (biases, less, last, _SETTLING),
        )
        losses = [
            descend(moved, rows.indices(size), loss_of(drop), count, how, "prior")
            for moved, drop, count, how in phases
            if count
        ]
        training.history.stages[self.name] = [loss for phase in losses for loss in phase]


@dataclass(frozen=True)
class _Aggregate:
    """Every row and its images under the symmetries, as the prior sees them.

    Arguments:
        phi: Standardised settings, with shape `(R, P)`.
        m: Standardised properties, with shape `(R, S, K)`: of unknown ones what the reader draws,
            or NaN without images.
        log_weight: The logarithm of q(m) over those drawn, with shape `(R, S)`.
    """

    phi: Tensor
    m: Tensor
    log_weight: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, training: Training, draws: int) -> _Aggregate:
        model, train = training.model, training.data.train
        reader = model.encoder.reader
        if reader is None:
            train = train[train.partly_labelled]
        reads = reader is not None and not bool(train.labelled.all())
        phi, m, laws = [], [], []
        for batch in train.ordered(_ROWS):
            for rows in batch.orbit(training.symmetries, model.process):
                phi.append(model.standardise(rows.phi))
                m.append(model.standardise_properties(rows.m))
                if reads:
                    laws.append(reader(rows.images).parts)  # type: ignore[misc]
        known = torch.cat(m).unsqueeze(1)
        if not reads:
            return cls(torch.cat(phi), known, known.new_zeros(known.shape[:2]))
        law = EntrywiseMixture(*(torch.cat(columns) for columns in zip(*laws, strict=True)))
        drawn = clamped(law.stratified(draws), model.standard_ends).movedim(0, 1)
        weight = _marginal(law, drawn, model.standard_ends)
        mask = known.isfinite().expand_as(drawn)
        return cls(
            torch.cat(phi),
            torch.where(mask, known, drawn),
            torch.where(mask, 0.0, weight).sum(-1),
        )

    def indices(self, size: int) -> Iterator[Tensor]:
        """Batches of rows in ever new orders."""
        while True:
            yield from torch.randperm(len(self.phi)).split(size)


def _marginal(law: EntrywiseMixture, value: Tensor, ends: Tensor) -> Tensor:
    """The logarithm of the mean of q(m_j | x) over some of the images, with the shape of `value`,
    `(R, S, K)`."""
    some = torch.randperm(len(law.loc))[:_IMAGES]
    weights, loc, scale = (part[some].movedim(0, 1).flatten(1) for part in law.parts)
    mean = EntrywiseMixture(weights, loc, scale)
    return torch.cat([mean.entries(part, ends) for part in value.split(_ROWS)])


@torch.no_grad()
def read_properties(model: PSPGen, rows: Batch) -> EntrywiseMixture | None:
    """The law q(u | x, m) of every row; None if the model's guide has no reader."""
    if model.encoder.reader is None:
        return None
    parts = []
    for batch in rows.ordered(_ROWS):
        law = model.latent_given(batch.x, batch.m, batch.phi).laws[0]
        parts.append(law.parts)
    columns = zip(*parts, strict=True)
    return EntrywiseMixture(*(torch.cat(column) for column in columns))


def symmetries_of(model: PSPGen, chosen: Sequence[Symmetry] | str) -> tuple[Symmetry, ...]:
    """The symmetries that a model's data are multiplied by: those its schema declares, or others
    that are told the order of its properties.

    Raises:
        InputError: If one does not fit the schema.
    """
    schema = model.schema
    if chosen == "declared":
        return schema.symmetries
    if isinstance(chosen, str):
        raise InputError(
            f"'symmetries' is {chosen!r}; give 'declared', or a sequence of symmetries."
        )
    for symmetry in chosen:
        symmetry.check_against(model.process)
        symmetry.check_schema(schema.transposed, schema.microstructure)
    return tuple(symmetry.for_order(schema.transposed) for symmetry in chosen)
