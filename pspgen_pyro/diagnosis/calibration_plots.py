"""Pictures of the scores of one model or of several side by side."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ..errors import InputError
from ..plots import (
    CYCLE,
    PALETTE,
    panels,
    parameter_labels,
    probability_difference,
    probability_surface,
)
from .calibration import Scores
from .reference_materials import ReferenceMaterials

__all__ = [
    "plot_central_coverage",
    "plot_density_scores",
    "plot_probabilities",
    "plot_reliability",
    "plot_scores",
]

_MARKERS = "osD^vP*X"


def plot_reliability(scores: Sequence[Scores]) -> Figure:
    """The fraction observed over the P predicted, ± 2 standard errors; one panel a target.

    Arguments:
        scores: The scores of models on one reference.

    Raises:
        InputError: If there is no model or no target.
    """
    names = _targets(scores)
    figure, axes = panels(1, len(names), (3.4 * len(names), 3.5))
    for ax, name in zip(axes[0], names, strict=True):
        ax.plot([0, 1], [0, 1], color=PALETTE["grey"], lw=1)
        for i, one in enumerate(scores):
            curve = one.targets[name].reliability
            ax.errorbar(
                curve.predicted,
                curve.observed,
                2 * curve.standard_error,
                label=one.name,
                **_style(i),
            )
        ax.set(xlabel="P predicted", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.set_title(_titled(name))
    axes[0][0].set_ylabel("fraction observed")
    if len(scores) > 1:
        axes[0][-1].legend(fontsize="x-small", frameon=False)
    return figure


def plot_probabilities(scores: Sequence[Scores], reference: ReferenceMaterials) -> Figure:
    """P over the process space, counted and predicted, one row a target: surfaces where the
    reference is a grid of two parameters, else the fraction counted over the P predicted.

    Arguments:
        scores: The scores of models on one reference; of a single one the difference is drawn too.
        reference: The reference they were scored on.

    Raises:
        InputError: If there is no model or no target.
    """
    names = _targets(scores)
    if reference.axes is None or len(reference.axes) != 2:
        return _pairs(scores, reference)
    columns = 1 + len(scores) + (len(scores) == 1)
    figure, grid = panels(len(names), columns, (3.3 * columns, 2.7 * len(names)))
    for row, name in zip(grid, names, strict=True):
        counted = scores[0].targets[name].observed
        surfaces = {"reference": counted} | {s.name: s.targets[name].predicted for s in scores}
        top = min(1.0, np.ceil(10 * max(v.max() for v in surfaces.values())) / 10)
        for ax, (title, values) in zip(row, surfaces.items(), strict=False):
            probability_surface(reference.surface(values), ax=ax, vmax=max(0.1, top))
            ax.set_title(f"{_titled(name)}: {title}", fontsize="small")
        if len(scores) == 1:
            gap = reference.surface(scores[0].targets[name].predicted - counted)
            probability_difference(gap.assign_attrs(long_name="model − reference"), ax=row[-1])
            row[-1].set_title(f"{_titled(name)}: difference", fontsize="small")
    return figure


def plot_central_coverage(scores: Sequence[Scores]) -> Figure:
    """The share of materials in the model's central intervals minus the level, ± 2 standard
    errors; one panel a property.

    Raises:
        InputError: If no model draws m.
    """
    known = _with_draws(scores)
    names = list(known[0].coverage)
    figure, axes = panels(1, len(names), (3.4 * len(names), 3.0), sharey=True)
    for ax, name in zip(axes[0], names, strict=True):
        ax.axhline(0, color=PALETTE["grey"], lw=1)
        for i, one in enumerate(scores):
            if name not in one.coverage:
                continue
            levels = np.array(list(one.coverage[name]))
            found = list(one.coverage[name].values())
            off = np.array([e.value for e in found]) - levels
            error = np.array([e.standard_error for e in found])
            ax.errorbar(
                100 * levels + 0.4 * i, 100 * off, 200 * error, label=one.name, **_style(i)
            )
        ax.set(title=f"m {name}", xlabel="level of the central interval, %")
    axes[0][0].set_ylabel("inside minus level, points")
    if len(known) > 1:
        axes[0][-1].legend(fontsize="x-small", frameon=False)
    return figure


def plot_density_scores(scores: Scores, reference: ReferenceMaterials) -> Figure:
    """Where in the process space a model predicts m well: the mean energy score and the mean
    negative log-likelihood at every setting, over the first two parameters.

    Raises:
        InputError: If the model draws no m.
    """
    _with_draws([scores])
    group = reference.group[reference.rows]
    present, index = np.unique(group, return_inverse=True)
    phi = reference.phi[present]
    labels = parameter_labels(reference.process)
    # squares that touch on a square grid of as many settings
    side = min(12.0, max(3.0, 190 / len(phi) ** 0.5))
    titles = {"energy": "energy score", "nll": "negative log-likelihood, nats"}
    shown = {key: title for key, title in titles.items() if key in scores.each}
    figure, axes = panels(1, len(shown), (4.2 * len(shown), 3.2))
    for ax, (key, title) in zip(axes[0], shown.items(), strict=True):
        mean = np.bincount(index, weights=scores.each[key]) / np.bincount(index)
        second = phi[:, 1] if phi.shape[1] > 1 else mean
        points = ax.scatter(phi[:, 0], second, c=mean, s=side**2, cmap="viridis", marker="s")
        figure.colorbar(points, ax=ax, label=title, shrink=0.9)
        ax.set(xlabel=labels[0], ylabel=labels[1] if phi.shape[1] > 1 else title)
    return figure


def plot_scores(scores: Sequence[Scores]) -> Figure:
    """The mean scores of several models, ± 2 standard errors; lower is better.

    Raises:
        InputError: If there is no model.
    """
    if not scores:
        raise InputError("'scores' is empty; give the scores of at least one model.")
    means_of = {
        "RMSE of P": [one.rmse for one in scores],
        "Brier score": [one.brier for one in scores],
        "energy score": [one.energy for one in scores],
        "negative log-likelihood, nats": [one.nll for one in scores],
    }
    figure, axes = plt.subplots(
        1, 4, figsize=(11, 0.35 * len(scores) + 1.2), sharey=True, layout="constrained"
    )
    for ax, (title, means) in zip(axes, means_of.items(), strict=True):
        for i, found in enumerate(means):
            if found is not None:
                ax.errorbar(found.value, i, xerr=2 * found.standard_error, **_style(i))
        ax.set(title=title, ylim=(len(scores) - 0.5, -0.5))
        ax.title.set_fontsize("medium")
        ax.locator_params(axis="x", nbins=4)
    # no noise makes the root of a mean square negative
    axes[0].set_xlim(left=0)
    axes[0].set_yticks(range(len(scores)), [one.name for one in scores])
    return figure


def _pairs(scores: Sequence[Scores], reference: ReferenceMaterials) -> Figure:
    names = _targets(scores)
    figure, axes = panels(1, len(names), (3.4 * len(names), 3.5))
    few = reference.samples.min() < 2
    for ax, name in zip(axes[0], names, strict=True):
        ax.plot([0, 1], [0, 1], color=PALETTE["grey"], lw=1)
        for i, one in enumerate(scores):
            found = one.targets[name]
            if few:
                ax.hist(found.predicted, np.linspace(0, 1, 26), histtype="step", color=_colour(i),
                        density=True, label=one.name)  # fmt: skip
            else:
                ax.scatter(found.predicted, found.observed, s=6, alpha=0.4, lw=0,
                           color=_colour(i), label=one.name)  # fmt: skip
        ax.set(title=_titled(name), xlabel="P predicted, one point a setting", xlim=(0, 1))
    axes[0][0].set_ylabel("density over the settings" if few else "fraction counted")
    axes[0][-1].legend(fontsize="x-small", frameon=False)
    return figure


def _targets(scores: Sequence[Scores]) -> list[str]:
    if not scores or not scores[0].targets:
        raise InputError("'scores' holds no target; score at least one model on one target.")
    return list(scores[0].targets)


def _titled(name: str) -> str:
    """A target in a heading; the study's have but a letter."""
    return name if name.startswith("target") else f"target {name}"


def _with_draws(scores: Sequence[Scores]) -> list[Scores]:
    known = [one for one in scores if one.coverage]
    if not known:
        raise InputError("'scores' holds no model that draws m; ranks and coverage need draws.")
    return known


def _colour(i: int) -> str:
    return CYCLE[i % len(CYCLE)]


def _style(i: int) -> dict[str, object]:
    return {
        "color": _colour(i),
        "marker": _MARKERS[i % len(_MARKERS)],
        "ms": 4,
        "lw": 1.2,
        "capsize": 2,
    }
