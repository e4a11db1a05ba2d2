r"""Answers of `pspgen design`, read back and judged.

The model's :math:`P`, with all that training could not know, has the standard deviation
:math:`s_1`, the simulated one the standard error :math:`s_2`; they disagree if

.. math:: |P_1 - P_2| > 2 \sqrt{s_1^2 + s_2^2},

and by much if they also differ by more than 0.10.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..design import Estimate, Target, probability, target_from_json
from ..errors import DataError, InputError
from ..io.validation import Record, read

if TYPE_CHECKING:
    from ..runs import Run

__all__ = ["Answer", "Verdict", "judge", "read_answer", "summarise"]

MUCH = 0.10


@dataclass(frozen=True)
class Answer:
    r"""The answer to one design question.

    Arguments:
        name: What to call it.
        target: What was asked.
        phi: The settings :math:`\varphi^*`, with shape `(P)`.
        model: The model's probability.
        simulated: The fraction of fresh simulations in the target, or None.
        m: The simulated properties, with shape `(N, K)`, or None.
        blocked: The fraction of the simulations whose void (of more than two phases: whose last
            phase) does not percolate, by direction.
        status: How the ascent ended.
        starts_agreed: How many starts ended at the same probability.
        active_bounds: The parameters at a bound.
        settings: The options of the command, where it recorded them.
        promised: The height of the model's surface there.
        together: What model and simulations say together, or None.
        unsure: Why the model is unsure.
    """

    name: str
    target: Target
    phi: NDArray[np.float64]
    model: Estimate
    simulated: Estimate | None = None
    m: NDArray[np.float64] | None = None
    blocked: dict[str, float] = field(default_factory=dict)
    status: str = ""
    starts_agreed: str = ""
    active_bounds: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    promised: float = float("nan")
    together: Estimate | None = None
    unsure: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Whether the model's number and the physics agree, and in which words.

    Arguments:
        level: "unchecked", "agree", "differ" (by more than two standard errors) or "differ much"
            (by over 0.10 too).
        difference: Model minus simulation; NaN if unchecked.
        error: The standard error of the difference; NaN if unchecked.
        sentence: The verdict in words.
    """

    level: Literal["unchecked", "agree", "differ", "differ much"]
    difference: float
    error: float
    sentence: str


def read_answer(path: str | Path, run: Run) -> Answer:
    """Reads the JSON file of one answer.

    Arguments:
        path: The file written by `pspgen design --out`.
        run: The run that it should be an answer of.

    Raises:
        DataError: If it is no such file.
        InputError: If it was made with another run.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"'designs' has {str(path)!r}, which cannot be read: {error.strerror}."
        ) from error
    except ValueError as error:
        raise DataError(
            f"'designs' has {str(path)!r}, which is no answer of `pspgen design` ({error}); "
            "make one with `pspgen design RUN --target=... --out FILE`."
        ) from error
    stored = read(_StoredAnswer, content, str(path))
    if stored.target is None:
        raise InputError(
            f"'designs' has {str(path)!r}, an answer of {len(stored.targets)} targets; a page "
            "shows one target an answer, so design for each."
        )
    names, data, process = tuple(stored.phi), stored.data, run.schema.process
    if names != process.names or data != run.data:
        raise InputError(
            f"'designs' has {str(path)!r}, an answer of a run on {data} with the parameters "
            f"{', '.join(names)}, but this run was trained on {run.data} with "
            f"{', '.join(process.names)}; design with this run."
        )
    answer = _answer(Path(path).stem, stored, process.unlabelled(stored.phi))
    answer.target.check_against(len(run.schema.properties))
    _check_probability(path, answer, run)
    return answer


def _check_probability(path: str | Path, answer: Answer, run: Run) -> None:
    """Two runs on the same data have the same description, but not the same probabilities."""
    held = answer.settings.get("tolerance")
    here = probability(run.model, answer.target, answer.phi, tolerance=held)
    told = answer.promised
    error = np.hypot(here.standard_error, answer.model.standard_error)
    if abs(here.value - told) > 0.01 + 5 * error:
        raise InputError(
            f"'designs' has {str(path)!r}, whose model gives P = {told:.3f} "
            f"where this run's gives {float(here.value):.3f}; design with this run."
        )


class _StoredEstimate(Record):
    """An estimate as an answer holds it."""

    probability: float
    standard_error: float
    low: float | None = None
    high: float | None = None
    promised: float | None = None
    aleatoric: float | None = None
    epistemic: float | None = None
    members: tuple[float, ...] = ()
    samples: int | None = None

    def estimate(self) -> Estimate:
        low, high = (None if end is None else np.array(end) for end in (self.low, self.high))
        return Estimate(np.array(self.probability), np.array(self.standard_error), low, high)


class _StoredAnswer(Record):
    """The file that `pspgen design --out` writes."""

    target: dict[str, Any] | None = None
    targets: tuple[dict[str, Any], ...] = ()
    tolerance: str | None = None
    cost: float | None = None
    window: dict[str, Any] | None = None
    properties: tuple[str, ...]
    phi: dict[str, float | str]
    model: _StoredEstimate
    starts_agreed: str
    active_bounds: tuple[str, ...]
    sensitivity: dict[str, Any]
    share: float | None
    status: str
    cpu_seconds: float
    data: dict[str, Any]
    settings: dict[str, Any] = {}
    unsure: tuple[str, ...] = ()
    simulated: _StoredEstimate | None = None
    together: _StoredEstimate | None = None
    difference: float | None = None
    blocked_fraction: dict[str, float] = {}
    simulated_m: tuple[tuple[float, ...], ...] | None = None


def _answer(name: str, stored: _StoredAnswer, phi: NDArray[np.float64]) -> Answer:
    m = stored.simulated_m
    return Answer(
        name=name,
        target=target_from_json(stored.target),
        phi=phi,
        model=stored.model.estimate(),
        promised=stored.model.probability
        if stored.model.promised is None
        else stored.model.promised,
        simulated=None if stored.simulated is None else stored.simulated.estimate(),
        together=None if stored.together is None else stored.together.estimate(),
        unsure=stored.unsure,
        m=None if m is None else np.array(m, dtype=float).reshape(len(m), -1),
        blocked=stored.blocked_fraction,
        status=stored.status,
        starts_agreed=stored.starts_agreed,
        active_bounds=stored.active_bounds,
        settings=stored.settings,
    )


def judge(answer: Answer) -> Verdict:
    """Compares the model's number with the simulated one.

    Example:
        >>> from pspgen_pyro.design import Box
        >>> estimates = [Estimate(np.array(p), np.array(0.02)) for p in (0.80, 0.60)]
        >>> judge(Answer("L", Box((0,), (1,)), np.zeros(2), *estimates)).level
        'differ much'
    """
    if answer.simulated is None:
        words = "Not checked: without fresh simulations only the model speaks for this number."
        return Verdict("unchecked", float("nan"), float("nan"), words)
    difference = float(answer.model.value - answer.simulated.value)
    error = float(np.hypot(answer.model.deviation, answer.simulated.standard_error))
    size = (
        f"differ by {abs(difference):.3f}, which is {abs(difference) / error:.1f} standard errors "
        f"of the difference ({error:.3f})"
    )
    if abs(difference) <= 2 * error:
        return Verdict("agree", difference, error, f"They agree: the two {size}.")
    promise = "too much" if difference > 0 else "too little"
    level, limit = ("differ much", "") if abs(difference) > MUCH else ("differ", "no ")
    words = (
        f"They disagree: the model promises {promise}. The two {size}, and by {limit}more than "
        f"{MUCH:.2f}."
    )
    advice = " Rely on the simulated number." if level == "differ much" else ""
    return Verdict(level, difference, error, words + advice)


def summarise(answers: Sequence[Answer]) -> str:
    """The verdicts on all answers in one or two sentences."""
    if not answers:
        return "No design was given, so there is no number to check."
    found = [(answer.name, judge(answer)) for answer in answers]
    checked = [pair for pair in found if pair[1].level != "unchecked"]
    if not checked:
        return "No answer was checked by fresh simulations; the numbers are the model's alone."
    wrong = [
        f"{name} ({verdict.difference:+.3f})".replace("-", "−")
        for name, verdict in checked
        if verdict.level != "agree"
    ]
    agreeing = len(checked) - len(wrong)
    words = (
        f"For {agreeing} of {len(checked)} checked answers the model's probability agrees with "
        "fresh simulations, within two standard errors of the difference."
    )
    if wrong:
        words += f" It disagrees for {', '.join(wrong)}; in brackets, model minus simulation."
    if len(checked) < len(found):
        words += f" {len(found) - len(checked)} answer(s) were not checked."
    return words
