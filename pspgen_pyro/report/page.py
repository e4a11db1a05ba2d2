"""The page: every number and picture of a run, its answers and its reference in one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from ..data.triads import Triads
from ..design import Box
from ..errors import InputError
from ..io.provenance import environment
from ..runs import Run, described_data
from ..study import case
from .answers import Answer, judge, summarise
from .comparison import surface_sections
from .figures import themed
from .sections import answer_section, data_section, number, settings_of, signed, training_section

__all__ = ["page_template", "write_page"]

_MADE = (
    "split",
    "replicates",
    "n",
    "gamma",
    "filter",
    "void_fraction",
    "fractions",
    "smoothing",
    "conductivities",
    "versions",
)


def page_template() -> Template:
    """The template of a page of sections; a name that is missing is an error."""
    return Environment(
        loader=PackageLoader("pspgen_pyro", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("report.html")


def write_page(
    run: Run,
    triads: Triads,
    answers: Sequence[Answer] = (),
    reference: Triads | None = None,
    *,
    commands: Sequence[str] = (),
    materials: int = 100,
    seed: int = 0,
) -> str:
    """The report as HTML that needs nothing but itself.

    Arguments:
        run: The trained model with its story.
        triads: The triads it was trained on.
        answers: Answers to design questions, read by `read_answer`.
        reference: Triads on a grid of φ, to compare surfaces with.

    Other arguments:
        commands: The commands that make it all again, one a line.
        materials: How many materials to simulate and to generate at every φ*.
        seed: Seeds them.

    Raises:
        InputError: If the triads or the reference do not belong to the run, or the reference is
            no grid of two parameters.
    """
    run.check_against(triads)
    if reference is not None:
        _check_reference(run, reference)
    answers = _titled(answers, run)
    with themed():
        sections = [answer_section(run, triads, a, count=materials, seed=seed) for a in answers]
        sections += surface_sections(run, answers, reference)
        sections += [data_section(run, triads, answers), training_section(run)]
    return page_template().render(
        case=run.data.get("case", ", ".join(run.schema.property_names)),
        summary=summarise(answers),
        answers=[_row(run, answer) for answer in answers],
        sections=sections,
        provenance=_provenance(run, triads, reference),
        commands=commands,
    )


def _check_reference(run: Run, reference: Triads) -> None:
    try:
        run.check_against(reference)
    except InputError as error:
        raise InputError(str(error).replace("'triads'", "'reference'", 1)) from error
    if len(reference.schema.process) != 2:
        raise InputError(
            f"'reference' has {len(reference.schema.process)} process parameters, but surfaces "
            "can be compared over two only; leave it out."
        )


def _titled(answers: Sequence[Answer], run: Run) -> list[Answer]:
    """Calls each answer by the name that the study gives its target, where it has one alone."""
    try:
        targets = case(run.data["case"]).targets
    except (InputError, KeyError, TypeError):
        return list(answers)
    known = {str(Box(*region)): f"target {name}" for name, region in targets.items()}
    boxes = [str(answer.target) for answer in answers]
    return [
        replace(answer, name=known[box]) if box in known and boxes.count(box) == 1 else answer
        for answer, box in zip(answers, boxes, strict=True)
    ]


def _row(run: Run, answer: Answer) -> dict[str, str]:
    verdict = judge(answer)
    simulated, difference = "not simulated", "–"
    if answer.simulated is not None:
        count = "" if answer.m is None else f" ({len(answer.m)} materials)"
        simulated = number(answer.simulated) + count
        difference = signed(verdict.difference, verdict.error)
    return {
        "name": answer.name,
        "target": answer.target.event,
        "phi": settings_of(run, answer),
        "model": number(answer.model),
        "simulated": simulated,
        "together": "–" if answer.together is None else number(answer.together),
        "difference": difference,
        "level": verdict.level,
        "sentence": verdict.sentence,
    }


def _provenance(run: Run, triads: Triads, reference: Triads | None) -> list[tuple[str, str]]:
    facts, attributes = environment(), triads.data.attrs
    rows = [("schema", line) for line in str(run.schema).splitlines()]
    told = {name: attributes[name] for name in _MADE if name in attributes}
    rows += [(f"data: {key}", value) for key, value in (run.data | told).items()]
    if reference is not None:
        about = described_data(reference)
        rows += [(f"reference: {key}", value) for key, value in about.items()]
    hidden = ("command", "triads", "out")
    parts = [part for part in run.training.values() if isinstance(part, dict)]
    training = [pair for part in parts for pair in part.items()]
    # an option that nobody gave has no value, which is not to say that it was off
    rows += [(f"training: {k}", v) for k, v in training if k not in hidden and v is not None]
    here = ("python", "system", "processor", "cores", "threads", "versions")
    rows += [(f"report: {key}", facts[key]) for key in here]
    return [(key, _text(value)) for key, value in rows]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return "none" if value is None else str(value)
