"""The page of a study: tables beside the published values, and the figures with their captions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ..io.provenance import environment
from ..report.page import page_template
from ..report.sections import Section
from .plan import CAPTIONED, MODELS
from .published import PUBLISHED, WHERE
from .tables import PAPER

__all__ = ["write_all", "write_page"]

_HEADLINES = ("argmax", "printed", "R1, mean", "R1, mode", "R1, best", "R5, argmax")
_SIGNS = str.maketrans("-", "−")


def write_page(results: Mapping[str, Any]) -> str:
    """The page of one part as HTML; its pictures lie beside it in `figures/`."""
    return _rendered(results["title"], _summary(results), list(_sections(results)))


def write_all(settings: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """The page of the whole study: the published values beside ours, and links to the parts."""
    sections = []
    for name, results in parts.items():
        link = Markup('<a href="{}/index.html">All numbers and figures of this part</a>')
        first = next((one for one in _sections(results)), None)
        words = [_summary(results), link.format(name)]
        table = {} if first is None else {"header": first.header, "rows": first.rows}
        sections.append(Section(CAPTIONED[name], words, **table))
    return _rendered("the study", f"The study at scale {settings['scale']:g}.", sections)


def _rendered(title: str, summary: str, sections: Sequence[Section]) -> str:
    facts = environment()
    rows = [(key, str(facts[key])) for key in ("command", "python", "system", "processor")]
    rows.append(("versions", ", ".join(f"{k} {v}" for k, v in facts["versions"].items())))
    return page_template().render(
        case=title, summary=summary, answers=[], sections=sections, provenance=rows, commands=()
    )


def _summary(results: Mapping[str, Any]) -> str:
    sizes, settings = results["sizes"], results["study"]
    scale = settings["scale"]
    small = "" if scale == 1 else f" This is a small study, of scale {scale:g}, not the paper's."
    return (
        f"{sizes['settings']} training settings of {sizes['replicates']} materials, "
        f"{sizes['seeds']} seed(s), {sizes['fresh']} fresh simulations at every φ*, at most "
        f"{sizes['epochs']} epochs of the published recipe.{small} P is in per cent, ± one "
        "standard error; over seeds it holds their spread and that of the simulations."
    )


def _sections(results: Mapping[str, Any]) -> Iterator[Section]:
    for preset, told in results["problems"].items():
        if "beta" in told:
            yield _beta_section(told, preset)
        yield _published_section(told, preset)
        for target in told["targets"]:
            yield _target_section(results, preset, target)
        yield _notes_section(told, preset)
    for one in results["figures"].values():
        picture = Markup('<img src="{}" alt="{}" style="max-width: 100%">').format(
            one["file"], one["caption"]
        )
        yield Section(one["caption"].partition(".")[0], [one["caption"]], picture)


def _published_section(told: Mapping[str, Any], preset: str) -> Section:
    """The printed φ* and P, P here at the same φ, and φ* and P of every model."""
    targets, name = list(told["targets"]), told["case"]
    header = ["preset", "φ* of", *[f"{t}: {w}" for t in targets for w in ("φ*", "P", "printed")]]
    rows = []
    for model, rule in _answers(told):
        if rule not in _HEADLINES:
            continue
        cells = [preset, _called(model, rule)]
        for target in targets:
            cells += _cells(told, name, model, rule, target)
        rows.append(cells)
    words = (
        f"The paper's numbers are those of its {WHERE[name]}. P is counted among fresh "
        f"simulations by this package's generator (preset {preset}), at the paper's φ as at ours; "
        "“printed” is what the paper's own simulator gave at the paper's φ."
    )
    return Section(f"Published values beside ours ({preset})", [words], Markup(""), header, rows)


def _cells(
    told: Mapping[str, Any], case: str, model: str, rule: str, target: str
) -> tuple[str, str, str]:
    mean = _mean(told, model, rule, target)
    if mean is None:
        return "–", "–", "–"
    printed = "–"
    for method, words in PAPER.items():
        if words == model:
            printed = f"{PUBLISHED[case][method][target].percent:g}"
    return _phi(mean["phi"]), _percent(mean, "truth"), printed


def _target_section(results: Mapping[str, Any], preset: str, target: str) -> Section:
    """Every model and rule for one target, in full."""
    told = results["problems"][preset]
    header = [
        "model",
        "seeds",
        "φ* of the first seed",
        "P by the model",
        "P by simulation",
        "|difference|",
        "regret, points",
        "RMSE of P",
        "calls",
        "CPU s",
    ]
    rows = []
    for model, rule in _answers(told):
        if (mean := _mean(told, model, rule, target)) is None:
            continue
        wanted = (model, rule, target)
        row = next(r for r in told["rows"] if (r["model"], r["rule"], r["target"]) == wanted)
        rows.append(
            [
                _called(model, rule),
                str(mean["seeds"]),
                _phi(mean["phi"]),
                _percent(mean, "own") + _interval(row),
                _percent(mean, "truth"),
                _percent(mean, "gap"),
                _number(mean["regret"], mean["regret_error"], 1),
                _number(mean["rmse"], mean["rmse_error"], 3),
                str(row.get("calls", "–")),
                _seconds(results, preset, model),
            ]
        )
    return Section(
        f"Target {target} ({preset}): {told['targets'][target]}", [], Markup(""), header, rows
    )


def _notes_section(told: Mapping[str, Any], preset: str) -> Section:
    """How every training went."""
    rows = []
    for step, note in told["notes"].items():
        if "epochs" in note:
            words = f"{note['epochs']} epochs, the best is {note['best_epoch']}; {note['status']}"
        elif "convergence" in note:
            numbers = ", ".join(f"{k} {v:.2g}" for k, v in note["convergence"].items())
            kept = "converged" if note["converged"] else "not converged"
            words = f"{kept} ({numbers}); {note['scores']} principal components"
        elif "failed" in note:
            words = f"failed, so it has no row: {note['failed']}"
        else:
            continue
        rows.append([step, words])
    return Section(f"How training went ({preset})", [], Markup(""), ["model and seed", ""], rows)


def _beta_section(told: Mapping[str, Any], preset: str) -> Section:
    header = ["preset", "β", "total loss", "reconstruction", "of m alone", "KL", "RMSE of P"]
    rows = [
        [
            preset,
            f"{row['beta']:g}",
            *(_number(row[name], None, 2) for name in ("total", "reconstruction", "m", "kl")),
            _number(row["rmse"], row["rmse_error"], 3),
        ]
        for row in told["beta"]
    ]
    words = (
        "Validation losses in nats a sample at the best epoch of each β, the divergence counted "
        "once. The paper's curves have their minimum at β = 2."
    )
    return Section("Appendix B", [words], Markup(""), header, rows)


def _answers(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The models and rules in the order of the rows."""
    return list(dict.fromkeys((one["model"], one["rule"]) for one in told["means"]))


def _mean(told: Mapping[str, Any], model: str, rule: str, target: str) -> Any:
    wanted = (model, rule, target)
    return next((m for m in told["means"] if (m["model"], m["rule"], m["target"]) == wanted), None)


def _called(model: str, rule: str) -> str:
    words = MODELS.get(model, model)
    return words if rule in ("argmax", "printed") else f"{words} ({rule})"


def _seconds(results: Mapping[str, Any], preset: str, model: str) -> str:
    """The mean CPU seconds of training and design over the seeds."""
    told = results["problems"][preset]
    label = f"{told['case']}-{preset}-{model}-".replace(" ", "-")
    costs = [one for step, one in results["times"].items() if step.startswith(label)]
    spent = [one["fit"] + one["design"] for one in costs if "fit" in one]
    return f"{sum(spent) / len(spent):.0f}" if spent else "–"


def _phi(phi: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.3g}" for value in phi) + ")"


def _percent(mean: Mapping[str, Any], name: str) -> str:
    value, error = mean[name], mean[f"{name}_error"]
    if value is None:
        return "–"
    return _number(100 * value, None if error is None else 100 * error, 1)


def _interval(row: Mapping[str, Any]) -> str:
    """The 90 % interval of the first seed, if the model gives one."""
    if row.get("low") is None:
        return ""
    return f" (first seed, 90 %: {100 * row['low']:.1f} to {100 * row['high']:.1f})"


def _number(value: float | None, error: float | None, digits: int) -> str:
    if value is None:
        return "–"
    least = 10.0**-digits
    shown = f"<{least:g}" if (error or 0) < least / 2 else f"{error:.{digits}f}"
    told = f" ± {shown}" if error else ""
    return f"{value:.{digits}f}{told}".translate(_SIGNS)
