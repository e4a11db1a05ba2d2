r"""What a campaign believes of P, and whether another batch is worth its cost.

The belief is that of the `Search`, given every result that counts. It starts as sure of the model
as the model is of itself (`Discrepancy.stated`). Another batch is worth its cost while what
stopping would cost,

.. math:: \mathbb{E}\left[ \max_\varphi P(\varphi) - P(\varphi^*) \right],

the mean over draws of the corrected P of what the best setting has beyond the present choice, is
at least `worth`. However many experiments follow, they raise P at the choice by no more than that,
on average.

A result that knows only some of its properties counts as soon as they decide whether it met the
target; one that failed says nothing of P.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..design import Design, Estimate, Target
from ..design.loop.discrepancy import Discrepancy
from ..design.loop.search import Search
from ..model import PSPGen
from ..schema import Schema
from .journal import Experiment, Result
from .table import headings

__all__ = ["Belief", "Status", "decided"]

# spawn keys that neither a data set nor a verification nor a closed loop uses
_CANDIDATES, _ASKED, _STOPPING = 0xCA4D, 0xCA5C, 0xCA57


@dataclass(frozen=True)
class Status:
    r"""Where a campaign stands.

    Arguments:
        target: What was asked.
        phi: The present choice :math:`\varphi^*`, by the names of its parameters.
        probability: P there by the model and all experiments together, with its 90 % interval.
        experiments: How many results say whether the target was met.
        met: How many of them met it.
        undecided: How many results leave that open, since a property is unknown.
        failed: How many experiments failed.
        pending: How many are awaited.
        gain: What all further experiments together could add to P at the choice, on average.
        worth: What a batch has to be able to add.
        warning: Why the target is not supported by the model's data; empty if it is.
    """

    target: Target
    phi: dict[str, float | str]
    probability: Estimate
    experiments: int
    met: int
    undecided: int
    failed: int
    pending: int
    gain: float
    worth: float
    warning: str = ""

    @property
    def enough(self) -> bool:
        """Whether another batch is not worth its cost."""
        return self.gain < self.worth

    @property
    def verdict(self) -> str:
        """Whether another batch is worth its cost, in one sentence."""
        if self.enough:
            return (
                f"another batch is not worth its cost: all further experiments together would "
                f"raise P at φ* by {self.gain:.3f} on average, less than {self.worth:g}"
            )
        return (
            f"another batch is worth its cost: further experiments could raise P at φ* by "
            f"{self.gain:.3f} on average, not less than {self.worth:g}"
        )

    def to_json(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        counts = ("experiments", "met", "undecided", "failed", "pending", "gain", "worth")
        return {
            "target": self.target.to_json(),
            "phi": self.phi,
            "probability": self.probability.to_json("probability"),
            **{name: getattr(self, name) for name in counts},
            "enough": self.enough,
            "verdict": self.verdict,
            "warning": self.warning,
        }

    def __str__(self) -> str:
        met = f"{self.met} of {self.experiments} experiments met the target"
        counts = [met if self.experiments else "no experiment yet"]
        for number, word in (
            (self.undecided, "undecided"),
            (self.failed, "failed"),
            (self.pending, "pending"),
        ):
            counts += [f"{number} {word}"] if number else []
        lines = [
            f"target     {self.target.event}",
            "φ*         "
            + ", ".join(
                f"{n} = {v if isinstance(v, str) else f'{v:.4g}'}" for n, v in self.phi.items()
            ),
            f"answer     P = {self.probability}, by the model and the experiments together",
            f"told       {', '.join(counts)}",
            f"next       {self.verdict}",
        ]
        return "\n".join([*lines, *([f"warning    {self.warning}"] if self.warning else [])])


class Belief:
    """The belief about P, of which a search asks.

    Arguments:
        model: The model.
        design: Where its own ascents ended.
        target: The region.
        discrepancy: How far the model may be off.
        seed: Seeds everything.
    """

    def __init__(
        self, model: PSPGen, design: Design, target: Target, discrepancy: Discrepancy, seed: int
    ) -> None:
        self.schema, self.design, self.target, self.seed = model.schema, design, target, seed
        rng = self._rng(_CANDIDATES)
        self._first = Search(model, design, target, discrepancy, rng, seed)

    def ask(
        self, results: Sequence[Result], pending: Sequence[Experiment], batch: int, before: int
    ) -> NDArray[np.float64]:
        """So many settings to experiment at, each in the knowledge of those before it, with shape
        `(batch, P)`; `before` is the number of entries they follow from."""
        search, rng = self._told(results), self._rng(_ASKED, before)
        under_way = _placed(search, pending)
        for _ in range(batch):
            under_way = np.append(under_way, search.ask(1, rng, under_way))
        return self.schema.process.check(search.phi[under_way[len(pending) :]])

    def status(self, results: Sequence[Result], pending: int, worth: float) -> Status:
        """Where a campaign with these results stands."""
        search = self._told(results)
        phi, p = _answer(search)
        known, met = decided(self.target, self.schema, results)
        failed = sum(one.failed for one in results)
        unsupported = self.design.status.startswith("unsupported")
        return Status(
            target=self.target,
            phi=self.schema.process.labelled(phi),
            probability=p,
            experiments=int(known.sum()),
            met=int(met.sum()),
            undecided=len(results) - int(known.sum()) - failed,
            failed=failed,
            pending=pending,
            gain=search.regret(self._rng(_STOPPING, len(results))),
            worth=worth,
            warning=self.design.status if unsupported else "",
        )

    def history(self, steps: Sequence[Sequence[Result]]) -> pd.DataFrame:
        """The belief before and after every table: the experiments so far, φ* and P there with
        its 90 % interval.

        Arguments:
            steps: The results that counted after each table; the first are none.
        """
        rows, settings = [], headings(self.schema)[0]
        for results in steps:
            phi, p = _answer(self._told(results))
            known, met = decided(self.target, self.schema, results)
            low, high = p.interval()
            rows.append([int(known.sum()), int(met.sum()), *phi, p.value, low, high])
        columns = ["experiments", "met", *settings, "P", "low", "high"]
        frame = pd.DataFrame(rows, columns=pd.Index(columns))
        return frame.astype(dict.fromkeys(columns[2:], float)).rename_axis("table")

    def _told(self, results: Sequence[Result]) -> Search:
        """The search that knows these results."""
        search = self._first.forgetting()
        known, met = decided(self.target, self.schema, results)
        search.tell(_placed(search, results), known, met)
        return search

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


def decided(
    target: Target, schema: Schema, results: Sequence[Result]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which results say whether the target was met, and which met it: one whose known properties
    rule every box out did not, and one that knows all that some box bounds, and lies in it,
    did."""
    m = schema.scaled(values_of(results, schema))
    inside, possible = np.zeros((2, len(m)), dtype=bool)
    for box in target.boxes:
        low, high = np.array(box.lower), np.array(box.upper)
        free = np.isinf(low) & np.isinf(high)
        inside |= (((m >= low) & (m <= high)) | free).all(axis=-1)
        possible |= ~((m < low) | (m > high)).any(axis=-1)
    failed = np.array([one.failed for one in results], dtype=bool)
    return (inside | ~possible) & ~failed, inside & ~failed


def values_of(results: Sequence[Result], schema: Schema) -> NDArray[np.float64]:
    """The properties of results in their units, with shape `(N, K)`; NaN where unknown."""
    values = [[np.nan if v is None else v for v in one.values] for one in results]
    return np.array(values, dtype=np.float64).reshape(-1, len(schema.properties))


def _placed(search: Search, made: Sequence[Experiment] | Sequence[Result]) -> NDArray[np.int64]:
    phi = np.array([one.phi for one in made], dtype=np.float64)
    return search.place(phi.reshape(-1, search.phi.shape[1]))


def _answer(search: Search) -> tuple[NDArray[np.float64], Estimate]:
    """The present choice, and P there with its interval."""
    best, _ = search.best()
    p = float(np.asarray(search.model.value)[best])
    return search.phi[best], search.correction().interval(search.phi[best], p)
