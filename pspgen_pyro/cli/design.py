"""`pspgen design`: find the process settings for a target, and check them against fresh
physics."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from ..errors import InputError

if TYPE_CHECKING:
    from ..design import Box, Design, Verification
    from ..runs import Run

__all__ = ["DesignCommand"]


@dataclass(frozen=True)
class DesignCommand:
    """Maximise P(m in target | phi) over the process space, and verify the answer by simulation.

    Example: pspgen design run --target=-10:-9,-7:-5 --verify 400
    """

    run_folder: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder made by `pspgen fit`."""
    target: str
    """One interval a property as lower:upper, separated by commas; write it with an equals
    sign."""
    verify: int = 0
    """How many fresh materials to simulate at the answer; 0 for none."""
    starts: int = 8
    """How many ascents run together."""
    draws: int = 512
    """Sobol points of the sample that is optimised on."""
    seed: int = 0
    """Seeds the starts, the sample and the fresh simulations."""
    json: bool = False
    """Print one JSON object instead of sentences."""
    out: Path | None = None
    """Also write that JSON object to this file, with the simulated properties."""

    def run(self) -> int | None:
        from ..publish import publish_file, refuse_existing

        if self.out is not None:
            refuse_existing(self.out)
        if self.verify < 0:
            raise InputError(f"'verify' is {self.verify}; give the number of simulations, or 0.")
        from ..design import Box, maximise
        from ..runs import load_run

        target = Box.parse(self.target)
        run = load_run(self.run_folder)
        design = maximise(run.model, target, starts=self.starts, draws=self.draws, seed=self.seed)
        check = _verify(run, target, design, self.verify, self.seed) if self.verify else None
        options = {name: getattr(self, name) for name in ("verify", "starts", "draws", "seed")}
        answer = _answer(run, design, check) | {"settings": options}
        if self.out is not None:
            fresh = None if check is None else check.m.tolist()
            publish_file(self.out, json.dumps(answer | {"simulated_m": fresh}, indent=1) + "\n")
        if self.json:
            print(json.dumps(answer))
        else:
            print(_sentences(answer))
        return None


def _verify(run: Run, target: Box, design: Design, samples: int, seed: int) -> Verification:
    from tqdm.auto import tqdm

    from ..design import verify
    from ..study import case

    chain = case(
        run.data["case"], preset=run.data["preset"], formulation=run.data["formulation"]
    ).chain
    with tqdm(total=samples, desc="simulating", unit="sample", disable=None) as bar:
        return verify(chain, target, design.phi, samples=samples, seed=seed, progress=bar.update)


def _answer(run: Run, design: Design, check: Verification | None) -> dict[str, Any]:
    """The answer as JSON: plain numbers with their standard errors beside them."""
    names = run.model.process.names
    answer = {
        "target": {"lower": list(design.target.lower), "upper": list(design.target.upper)},
        "properties": list(run.model.property_names),
        "phi": dict(zip(names, map(float, design.phi), strict=True)),
        "model": _estimate(design.probability),
        "starts_agreed": f"{design.agreed.sum()} of {len(design.agreed)}",
        "active_bounds": list(design.active_bounds),
        "status": design.status,
        "cpu_seconds": round(design.seconds, 2),
        "data": run.data,
    }
    if check is not None:
        gap = abs(float(design.probability.value) - float(check.probability.value))
        answer["simulated"] = _estimate(check.probability) | {"samples": len(check.m)}
        answer["difference"] = gap
        answer["blocked_fraction"] = dict(
            zip(
                run.model.property_names, (1 - check.percolates.mean(axis=0)).tolist(), strict=True
            )
        )
    return answer


def _estimate(estimate: Any) -> dict[str, float]:
    return {
        "probability": float(estimate.value),
        "standard_error": float(estimate.standard_error),
    }


def _sentences(answer: dict[str, Any]) -> str:
    ends = zip(answer["target"]["lower"], answer["target"]["upper"], strict=True)
    lines = [
        "target     m ∈ " + " × ".join(f"[{a:g}, {b:g}]" for a, b in ends),
        "φ*         "
        + ", ".join(f"{name} = {value:.4g}" for name, value in answer["phi"].items()),
        f"model      P = {answer['model']['probability']:.3f} ± "
        f"{answer['model']['standard_error']:.3f}",
    ]
    if "simulated" in answer:
        simulated = answer["simulated"]
        lines.append(
            f"simulated  P = {simulated['probability']:.3f} ± {simulated['standard_error']:.3f} "
            f"({simulated['samples']} fresh simulations)"
        )
        error = (simulated["standard_error"] ** 2 + answer["model"]["standard_error"] ** 2) ** 0.5
        agree = answer["difference"] <= 2 * error
        lines.append(
            f"verdict    the two differ by {answer['difference']:.3f}, "
            + ("within" if agree else "more than")
            + " twice the standard error of the difference"
        )
    lines.append(
        f"ascent     {answer['status']}; {answer['starts_agreed']} starts agree"
        + (
            f"; at the bound {', '.join(answer['active_bounds'])}"
            if answer["active_bounds"]
            else ""
        )
        + f"; {answer['cpu_seconds']:.1f} s CPU"
    )
    return "\n".join(lines)
