r"""The two stages of training that need no image decoder: the property code, and its prior.

Where labels are dearer than pairs, m is best learned through x. A model whose guide has a property
code u (`ConnectivityEncoder`) is therefore trained in three steps, each the ascent of one part of
the objective with the others held fixed:

1. :math:`\max\ \mathbb{E}_{q(c \mid x)}[\log p(m \mid c)] - \beta_c\,\mathrm{KL}(q(c \mid x)
   \,\|\, \mathcal{N}(0, I))` over the *labelled* triads: what the code c of x says about m;
2. :math:`\max\ \mathbb{E}_q[\log p(u \mid \varphi)]` over *all* pairs (φ, x): how often the
   process makes such x. This is the only part of the objective in which the prior appears, and its
   optimum is the aggregate of the guide. Where u is the code, :math:`q = q(c \mid x)`; where u is
   the property itself, u = m in a triad and :math:`q(u \mid x) = \int p(m = u \mid c)\, q(c \mid
   x)\, dc` in a bare pair;
3. the whole objective over the image's part of the model, by `fit`.

The probability of a target then rests on steps 1 and 2 alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..data.batches import TriadTensors
from ..errors import InputError, TrainingError
from ..model import PSPGen
from ..process.symmetries import Symmetry, augment, orbit

__all__ = [
    "PriorStage",
    "PropertyStage",
    "code_of",
    "fit_prior",
    "has_code",
    "learn_code",
    "reader_of",
    "refit_decoder",
]

_BATCH = 500


@dataclass(frozen=True)
class PropertyStage:
    r"""How the property code and its decoder are learned.

    Arguments:
        steps: Gradient steps.
        batch_size: Labelled triads a step.
        refit: Further steps of the decoder alone, with the encoder held fixed: they cost little,
            and take out of it the noise that the last steps of the encoder left.
        learning_rate: AdamW's rate at the start of a cosine.
        beta: The weight :math:`\beta_c` of the divergence from the standard normal: it keeps the
            code on the scale of 1 and costs next to nothing a nat.
        weight_decay: AdamW's decay of the weights.
        clip: The largest norm of the gradient.
    """

    steps: int = 1500
    batch_size: int = 50
    refit: int = 800
    learning_rate: float = 3e-3
    beta: float = 0.01
    weight_decay: float = 1e-4
    clip: float = 5.0


@dataclass(frozen=True)
class PriorStage:
    """How the prior is fitted to the aggregate of the guide.

    Arguments:
        steps: Gradient steps.
        passes: The largest number of passes through the pairs and their images under the
            symmetries: few pairs are not to be learned by heart.
        batch_size: Pairs a step.
        learning_rate: AdamW's rate at the start of a cosine.
        weight_decay: AdamW's decay of the weights.
        clip: The largest norm of the gradient.
    """

    steps: int = 2000
    passes: int = 70
    batch_size: int = 250
    learning_rate: float = 4e-3
    weight_decay: float = 0.1
    clip: float = 5.0


def has_code(model: PSPGen) -> bool:
    """Whether the stages are for this model: the first entries of z0 are a property code, or
    properties that the encoder reads off one, and the property decoder reads them alone."""
    size = getattr(model.encoder, "code_size", None)
    return size is not None and getattr(model.decoder_m, "reads", None) == size


def learn_code(
    model: PSPGen,
    triads: TriadTensors,
    stage: PropertyStage,
    *,
    symmetries: Sequence[Symmetry] = (),
    seed: int = 0,
) -> list[float]:
    """Trains q(c | x) and p(m | c) in place on the labelled rows (step 1).

    Returns:
        The loss of every step, in nats a triad (of standardised properties).

    Raises:
        InputError: If the model has no property code, or no row has properties.
        TrainingError: If the loss or a gradient becomes NaN or infinite; the weights are then
            those of the step before.
    """
    if not has_code(model):
        raise InputError(
            "'model' has no property code; build it with a ConnectivityEncoder and a "
            "CodedProperty that reads it: in the encoder, beside a PropertyItself, or as the "
            "property decoder."
        )
    known = triads.only_labelled()
    if not len(known):
        raise InputError("'triads' has no row with properties; label some of them.")
    reader = reader_of(model)
    parameters = [*model.encoder.code.parameters(), *reader.parameters()]
    size = min(stage.batch_size, len(known))

    def batches() -> Iterator[tuple[Tensor, ...]]:
        while True:
            for batch in known.shuffled(size):
                if len(batch[0]) == size:
                    yield augment(symmetries, model.process, *batch)

    def loss(phi: Tensor, x: Tensor, m: Tensor) -> Tensor:
        code = model.encoder.hidden_given(x)
        loc, scale = code.mean, code.stddev
        law = reader(code.rsample(), model.latent_of_process(phi).detach())
        divergence = (0.5 * (loc.square() + scale.square() - 1) - scale.log()).sum(-1)
        standard = (m - model.m_loc) / model.m_scale
        return (stage.beta * divergence - law.log_prob(standard)).mean()

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        losses = _descend(parameters, batches(), loss, stage.steps, stage, "property code")
        return losses + refit_decoder(model, known, stage, symmetries)


def reader_of(model: PSPGen) -> nn.Module:
    """The network p(m | c): the encoder's own if it reads the properties, else the decoder."""
    own = model.encoder.reading
    return model.decoder_m if own is None else own


def refit_decoder(
    model: PSPGen, triads: TriadTensors, stage: PropertyStage, symmetries: Sequence[Symmetry] = ()
) -> list[float]:
    """Trains p(m | c) alone in place, on the codes of all labelled rows.

    Returns:
        The loss of every step, in nats a triad (of standardised properties).
    """
    known, rows, reader = triads.only_labelled(), [], reader_of(model)
    with torch.no_grad():
        for batch in known.ordered(_BATCH):
            for phi, x, m in orbit(symmetries, model.process, *batch[:3]):
                q = model.encoder.hidden_given(x)
                standard = (m - model.m_loc) / model.m_scale
                rows.append((q.mean, q.stddev, model.latent_of_process(phi), standard))
    loc, scale, z1, standard = (torch.cat(columns) for columns in zip(*rows, strict=True))

    def batches() -> Iterator[tuple[Tensor, ...]]:
        while True:
            for index in torch.randperm(len(loc)).split(20 * stage.batch_size):
                yield loc[index], scale[index], z1[index], standard[index]

    def loss(loc: Tensor, scale: Tensor, z1: Tensor, standard: Tensor) -> Tensor:
        drawn = loc + scale * torch.randn_like(loc)
        return -reader(drawn, z1).log_prob(standard).mean()

    parameters = list(reader.parameters())
    if not parameters:
        return []
    return _descend(parameters, batches(), loss, stage.refit, stage, "property decoder")


def fit_prior(
    model: PSPGen,
    triads: TriadTensors,
    stage: PriorStage = PriorStage(),  # noqa: B008
    *,
    symmetries: Sequence[Symmetry] = (),
    seed: int = 0,
) -> list[float]:
    """Fits the prior p(z0 | φ) in place to the aggregate of the guide over all rows (step 2).

    It serves any model whose prior has parameters. Entries of z0 that the prior leaves standard
    normal are not looked at.

    Arguments:
        model: The model.
        triads: Triads and bare pairs.
        stage: Its settings.

    Other arguments:
        symmetries: The rows are multiplied by the elements of those that have finitely many.
        seed: Seeds the order and the noise.

    Returns:
        The loss of every step, in nats a pair, summed over the networks of the prior.

    Raises:
        InputError: If the prior has no parameters.
        TrainingError: As for `learn_code`.
    """
    parameters = model.prior.own_parameters() if hasattr(model.prior, "entries") else []
    if not parameters:
        raise InputError(
            "'model' has a prior without parameters; build it with a GaussianPrior, MixturePrior "
            "or FlowPrior."
        )
    rows = _aggregate(model, triads, symmetries, model.prior.entries)

    def batches() -> Iterator[tuple[Tensor, ...]]:
        while True:
            for index in torch.randperm(len(rows[0])).split(stage.batch_size):
                yield tuple(column[index] for column in rows)

    read = _reads(model)

    def loss(phi: Tensor, loc: Tensor, scale: Tensor, m: Tensor) -> Tensor:
        drawn = loc + scale * torch.randn_like(loc)
        if read:
            with torch.no_grad():
                drawn = torch.where(
                    m.isfinite().all(-1, keepdim=True), m, model.encoder.read(drawn)
                )
        laws = model.prior.laws(phi)
        return -torch.stack([law.log_prob(drawn) for law in laws]).mean(1).sum()

    steps = min(stage.steps, stage.passes * math.ceil(len(rows[0]) / stage.batch_size))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _descend(parameters, batches(), loss, steps, stage, "prior")


@torch.no_grad()
def code_of(model: PSPGen, triads: TriadTensors) -> tuple[Tensor, Tensor]:
    """The mean and standard deviation of q(u | x) in every row, or of q(u | x, m) in labelled rows
    if u is m, with shapes `(N, U)`."""
    laws = [
        model.encoder.code_given(batch[1], (batch[2] - model.m_loc) / model.m_scale)
        for batch in triads.ordered(_BATCH)
    ]
    return torch.cat([law.mean for law in laws]), torch.cat([law.stddev for law in laws])


@torch.no_grad()
def _aggregate(
    model: PSPGen, triads: TriadTensors, symmetries: Sequence[Symmetry], entries: int
) -> tuple[Tensor, ...]:
    """Of every row and its images under the symmetries: standardised φ, the mean and standard
    deviation of the first entries in q or of the code that they are read off, standardised m."""
    only_code = entries <= getattr(model.encoder, "code_size", 0)
    parts, first = [], slice(None) if _reads(model) else slice(0, entries)
    for batch in triads.ordered(_BATCH):
        for phi, x, m in orbit(symmetries, model.process, *batch[:3]):
            q = model.encoder.hidden_given(x) if only_code else model.latent_given(x, m, phi)
            standard = (m - model.m_loc) / model.m_scale
            parts.append((model.standardise(phi), q.mean[:, first], q.stddev[:, first], standard))
    return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))


def _reads(model: PSPGen) -> bool:
    """Whether the prior's entries are properties that the encoder reads off its code."""
    own = getattr(model.encoder, "reading", None) is not None
    return own and model.prior.entries == model.encoder.code_size


def _descend(
    parameters: list[nn.Parameter],
    batches: Iterator[tuple[Tensor, ...]],
    loss: Callable[..., Tensor],
    steps: int,
    stage: PropertyStage | PriorStage,
    name: str,
) -> list[float]:
    """AdamW along a cosine; stops before a step that would spoil the weights."""
    optimiser = torch.optim.AdamW(parameters, stage.learning_rate, weight_decay=stage.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    losses = []
    for step in range(steps):
        optimiser.zero_grad(set_to_none=True)
        value = loss(*next(batches))
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, stage.clip)
        if not (value.isfinite() and norm.isfinite()):
            raise TrainingError(
                f"the {name} had loss {value.item()} and a gradient of norm {norm.item()} in step "
                f"{step}; its weights are those of the step before; try a smaller learning rate."
            )
        optimiser.step()
        schedule.step()
        losses.append(value.item())
    return losses
