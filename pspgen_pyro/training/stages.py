r"""The stages of training: the blocks in which one objective is ascended.

With z0 = (u, w), u the properties, the objective over triads (φ, x, m) and unlabelled samples
(φ, x) is

.. math::
    \mathcal{J} = \sum_{\text{triads}} \mathcal{L}(x, m, \varphi)
        + \sum_{\text{pairs}} \mathcal{U}(x, \varphi)
        + \sum_{\text{triads}} \log q(m \mid x),

the bound for triads (Eq. 12), the bound for pairs (Eq. 18), and the discriminative term of
semi-supervised variational models. Its blocks are

1. `ReaderStage`: :math:`\sum_{\text{triads}} \log q(m \mid x)`, what an image says of its
   properties;
2. `PriorStage`: :math:`\sum_{\text{triads}} \log p(m \mid \varphi) + \sum_{\text{pairs}}
   \mathbb{E}_{q(m \mid x)} [\log p(m \mid \varphi)]`, the part of both bounds in which
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..data.batches import Batch, Batches
from ..errors import InputError
from ..io.validation import check_instance, check_whole
from ..model import PSPGen
from ..model.distributions import EntrywiseMixture
from ..model.reader import Reader
from ..process import Symmetry
from .checkpoint import History
from .descent import Descent, descend, robust
from .rows import Reading, Rows

__all__ = ["PriorStage", "ReaderStage", "Stage", "Training", "read_properties"]

_ROWS, _FEW, _MANY, _SETTLING = 500, 200, 2500, Descent(1e-2, 0.0)


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
        check_whole(steps=self.steps, passes=self.passes, batch_size=self.batch_size)

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

    An unknown property of a row with an image is drawn from :math:`q(m \mid x)`, anew in every
    step: the properties depend on the settings through the image alone, so that

    .. math:: p(m \mid \varphi) = \int q(m \mid x)\, p(x \mid \varphi)\, dx.

    Images that hide what the settings tell would make this law too wide. So the law is first
    learned from the known properties alone, and only properties that held-out images tell better
    than that are drawn (`History.read`). Others are integrated out in closed form. The reader is
    taken at its word here (`Reader.spread`): where it errs, its means scatter, and that widens the
    law already.

    The prior's members learn in pairs, one of each from a random half of the settings and the
    other from the rest. Their mean is about as good as one that learned from all, and how far they
    differ is what the data leave open: the estimate by half of n settings varies about that by all
    of them as much as that does about the truth. Each setting is new to one of a pair, so the
    number of passes is chosen by how well the members tell what they have not seen.

    Arguments:
        steps: The largest number of gradient steps.
        passes: The largest numbers of passes through the rows and their images under the
            symmetries, to choose from: few rows are not to be learned by heart. Where no member
            has an unseen row to judge by, the middle one.
        batch_size: Rows a step.
        drop: The share of each hidden layer that is left out at random, times 2,500 over the
            number of rows with a known property if there are more: many rows need no such help.
        settling: The last share of the steps, in which only the biases of the last layer move, and
            `drop` is times the square of 200 over the number of rows if there are more: laws
            learned with units left out are too wide without that.
        descent: How the weights descend.
        afresh: Whether the components start at training rows, or where they are.
    """

    steps: int = 2000
    passes: tuple[int, ...] = (50, 150, 450)
    batch_size: int = 250
    drop: float = 0.2
    settling: float = 0.2
    descent: Descent = Descent(4e-3, 0.01)
    afresh: bool = True
    name: ClassVar[str] = "prior"

    def __post_init__(self) -> None:
        object.__setattr__(self, "passes", tuple(self.passes))
        check_whole(steps=self.steps, passes=min(self.passes), batch_size=self.batch_size)
        for name, share in {"drop": self.drop, "settling": self.settling}.items():
            if not 0 <= share < 1:
                raise InputError(f"'{name}' is {share:g}; a share is at least 0 and less than 1.")

    def parameters(self, model: PSPGen) -> list[nn.Parameter]:
        known = model.encoder.noise > 0
        return list(model.prior.parameters()) if known else []

    def run(self, training: Training) -> None:
        model, train, history = training.model, training.data.train, training.history
        known = train[train.partly_labelled]
        if not len(known):
            raise InputError("'data' has no row that says anything of m.")
        history.stages[self.name] = self._learned(training, known)
        reader = model.encoder.reader
        if reader is not None and not bool(train.labelled.all()):
            read = _told_by_images(model, reader, training.data.validation)
            names = model.schema.property_names
            history.read = [name for name, told in zip(names, read.tolist(), strict=True) if told]
            if history.read:
                history.stages[self.name] = self._learned(training, train, Reading(reader, read))

    def _learned(
        self, training: Training, train: Batch, reading: Reading | None = None
    ) -> list[float]:
        """Learns from these rows, of which unknown properties may be read, in so many passes as
        tell best what a member has not seen."""
        model = training.model
        rows = Rows.of(model, train, training.symmetries, reading, afresh=self.afresh)
        batches = math.ceil(len(rows.phi) / self.batch_size)
        passes = sorted(self.passes)
        if not rows.judged:
            passes = [passes[len(passes) // 2]]
        counts = sorted({min(self.steps, one * batches) for one in passes})
        untrained, best, losses = model.prior.state_dict(), -math.inf, []
        untrained = {name: weights.clone() for name, weights in untrained.items()}
        kept = untrained
        for steps in counts:
            model.prior.load_state_dict(untrained)
            found = self._descended(training, rows, train, steps)
            told = rows.told_unseen() if len(counts) > 1 else 0.0
            if told > best:
                best, losses = told, found
                kept = {name: one.clone() for name, one in model.prior.state_dict().items()}
        model.prior.load_state_dict(kept)
        return losses

    def _descended(self, training: Training, rows: Rows, train: Batch, steps: int) -> list[float]:
        model = training.model
        if self.afresh:
            order = torch.randperm(len(rows.phi))
            left = rows.drawn(order)
            if rows.trend is not None:
                left = left - rows.trend[:, order].mean(0)
            model.prior.start_at(left, rows.spread)
        size = min(self.batch_size, len(rows.phi))
        drop = self.drop * min(1.0, _MANY / max(1, int(train.partly_labelled.sum())))
        less = self.drop * min(1.0, _FEW / len(train)) ** 2

        def loss_of(drop: float) -> Callable[[Tensor], Tensor]:
            def loss(index: Tensor) -> Tensor:
                each = rows.log_prob(index, rows.moved(index), rows.drawn(index), drop)
                return -(each * rows.weight[:, index]).mean(-1).sum()

            return loss

        whole, biases = self.parameters(model), model.prior.biases
        last = int(self.settling * steps) if biases else 0
        phases = (
            (whole, drop, steps - last, self.descent),
            (biases, less, last, _SETTLING),
        )
        losses = [
            descend(moved, rows.indices(size), loss_of(drop), count, how, "prior")
            for moved, drop, count, how in phases
            if count
        ]
        return [loss for phase in losses for loss in phase]


@torch.no_grad()
def _told_by_images(model: PSPGen, reader: Reader, held: Batch) -> Tensor:
    """Of which properties held-out images tell more than the settings do, with shape `(K,)`."""
    held, ends = held[held.partly_labelled], model.standard_ends
    m = model.standardise_properties(held.m)
    given: Any = model.decoder_m.marginal(model.prior.law(model.standardise(held.phi)))  # type: ignore[arg-type]
    of_settings = EntrywiseMixture(given.log_weights.unsqueeze(-2), given.loc.mT, given.scale.mT)
    of_images = reader.law_of(held.images)
    told = reader.favoured(of_images.entries(m, ends) - of_settings.entries(m, ends))
    return told & ~reader.blind.squeeze(-1)


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
    check_instance((list, tuple), "'declared' or a sequence of symmetries", symmetries=chosen)
    for symmetry in chosen:
        check_instance(Symmetry, "'declared' or a sequence of symmetries", symmetries=symmetry)
        symmetry.check_against(model.process)
        symmetry.check_schema(schema.transposed, schema.microstructure)
    return tuple(symmetry.for_order(schema.transposed) for symmetry in chosen)
