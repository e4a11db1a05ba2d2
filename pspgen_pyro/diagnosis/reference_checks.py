"""The part of a checkup that needs reference materials: scores of m, and a look at x."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..design import Materials, Target
from ..plots import training_curves
from ..runs import Run
from .calibration import Scores, score
from .calibration_plots import (
    plot_central_coverage,
    plot_density_scores,
    plot_probabilities,
    plot_reliability,
)
from .checked import Checkup
from .generated import generated_check, names_of, reconstruction_check, spread_settings
from .generated_plots import plot_generated, plot_reconstruction, show_generated
from .model_table import shown
from .reference_materials import ReferenceMaterials

if TYPE_CHECKING:
    from ..data.triads import Triads

__all__ = ["check_images", "check_probabilities", "materials_of"]

_SETTINGS = 4
_IMAGES = 1000
_COUNT = 200
_LARGE = 64 * 64
_SHOWN_LEVEL = 0.9


def materials_of(triads: Triads, reference: ReferenceMaterials) -> Materials:
    """The materials on which draws and densities are scored, with their images."""
    rows = reference.rows
    index, data = reference.index[rows], triads.data
    x = data["x"].isel(sample=index).values if "x" in data else None
    return Materials(reference.phi[reference.group[rows]], x, reference.m[rows])


def check_probabilities(
    found: Checkup,
    run: Run,
    reference: ReferenceMaterials,
    targets: Mapping[str, Target],
    *,
    draws: int = 199,
    seed: int = 0,
) -> Scores:
    """Scores the run's predictions of m and adds numbers, rows and figures."""
    from ..rivals import PSPGenPredictor

    scores = score(PSPGenPredictor(run.members[0]), reference, targets, draws=draws, seed=seed)
    found.content["reference"] = {
        "settings": len(reference.phi),
        "materials": len(reference.m),
        "materials_scored_one_by_one": len(reference.rows),
        **scores.to_json(),
    }
    if targets:
        found.figures["reliability"] = plot_reliability([scores])
        found.figures["probabilities"] = plot_probabilities([scores], reference)
    found.figures["central_coverage"] = plot_central_coverage([scores])
    found.figures["density_scores"] = plot_density_scores(scores, reference)
    if len(run.histories[0]):
        found.figures["training"] = training_curves(run.histories[0])
    found.content["later"] += score_rows(scores)
    return scores


def check_images(
    found: Checkup,
    run: Run,
    triads: Triads,
    materials: Materials,
    group: NDArray[np.int64],
    *,
    seed: int = 0,
) -> None:
    """Reconstructs and generates images and adds numbers, rows and figures."""
    part = np.linspace(0, len(group) - 1, min(_IMAGES, len(group))).astype(int)
    some = materials.rows(part)
    back = reconstruction_check(run.members[0], some, group[part])
    images = run.schema.microstructure
    count = _COUNT if images is None or images.pixels <= _LARGE else _COUNT // 4
    settings = spread_settings(materials.phi, _SETTINGS)
    made = generated_check(run, triads, settings, count=count, seed=seed)
    titles = names_of(made, run.members[0].process.names)
    found.content["reconstruction"] = back.to_json()
    found.content["generated"] = [one.to_json() for one in made]
    found.figures["reconstruction"] = plot_reconstruction(back)
    found.figures["generated"] = plot_generated(made, titles, run.schema)
    found.figures["generated_images"] = show_generated(made, titles)
    rows = found.content["later"]
    accuracy = float(back.accuracy.value)
    rows.append(
        (
            "pixels right after encode, decode",
            f"{100 * accuracy:.1f} %",
            f"majority class {100 * back.majority:.1f} %",
        )
    )
    for one, title in zip(made, titles, strict=True):
        words = "" if one.p_value is None else f"m: p = {one.p_value:.2g} of equal laws"
        numbers = f"void {float(one.void.value):+.3f}, C(r) off by {one.correlation:.3f}"
        rows.append((f"generated, {title}", numbers, words))


def score_rows(scores: Scores) -> list[tuple[str, str, str]]:
    """What was scored, the number found and how to take it."""
    rows = []
    for name, one in scores.targets.items():
        if one.surface is not None and one.rmse is not None:
            close = one.surface.rmse <= one.surface.resolution
            word = "below the resolution" if close else "resolution"
            word += f" {one.surface.resolution:.3f}"
            rows.append((f"RMSE of P({name})", shown(one.rmse), word))
        least = "" if one.irreducible is None else f"{one.irreducible:.3f} at best"
        rows.append((f"Brier score of P({name})", shown(one.brier), least))
    if scores.energy is not None and scores.nll is not None:
        rows.append(("energy score of m, units of m", shown(scores.energy), ""))
        rows.append(("negative log-likelihood of m, nats", shown(scores.nll), ""))
    for name, levels in scores.coverage.items():
        inside = levels[_SHOWN_LEVEL]
        off = float(inside.value) - _SHOWN_LEVEL
        word = "nominal"
        if abs(off) > 3 * inside.standard_error:
            word = "intervals too wide" if off > 0 else "intervals too narrow"
        rows.append((f"inside the central 90 %, {name}", shown(inside), word))
    return rows
