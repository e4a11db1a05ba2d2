"""The part of the page on probability over a process space of two parameters."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from markupsafe import Markup

from .. import plots
from ..data.triads import Triads
from ..design import frequency
from ..diagnosis.surfaces import model_surface, reference_surface, surface_error
from ..runs import Run
from .answers import Answer
from .figures import embed
from .sections import Section, number

__all__ = ["surface_sections"]

_TITLE = "Probability over the process space"
_HEADER = (
    "",
    "RMSE, noise taken off",
    "resolution",
    "RMSE as counted",
    "highest count of the grid",
    "P simulated at φ*",
)


def surface_sections(
    run: Run, answers: Sequence[Answer], reference: Triads | None
) -> list[Section]:
    """The model's surfaces, beside the simulated ones if there is a reference.

    There is nothing to draw without an answer, or over another number of parameters than two.
    """
    if len(run.schema.process) != 2 or not answers:
        return []
    if reference is None:
        return [_alone(run, answers)]
    return [_compared(run, answers, reference)]


def _alone(run: Run, answers: Sequence[Answer]) -> Section:
    size = (4.1 * len(answers), 3.3)
    figure, axes = plots.panels(1, len(answers), size)
    for ax, answer in zip(axes[0], answers, strict=True):
        surface = model_surface(run.model, answer.target)["probability"]
        plots.probability_surface(surface, phi=answer.phi, ax=ax, vmax=_top(surface))
        ax.set_title(answer.name)
    words = (
        "The model's P(m ∈ target | φ) over the process space; the star is φ*. Without a "
        "reference simulation nothing here says whether the surface is right away from φ*."
    )
    return Section(_TITLE, [words], embed(figure, "surfaces", words))


def _compared(run: Run, answers: Sequence[Answer], reference: Triads) -> Section:
    pictures, rows, counts = [], [], []
    for answer in answers:
        counted = reference_surface(reference, answer.target)
        axes = [counted[name].values for name in run.schema.process.names]
        model = model_surface(run.model, answer.target, axes)
        pictures.append(_triptych(answer, model["probability"], counted["probability"]))
        rows.append(_row(answer, model, counted))
        counts.append(counted["samples"].values)
    fewest, most = int(np.min(counts)), int(np.max(counts))
    each = f"{most}" if fewest == most else f"{fewest} to {most}"
    words = (
        f"The reference simulated {each} materials at each of {counts[0].size} settings. Left: "
        "the model. Middle: the fraction counted. Right: model minus simulation, counting noise "
        "included. The star is φ*."
    )
    more = (
        "The RMSE has the counting noise p (1 − p) / (n − 1) of every setting taken off; one "
        "below the resolution cannot be told from 0. The highest count is the largest of many "
        "noisy numbers and so lies above the true maximum on average."
    )
    return Section(_TITLE, [words, more], Markup("").join(pictures), _HEADER, rows)


def _top(*surfaces: xr.DataArray) -> float:
    """The top of a colour scale: the next tenth above every value."""
    highest = max(float(surface.max()) for surface in surfaces)
    return min(1.0, max(0.1, np.ceil(10 * highest) / 10))


def _triptych(answer: Answer, model: xr.DataArray, counted: xr.DataArray) -> Markup:
    figure, axes = plt.subplots(1, 3, figsize=(12.3, 3.3), layout="constrained")
    top = _top(model, counted)
    difference = (model - counted.values).assign_attrs(long_name="model − simulated")
    plots.probability_surface(model, phi=answer.phi, ax=axes[0], vmax=top)
    plots.probability_surface(counted, phi=answer.phi, ax=axes[1], vmax=top)
    plots.probability_difference(difference, phi=answer.phi, ax=axes[2])
    for ax, title in zip(axes, ("model", "simulated", "model − simulated"), strict=True):
        ax.set_title(f"{answer.name}: {title}", fontsize="medium")
    words = f"Model, simulated and difference surfaces of the probability of {answer.name}."
    return embed(figure, f"{answer.name}-surfaces", words)


def _row(answer: Answer, model: xr.Dataset, counted: xr.Dataset) -> list[str]:
    p, share, n = (
        table.values
        for table in (model["probability"], counted["probability"], counted["samples"])
    )
    error = surface_error(p, share, n)
    i, j = np.unravel_index(share.argmax(), share.shape)
    highest = frequency(round(share[i, j] * n[i, j]), int(n[i, j]))
    places = zip(counted["probability"].dims, (i, j), strict=True)
    where = ", ".join(f"{name} = {float(counted[name][k]):.3g}" for name, k in places)
    return [
        answer.name,
        f"{error.rmse:.3f}" + (" (not resolved)" if error.rmse <= error.resolution else ""),
        f"{error.resolution:.3f}",
        f"{error.raw:.3f}",
        f"{number(highest)} at {where}",
        "not simulated" if answer.simulated is None else number(answer.simulated),
    ]
