"""`pspgen design`: find the process settings for a target, and check them against fresh
physics."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from ..errors import InputError

if TYPE_CHECKING:
    from ..chain import Chain
    from ..design import Design, Estimate, Optimiser, Target, Verification
    from ..runs import EnsembleRun, Run

__all__ = ["DesignCommand", "estimate_to_json", "simulator_of"]


@dataclass(frozen=True)
class DesignCommand:
    """Maximise P(m in target | phi) over the process space, and verify the answer by simulation.

    Example: pspgen design run --target=-10:-9,-7:-5 --verify 400
    """

    run_folder: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder made by `pspgen fit`, of one model or of an ensemble."""
    target: str
    """One interval a property as lower:upper, separated by commas; or bounds by name, as in
    "horizontal>-7,vertical<-9", "k_horizontal>1e-3" and "horizontal=-7+-0.5"; or several of these
    regions, separated by semicolons. Write it with an equals sign."""
    verify: int = 0
    """How many fresh materials to simulate at the answer; 0 for none."""
    optimiser: Literal["lbfgs", "adam", "sgd"] = "lbfgs"
    """How to climb: L-BFGS-B on a fixed sample; Adam on that sample; or the paper's stochastic
    gradient ascent (Eq. 21), which takes minutes."""
    starts: int = 8
    """How many ascents run together."""
    risk: float = 0.0
    """Of an ensemble: maximise the mean P less so many standard deviations over its members."""
    draws: int = 512
    """Sobol points of the sample that is optimised on."""
    seed: int = 0
    """Seeds the starts, the sample and the fresh simulations."""
    json: bool = False
    """Print one JSON object instead of sentences."""
    out: Path | None = None
    """Also write that JSON object to this file, with the simulated properties."""

    def run(self) -> int | None:
        from ..io.publish import publish_file, refuse_existing

        if self.out is not None:
            refuse_existing(self.out)
        if self.verify < 0:
            raise InputError(f"'verify' is {self.verify}; give the number of simulations, or 0.")
        from ..design import parse_target
        from ..runs import is_ensemble, load_ensemble, load_run

        ensemble = is_ensemble(self.run_folder)
        if not self.risk >= 0 or (self.risk and not ensemble):
            raise InputError(
                f"'risk' is {self.risk:g} for {str(self.run_folder)!r}; it may be positive for an "
                "ensemble, as made by `pspgen fit --members 5`, and is 0 otherwise."
            )
        run = load_ensemble(self.run_folder) if ensemble else load_run(self.run_folder)
        target = parse_target(self.target, run.model.property_names)
        design, estimate = self._ask(run, target)
        check = _verify(run, target, design, self.verify, self.seed) if self.verify else None
        names = ("target", "verify", "optimiser", "starts", "risk", "draws", "seed")
        answer = _answer(run, target, design, estimate, check)
        answer |= {"settings": {n: getattr(self, n) for n in names}}
        if self.out is not None:
            fresh = None if check is None else check.m.tolist()
            publish_file(self.out, json.dumps(answer | {"simulated_m": fresh}, indent=1) + "\n")
        if self.json:
            print(json.dumps(answer))
        else:
            print(_sentences(answer, str(target), run.model.process.units))
        return None

    def _ask(self, run: Run | EnsembleRun, target: Target) -> tuple[Design, Estimate]:
        """The design, and P at it."""
        from ..design import RiskAverse, maximise, probability
        from ..runs import EnsembleRun

        objective = target
        if self.risk and isinstance(run, EnsembleRun):
            objective = RiskAverse(target, run.model, self.risk)
        design = maximise(
            run.model,
            objective,
            optimiser=_optimiser(self.optimiser),
            starts=self.starts,
            draws=self.draws,
            support=run.support,
            seed=self.seed,
        )
        if objective is target:
            return design, design.probability
        return design, probability(run.model, target, design.phi, seed=self.seed + 1)


def _optimiser(name: str) -> Optimiser:
    from ..design import LBFGS, SGD, Adam

    return {"lbfgs": LBFGS, "adam": Adam, "sgd": SGD}[name]()


def _verify(
    run: Run | EnsembleRun, target: Target, design: Design, samples: int, seed: int
) -> Verification:
    from tqdm.auto import tqdm

    from ..design import verify

    simulator = simulator_of(run)
    with tqdm(total=samples, desc="simulating", unit="sample", disable=None) as bar:
        return verify(
            simulator, target, design.phi, samples=samples, seed=seed, progress=bar.update
        )


def simulator_of(run: Run | EnsembleRun) -> Chain:
    """The chain that made the triads of a run.

    Raises:
        InputError: If it is none of the study's.
    """
    from ..runs import chain_of

    chain = chain_of(run)
    if chain is None:
        raise InputError(
            f"'run' was trained on data of {run.data.get('case')!r}, which no chain of the study "
            "makes; simulate with your own in Python, by `verify` or `design_in_loop`."
        )
    return chain


def _answer(
    run: Run | EnsembleRun,
    target: Target,
    design: Design,
    estimate: Estimate,
    check: Verification | None,
) -> dict[str, Any]:
    """The answer as JSON: plain numbers with their standard errors beside them."""
    from ..design import Probability

    names = run.model.process.names
    answer = {
        "target": target.to_json(),
        "properties": list(run.model.property_names),
        "phi": dict(zip(names, map(float, design.phi), strict=True)),
        "model": estimate_to_json(estimate),
        "starts_agreed": f"{design.agreed.sum()} of {len(design.agreed)}",
        "active_bounds": list(design.active_bounds),
        "sensitivity": {
            "of": "log P" if isinstance(design.objective, Probability) else "(mean − c sd)",
            "gradient": dict(zip(names, design.gradient.tolist(), strict=True)),
            "curvature": design.curvature.tolist(),
        },
        "share": design.share,
        "status": design.status,
        "cpu_seconds": round(design.seconds, 2),
        "data": run.data,
    }
    if check is not None:
        gap = abs(float(estimate.value) - float(check.probability.value))
        answer["simulated"] = estimate_to_json(check.probability) | {"samples": len(check.m)}
        answer["difference"] = gap
        answer["blocked_fraction"] = dict(
            zip(
                run.model.property_names, (1 - check.percolates.mean(axis=0)).tolist(), strict=True
            )
        )
    return answer


def estimate_to_json(estimate: Estimate) -> dict[str, Any]:
    """A probability beside its standard error; of an ensemble, with its parts."""
    from ..design.probability import EnsembleEstimate

    numbers: dict[str, Any] = {
        "probability": float(estimate.value),
        "standard_error": float(estimate.standard_error),
    }
    if isinstance(estimate, EnsembleEstimate) and len(estimate.members) > 1:
        numbers |= {
            "aleatoric": float(estimate.aleatoric),
            "epistemic": float(estimate.epistemic),
            "members": estimate.members.tolist(),
        }
    return numbers


def _words(estimate: dict[str, Any]) -> str:
    from ..design import Estimate

    if "members" in estimate:
        return (
            f"{estimate['probability']:.3f} ± {estimate['epistemic']:.3f} over "
            f"{len(estimate['members'])} members (epistemic), ± {estimate['aleatoric']:.3f} from "
            "one material to the next (aleatoric)"
        )
    return str(Estimate(estimate["probability"], estimate["standard_error"]))


def _sentences(answer: dict[str, Any], target: str, units: tuple[str, ...]) -> str:
    lines = [
        f"target     m ∈ {target}",
        "φ*         "
        + ", ".join(f"{name} = {value:.4g}" for name, value in answer["phi"].items()),
        f"model      P = {_words(answer['model'])}",
    ]
    if "simulated" in answer:
        simulated = answer["simulated"]
        lines.append(
            f"simulated  P = {_words(simulated)} ({simulated['samples']} fresh simulations)"
        )
        model = answer["model"]
        parts = simulated["standard_error"], model["standard_error"], model.get("epistemic", 0.0)
        error = sum(part**2 for part in parts) ** 0.5
        agree = answer["difference"] <= 2 * error
        lines.append(
            f"verdict    the two differ by {answer['difference']:.3f}, "
            + ("within" if agree else "more than")
            + " twice the standard error of the difference"
            + (", the members' spread included" if "epistemic" in model else "")
        )
    lines += _sensitivity(answer, units)
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


def _sensitivity(answer: dict[str, Any], units: tuple[str, ...]) -> list[str]:
    """What one unit of each parameter does to the score at φ*: slope, and half the curvature."""
    found = answer["sensitivity"]
    lines = []
    for j, (name, slope) in enumerate(found["gradient"].items()):
        unit = "" if units[j] == "1" else f" {units[j]}"
        lines.append(
            f"{'slope' if j == 0 else '':10s} Δ {found['of']} ≈ {slope:.2g} d + "
            f"{found['curvature'][j][j] / 2:.2g} d² when {name} moves by d{unit}"
        )
    return lines
