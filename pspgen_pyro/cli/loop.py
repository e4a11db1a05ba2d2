"""`pspgen loop`: find the process settings for a target with the simulator at hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from ..errors import InputError

if TYPE_CHECKING:
    from ..design import ClosedLoop
    from ..runs import Run

__all__ = ["Loop"]


@dataclass(frozen=True)
class Loop:
    """Design in a closed loop: ask the model for phi*, simulate around it and there, correct the
    model's P by what came, until prediction and simulations agree or the budget is spent.

    Example: pspgen loop run --triads triads.zarr --target=-10:-9,-7:-5 --budget 500
    """

    run_folder: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder made by `pspgen fit`."""
    target: str
    """The design question, as for `pspgen design`."""
    triads: Path
    """The triads that the run was trained on; a refit learns the new ones together with them."""
    pairs: Path | None = None
    """The unlabelled samples that it was trained on too, if there were any."""
    simulator: str | None = None
    """Who simulates, as for `pspgen design`."""
    member: int | None = None
    """Of an ensemble: the model to ask, counted from 1."""
    budget: int = 500
    """The largest number of simulations."""
    precision: float = 0.03
    """The standard error of the frequency at phi* that ends the loop once the two agree."""
    starts: int = 8
    """How many ascents of the model's P run together before anything is simulated."""
    draws: int = 256
    """Sobol points of that ascent, for a model that has to sample."""
    seed: int = 0
    """Seeds everything."""
    json: bool = False
    """Print one JSON object instead of sentences."""
    out: Path | None = None
    """Also write that JSON object to this file, with phi and m of every simulation."""
    refined: Path | None = None
    """Also write the model refined on all of them to this run folder."""

    def run(self) -> int | None:
        from ..io.publish import publish_file, refuse_existing

        for name, path in (("out", self.out), ("refined", self.refined)):
            if path is not None:
                refuse_existing(path, name)
        if self.out is not None and self.out == self.refined:
            raise InputError(
                f"'out' and 'refined' are both {str(self.out)!r}; give each a name of its own."
            )
        from ..data import Triads
        from .questions import open_run, simulator_from

        run = open_run(self.run_folder, self.member)
        triads = Triads.open(self.triads)
        pairs = None if self.pairs is None else Triads.open(self.pairs)
        names = ("budget", "precision", "starts", "draws", "seed")
        settings = {name: value for name, value in vars(self).items() if name in names}
        loop = run.loop(
            self.target,
            triads=triads,
            pairs=pairs,
            simulator=simulator_from(self.simulator),
            **settings,
        )
        settings |= {"target": self.target, "triads": str(self.triads)}
        answer = _answer(run, loop) | {"settings": settings}
        if self.refined is not None:
            run.refined(loop).save(self.refined)
        if self.out is not None:
            publish_file(self.out, json.dumps(answer | _simulated(loop), indent=1) + "\n")
        print(json.dumps(answer) if self.json else _sentences(run, loop))
        return None


def _answer(run: Run, loop: ClosedLoop) -> dict[str, Any]:
    return {
        "target": loop.target.to_json(),
        "properties": list(run.schema.property_names),
        "phi": run.schema.process.labelled(loop.phi),
        "probability": loop.probability.to_json("probability"),
        "model": loop.predicted.to_json("probability"),
        "rounds": [
            {
                "phi": turn.phi.tolist(),
                "model": turn.predicted.to_json("probability"),
                "simulated": turn.simulated.to_json("probability"),
                "agrees": turn.agrees,
                "checks": turn.checks,
                "spread": turn.spread,
            }
            for turn in loop.rounds
        ],
        "calls": loop.calls,
        "failed": loop.failed,
        "status": loop.status,
        "cpu_seconds": round(loop.seconds, 2),
        "data": run.data,
    }


def _simulated(loop: ClosedLoop) -> dict[str, Any]:
    new = slice(len(loop.data.train) - loop.added, None)
    rows = {"phi": loop.data.train.phi[new], "m": loop.data.train.m[new]}
    return {"simulations": {name: tensor.tolist() for name, tensor in rows.items()}}


def _sentences(run: Run, loop: ClosedLoop) -> str:
    calls = f"{loop.calls} simulations" + (f", {loop.failed} failed" if loop.failed else "")
    return "\n".join(
        [
            f"target     {loop.target.event}",
            *(f"round {i:<4d} {turn}" for i, turn in enumerate(loop.rounds, 1)),
            f"φ*         {run.schema.process.shown(loop.phi)}",
            f"answer     P = {loop.probability}, by the model and the simulations together",
            f"loop       {loop.status}; {calls}; {loop.seconds:.1f} s CPU",
        ]
    )
