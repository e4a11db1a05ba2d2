r"""Several models on one reference: a table, and their differences with paired errors.

Two models see the same materials, so the standard error of the difference of their scores,

.. math:: \bar d = \frac{1}{N} \sum_i \bigl(s_i^{(1)} - s_i^{(2)}\bigr),

is that of the paired differences, clustered by φ; it is mostly far smaller than what the two
errors in the table would suggest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..design import Estimate
from ..errors import InputError
from .calibration import Scores, clustered_mean
from .reference_materials import ReferenceMaterials

__all__ = ["model_table", "paired_differences", "table_notes"]

_LEVEL = 0.9


def model_table(scores: Sequence[Scores], seconds: Mapping[str, float] | None = None) -> str:
    """One row a model; numbers with their standard errors, "–" where a model has none.

    Arguments:
        scores: The scores of the models on one reference.

    Other arguments:
        seconds: CPU seconds of fitting, by name, where known.

    Raises:
        InputError: If there is no model.
    """
    if not scores:
        raise InputError("'scores' is empty; give the scores of at least one model.")
    targets, counted = list(scores[0].targets), scores[0].rmse is not None
    properties = list(dict.fromkeys(name for one in scores for name in one.coverage))
    # without replicates no surface is counted, and the Brier score of each target is left
    what = "RMSE" if counted else "Brier"
    head = ["model", *(f"{what} {name}" for name in targets), *["mean RMSE"] * counted]
    head += ["mean Brier", "energy score", "NLL", *(f"inside 90 % {name}" for name in properties)]
    rows = [[*head, "CPU s"]]
    for one in scores:
        found = [one.targets[name] for name in targets]
        numbers = [target.rmse if counted else target.brier for target in found]
        numbers += [*[one.rmse] * counted, one.brier, one.energy, one.nll]
        numbers += [one.coverage.get(name, {}).get(_LEVEL) for name in properties]
        spent = (seconds or {}).get(one.name)
        rows.append([one.name, *map(shown, numbers), "–" if spent is None else f"{spent:.1f}"])
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(w) if j == 0 else cell.rjust(w) for j, (cell, w) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def paired_differences(
    scores: Sequence[Scores], reference: ReferenceMaterials
) -> dict[str, dict[str, Estimate]]:
    """The mean scores of every model but the first minus those of the first.

    Arguments:
        scores: The scores of the models.
        reference: The reference that all of them were scored on.

    Returns:
        By model, by "brier", "energy" and "nll" as far as both have them; positive where the
        first is better.
    """
    found: dict[str, dict[str, Estimate]] = {}
    for one in scores[1:]:
        found[one.name] = {}
        for key in one.each.keys() & scores[0].each.keys():
            difference = one.each[key] - scores[0].each[key]
            group = reference.group if key == "brier" else reference.group[reference.rows]
            found[one.name][key] = clustered_mean(difference, group)
    return found


def table_notes(scores: Sequence[Scores], reference: ReferenceMaterials) -> list[str]:
    """What the table needs to be read by: the resolution of the RMSE, and paired differences."""
    notes = []
    surfaces = {name: one.surface for name, one in scores[0].targets.items()}
    parts = [f"{s.resolution:.3f} ({name})" for name, s in surfaces.items() if s is not None]
    if parts:
        notes.append(f"An RMSE below {', '.join(parts)} cannot be told from 0.")
    words = {"brier": "Brier", "energy": "energy score", "nll": "NLL"}
    for name, gaps in paired_differences(scores, reference).items():
        parts = [
            f"{word} {float(gaps[key].value):+.4f} ± {float(gaps[key].standard_error):.4f}"
            for key, word in words.items()
            if key in gaps
        ]
        notes.append(f"{name} minus {scores[0].name}, paired: {', '.join(parts) or '–'}")
    return notes


def shown(estimate: Estimate | None) -> str:
    """A score with its standard error; "–" for none. An RMSE of 0 is no reason for exponents."""
    if estimate is None:
        return "–"
    value, error = float(estimate.value), float(estimate.standard_error)
    return f"{value:.3f} ± {error:.3f}" if value == 0 and error >= 5e-4 else f"{estimate}"
