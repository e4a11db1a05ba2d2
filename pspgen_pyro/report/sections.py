"""The parts of the page that need no reference: answers, data and training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from .. import plots
from ..design import Estimate, Target, frequency
from ..diagnosis.solved import SolvedImages, materials_at
from ..diagnosis.surfaces import model_slices
from ..runs import Run, chain_of, described_data
from ..structure import phase_names
from .answers import Answer
from .figures import embed

if TYPE_CHECKING:
    from ..data.triads import Triads

__all__ = [
    "Section",
    "answer_section",
    "data_section",
    "faithfulness",
    "number",
    "settings_of",
    "signed",
    "training_section",
]

_SHOWN = 6
_MANY = 4


@dataclass(frozen=True)
class Section:
    """A headed part of the page.

    Arguments:
        title: The heading.
        sentences: What is to be read before the picture.
        picture: SVG.
        header: The heads of the table's columns.
        rows: The rows of the table.
    """

    title: str
    sentences: Sequence[str] = ()
    picture: Markup = Markup("")
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def number(estimate: Estimate) -> str:
    """A probability with its interval, or its standard error, which is never shown as 0."""
    if estimate.low is not None:
        return str(estimate)
    error = float(estimate.standard_error)
    shown = f"{error:.3f}" if error >= 0.0005 else "<0.001"
    return f"{float(estimate.value):.3f} ± {shown}"


def signed(difference: float, error: float) -> str:
    """A difference with its sign, and its standard error."""
    return f"{difference:+.3f} ± {error:.3f}".replace("-", "−")


def settings_of(run: Run, answer: Answer) -> str:
    """The setting φ* by the names and units of its parameters."""
    return run.schema.process.shown(answer.phi)


def answer_section(run: Run, triads: Triads, answer: Answer, *, count: int, seed: int) -> Section:
    """What the materials at φ* look like and do: real ones, generated ones, and the check."""
    bound = f" At the bound {', '.join(answer.active_bounds)}." if answer.active_bounds else ""
    words = [
        f"φ*: {settings_of(run, answer)}. Ascent: {answer.status}; "
        f"{answer.starts_agreed} starts agree.{bound}",
        *(f"Why the model is unsure: {reason}." for reason in answer.unsure),
    ]
    pictures, header, rows = [], [], []
    if run.schema.microstructure is None:
        words.append("The triads have no images, so none are shown.")
    else:
        kinds = materials_at(run, answer.phi, triads, count=count, seed=seed)
        words += [_caption(run, *kinds), faithfulness(*kinds, answer.target)]
        pictures.append(_microstructures(run, answer, *kinds))
        header, rows = _material_table(kinds, answer.target)
    if answer.m is not None:
        pictures.append(_cloud(run, triads, answer, answer.m))
    pictures.append(_slices(run, answer))
    title = f"{answer.name[:1].upper()}{answer.name[1:]}: {answer.target.event}"
    return Section(title, words, Markup("").join(pictures), header, rows)


def _caption(run: Run, real: SolvedImages, generated: SolvedImages) -> str:
    words = (
        f"Top row: {real.source}. Bottom row: {generated.source}, that is z0 from its prior and "
        f"{_pixels(real)}"
    )
    if len(run.members) > 1:
        words += " The ensemble's first member drew them."
    if np.isnan(generated.m).all():
        return f"{words} There is no solver for generated images, so they have no properties."
    return (
        f"{words} Below each image: its m ({', '.join(run.schema.property_names)}) by the "
        "property solver, bold if inside the target. Every answer has the same draws of z0; where "
        "the guide reads properties off an image, each is one of 64, chosen by them."
    )


def _pixels(real: SolvedImages) -> str:
    if real.images.grey:
        return "every pixel its most probable grey value."
    if real.images.phases == 2:
        return "every pixel void where its mean exceeds 0.5. Light is void, dark is solid."
    names = phase_names(int(real.images.phases))
    blocked = f"; blocked: {names[-1]} does not percolate" if real.blocked else ""
    return f"every pixel its most probable phase. From dark to light: {', '.join(names)}{blocked}."


def faithfulness(real: SolvedImages, generated: SolvedImages, target: Target) -> str:
    """In what the generated materials differ from the real ones, by two standard errors."""
    truths, mine = _statistics(real, target), _statistics(generated, target)
    wrong = [
        f"{name} ({number(mine[name])} instead of {number(truth)})"
        for name, truth in truths.items()
        if name in mine
        and abs(mine[name].value - truth.value)
        > 2 * np.hypot(mine[name].standard_error, truth.standard_error)
    ]
    if not wrong:
        return "In the quantities of the table the generated materials agree with the real ones."
    return (
        f"The generated materials disagree with the real ones in: {', '.join(wrong)}. They are "
        "not to be taken for materials of this setting; the model's P does not pass through its "
        "images."
    )


def _statistics(kind: SolvedImages, target: Target) -> dict[str, Estimate]:
    count = len(kind.x)
    found = {
        name: Estimate(np.asarray(part.mean()), np.asarray(part.std() / count**0.5))
        for name, part in kind.fractions.items()
    }
    for name, share in kind.blocked.items():
        found[f"blocked, {name}"] = frequency(round(share * count), count)
    known = ~np.isnan(kind.m).any(axis=1)
    if known.any():
        hits = target.contains(kind.m[known]).sum()
        found["P of their m in target"] = frequency(hits, int(known.sum()))
    return found


def _material_table(
    kinds: Sequence[SolvedImages], target: Target
) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of the table of statistics."""
    found = [_statistics(kind, target) for kind in kinds]
    names = list(dict.fromkeys(name for one in found for name in one))
    rows = []
    for kind, one in zip(kinds, found, strict=True):
        cells = [number(one[name]) if name in one else "not solved" for name in names]
        rows.append([f"{kind.source} ({len(kind.x)})", *cells])
    return ["materials at φ*", *names], rows


def _microstructures(
    run: Run, answer: Answer, real: SolvedImages, generated: SolvedImages
) -> Markup:
    label = "training" if chain_of(run) is None else "simulated"
    kinds = {label: real, "generated": generated}
    figure = plots.show_microstructures(
        {label: kind.x[:_SHOWN] for label, kind in kinds.items()},
        notes={label: [_note(m) for m in kind.m[:_SHOWN]] for label, kind in kinds.items()},
    )
    inside = [answer.target.contains(kind.m[:_SHOWN]) for kind in kinds.values()]
    for ax, chosen in zip(figure.axes, np.concatenate(inside), strict=True):
        ax.xaxis.label.set_fontweight("bold" if chosen else "normal")
    words = f"Real and generated microstructures at the answer for {answer.name}."
    return embed(figure, f"{answer.name}-structures", words)


def _note(m: NDArray[np.float64]) -> str:
    if np.isnan(m).any() or len(m) > _MANY:
        return ""
    return ", ".join(f"{value:.2f}" for value in m).replace("-", "−").replace("inf", "∞")


def _cloud(run: Run, triads: Triads, answer: Answer, m: NDArray[np.float64]) -> Markup:
    figure, ax = plots.panel(4.0, 4.1)
    behind = triads.data["m"].values
    plots.simulated_cloud(m, answer.target, run.schema, background=behind, ax=ax)
    words = f"Simulated properties at the answer for {answer.name}, inside and outside the target"
    words += "; grey: the training data." if m.shape[1] > 1 else "."
    return embed(figure, f"{answer.name}-cloud", words)


def _slices(run: Run, answer: Answer) -> Markup:
    process = run.schema.process
    labels = plots.parameter_labels(process) if len(process) < 5 else process.names
    lines = model_slices(run.model, answer.target, answer.phi)
    figure = plots.probability_slices(
        {label: lines[name] for label, name in zip(labels, process.names, strict=True)},
        dict(zip(labels, answer.phi, strict=True)),
        at=answer.model,
        settings=dict(zip(labels, process.settings, strict=True)),
    )
    words = (
        "The model's probability along each process parameter through φ*, the others held"
        + (", but for those that a sum binds to it" if process.constraints else "")
        + ", with its 90 % interval; in colour at φ*, without what the search puts on."
    )
    return embed(figure, f"{answer.name}-slices", words)


def data_section(run: Run, triads: Triads, answers: Sequence[Answer]) -> Section:
    """The training properties with the targets, and, where the data say so, how often which
    direction percolates."""
    data, m = triads.data, triads.data["m"].values
    words = ["The properties of the triads, and the targets." + _percolation_words(triads)]
    here = described_data(triads)
    if here != run.data:
        words.append(
            f"These are not the triads that the run was trained on: {here} here, {run.data} there."
        )
    if m.shape[1] > _MANY:
        left = ", ".join(run.schema.property_names[_MANY:])
        words.append(f"The picture leaves out {left}.")
    boxes = {answer.name.removeprefix("target "): answer.target for answer in answers}
    picture = embed(plots.property_cloud(triads, boxes), "training-cloud", words[0])
    fold = data["fold"].values
    rows = [["triads, training + validation", f"{(fold == 0).sum()} + {(fold == 1).sum()}"]]
    for name, column in zip(run.schema.property_names, m.T, strict=True):
        if unknown := int(np.isnan(column).sum()):
            rows.append([f"{name} unknown", f"{unknown} triads"])
    rows += [[name, f"{100 * share:.1f} %"] for name, share in _shares(triads, answers)]
    return Section("Training data", words, picture, ["", ""], rows)


def _last_phase(triads: Triads) -> str:
    """The phase whose percolation the data record; empty if they do not."""
    images = triads.schema.microstructure
    if images is None or images.grey or "percolates" not in triads.data:
        return ""
    return phase_names(int(images.phases))[-1]


def _percolation_words(triads: Triads) -> str:
    last = _last_phase(triads)
    if not last:
        return ""
    words = f" A direction along which the {last} does not percolate is blocked"
    if "formulation" in triads.data.attrs and last == "void":
        return f"{words}; what is left of its k belongs to the discretisation."
    return f"{words}."


def _shares(triads: Triads, answers: Sequence[Answer]) -> list[tuple[str, float]]:
    shares, last = [], _last_phase(triads)
    if last:
        open_ = triads.data["percolates"].values.mean(axis=0)
        pairs = zip(triads.schema.images.directions, open_, strict=True)
        shares += [(f"{last} percolates, {name}", value) for name, value in pairs]
    m = triads.data["m"].values
    known = m[~np.isnan(m).any(axis=1)]
    if len(known):
        shares += [(f"in {one.name}", one.target.contains(known).mean()) for one in answers]
    return shares + [
        (f"blocked at φ* of {answer.name}, {name} (simulated)", value)
        for answer in answers
        for name, value in answer.blocked.items()
    ]


def training_section(run: Run) -> Section:
    """What the stages did, and the terms of the objective in every epoch."""
    history, words = run.histories[0], []
    if len(run.members) > 1:
        words.append(f"An ensemble of {len(run.members)}; this is its first member.")
    if history.stages:
        steps = " and ".join(f"{name}, {len(loss)} steps" for name, loss in history.stages.items())
        words.append(f"Trained first, and left alone by the epochs: {steps}.")
    words += filter(None, [history.of_images()])
    if not len(history):
        return Section("Training", [*words, "The run has no epochs."])
    words.append(
        f"{len(history)} epochs; {history.status}. The weights kept are those of epoch "
        f"{history.best_epoch + 1}, which has the lowest validation loss."
    )
    picture = embed(plots.training_curves(history), "training", " ".join(words))
    return Section("Training", words, picture)
