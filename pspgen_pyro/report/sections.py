"""The parts of the page that need no reference: answers, data and training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from markupsafe import Markup
from numpy.typing import NDArray

from .. import plots
from ..design import Estimate, Target, frequency
from ..diagnosis.surfaces import model_slices
from ..runs import Run, describe
from ..structure import phase_names
from .answers import Answer
from .figures import embed
from .materials import Materials, materials_at

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
    """A probability and its standard error, which is never shown as 0."""
    error = float(estimate.standard_error)
    shown = f"{error:.3f}" if error >= 0.0005 else "<0.001"
    return f"{float(estimate.value):.3f} ± {shown}"


def signed(difference: float, error: float) -> str:
    """A difference with its sign, and its standard error."""
    return f"{difference:+.3f} ± {error:.3f}".replace("-", "−")


def settings_of(run: Run, answer: Answer) -> str:
    """The setting φ* by the names of its parameters."""
    pairs = zip(run.model.process.names, answer.phi, strict=True)
    return ", ".join(f"{name} = {value:.4g}" for name, value in pairs)


def answer_section(
    run: Run, triads: xr.Dataset, answer: Answer, *, count: int, seed: int
) -> Section:
    """What the materials at φ* look like and do: real ones, generated ones, and the check."""
    real, generated = materials_at(run, answer.phi, triads, count=count, seed=seed)
    pictures = [_microstructures(answer, real, generated)]
    if answer.m is not None and answer.m.shape[1] >= 2:
        pictures.append(_cloud(run, triads, answer, answer.m))
    if len(run.model.process) != 2:
        pictures.append(_slices(run, answer))
    bound = f" At the bound {', '.join(answer.active_bounds)}." if answer.active_bounds else ""
    return Section(
        f"{answer.name[:1].upper()}{answer.name[1:]}: m ∈ {answer.target}",
        [
            f"φ*: {settings_of(run, answer)}. Ascent: {answer.status}; "
            f"{answer.starts_agreed} starts agree.{bound}",
            _caption(real, generated),
            faithfulness(real, generated, answer.target),
        ],
        Markup("").join(pictures),
        [
            "materials at φ*",
            *(f"{name} fraction" for name in real.fractions),
            "blocked, horizontal",
            "blocked, vertical",
            "P of their m in target",
        ],
        [_material_row(kind, answer.target) for kind in (real, generated)],
    )


def _caption(real: Materials, generated: Materials) -> str:
    pixels = (
        "every pixel void where its Bernoulli mean exceeds 0.5. Light is void, dark is solid."
        if real.phases == 2
        else "every pixel its most probable phase. From dark to light: "
        f"{', '.join(phase_names(real.phases))}; blocked: {phase_names(real.phases)[-1]} does not "
        "percolate."
    )
    words = (
        f"Top row: {real.source}. Bottom row: {generated.source}, that is z0 from its prior and "
        f"{pixels}"
    )
    if np.isnan(generated.m).all():
        return f"{words} The simulator is none of the study's, so generated images are not solved."
    return (
        f"{words} Below each image: its m (horizontal, vertical) by the property solver, bold if "
        "inside the target. Every answer has the same draws of z0; where the guide reads "
        "properties off an image, each is one of 64, chosen by them."
    )


def faithfulness(real: Materials, generated: Materials, box: Target) -> str:
    """In what the generated materials differ from the real ones, by two standard errors."""
    pairs = zip(_statistics(real, box), _statistics(generated, box), strict=False)
    wrong = [
        f"{name} ({number(mine)} instead of {number(truth)})"
        for (name, truth), (_, mine) in pairs
        if abs(mine.value - truth.value) > 2 * np.hypot(mine.standard_error, truth.standard_error)
    ]
    if not wrong:
        return "In the quantities of the table the generated materials agree with the real ones."
    return (
        f"The generated materials disagree with the real ones in: {', '.join(wrong)}. They are "
        "not to be taken for materials of this setting; the model's P does not pass through its "
        "images."
    )


def _statistics(kind: Materials, box: Target) -> list[tuple[str, Estimate]]:
    count = len(kind.x)
    found = [
        (
            f"{name} fraction",
            Estimate(np.asarray(part.mean()), np.asarray(part.std() / count**0.5)),
        )
        for name, part in kind.fractions.items()
    ]
    for name, share in zip(("horizontal", "vertical"), kind.blocked, strict=True):
        found.append((f"blocked, {name}", frequency(round(share * count), count)))
    known = ~np.isnan(kind.m).any(axis=1)
    if not known.any():
        return found
    hits = box.contains(kind.m[known]).sum()
    return [*found, ("P of their m in target", frequency(hits, int(known.sum())))]


def _microstructures(answer: Answer, real: Materials, generated: Materials) -> Markup:
    label = "simulated" if "chain" in real.source else "training"
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
    if np.isnan(m).any():
        return ""
    return ", ".join(f"{value:.2f}" for value in m).replace("-", "−").replace("inf", "∞")


def _cloud(run: Run, triads: xr.Dataset, answer: Answer, m: NDArray[np.float64]) -> Markup:
    names = run.model.property_names
    figure, ax = plots.panel(4.0, 4.1)
    plots.simulated_cloud(m, answer.target, names, background=triads["m"].values, ax=ax)
    words = (
        f"Simulated properties at the answer for {answer.name}, inside and outside the target; "
        "grey: the training data."
    )
    return embed(figure, f"{answer.name}-cloud", words)


def _material_row(kind: Materials, box: Target) -> list[str]:
    found = [number(estimate) for _, estimate in _statistics(kind, box)]
    missing = len(kind.fractions) + 3 - len(found)
    return [f"{kind.source} ({len(kind.x)})", *found, *["not solved"] * missing]


def _slices(run: Run, answer: Answer) -> Markup:
    process = run.model.process
    labels = plots.parameter_labels(process) if len(process) < 5 else process.names
    lines = model_slices(run.model, answer.target, answer.phi)
    figure = plots.probability_slices(
        {label: lines[name] for label, name in zip(labels, process.names, strict=True)},
        dict(zip(labels, answer.phi, strict=True)),
    )
    words = "The model's probability along each process parameter through φ*, the others held."
    return embed(figure, f"{answer.name}-slices", words)


def data_section(run: Run, triads: xr.Dataset, answers: Sequence[Answer]) -> Section:
    """The training properties with the targets, and how often which direction percolates."""
    phases = run.model.dims.phases
    last = phase_names(phases)[-1]
    words = [
        "The properties of the triads, and the targets. A direction along which "
        + ("the void" if phases == 2 else last)
        + " does not percolate is blocked"
        + ("; what is left of its k belongs to the discretisation." if phases == 2 else ".")
    ]
    here = describe(triads)
    if here != run.data:
        words.append(
            f"These are not the triads that the run was trained on: {here} here, {run.data} there."
        )
    m, fold = triads["m"].values, triads["fold"].values
    boxes = {answer.name.removeprefix("target "): answer.target for answer in answers}
    picture = Markup("")
    if m.shape[1] > 1:
        picture = embed(plots.property_cloud(triads, boxes), "training-cloud", words[0])
    shares = [
        (f"{last} percolates, {name}", value)
        for name, value in zip(
            ("horizontal", "vertical"), triads["percolates"].values.mean(axis=0), strict=False
        )
    ]
    shares += [(f"in {answer.name}", answer.target.contains(m).mean()) for answer in answers]
    shares += [
        (f"blocked at φ* of {answer.name}, {name} (simulated)", value)
        for answer in answers
        for name, value in answer.blocked.items()
    ]
    rows = [["triads, training + validation", f"{(fold == 0).sum()} + {(fold == 1).sum()}"]]
    rows += [[name, f"{100 * value:.1f} %"] for name, value in shares]
    return Section("Training data", words, picture, ["", ""], rows)


def training_section(run: Run) -> Section:
    """What the stages did, and the terms of the objective in every epoch."""
    history, words = run.history, []
    if history.stages:
        steps = " and ".join(f"{name}, {len(loss)} steps" for name, loss in history.stages.items())
        words.append(f"Trained first, and left alone by the epochs: {steps}.")
    if not len(history):
        return Section("Training", [*words, "The run has no epochs."])
    words.append(
        f"{len(history)} epochs; {history.status}. The weights kept are those of epoch "
        f"{history.best_epoch + 1}, which has the lowest validation loss."
    )
    picture = embed(plots.training_curves(history), "training", " ".join(words))
    return Section("Training", words, picture)
