"""`pspgen design`: find the process settings for a target, and check them against fresh
physics."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from ..errors import InputError

if TYPE_CHECKING:
    from ..design import Design, Optimiser, Target, Verification
    from ..process import ProcessSpace
    from ..runs import Run

__all__ = ["DesignCommand"]


@dataclass(frozen=True)
class DesignCommand:
    """Maximise P(m in target | phi) over the process space, and verify the answer by simulation.

    Example: pspgen design run --target=-10:-9,-7:-5 --verify 400
    """

    run_folder: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder made by `pspgen fit`, of one model or of an ensemble."""
    target: UseAppendAction[tuple[str, ...]]
    """Bounds by name in the property's own unit or one that converts to it, as in
    "k_h<1e-12 m^2, strength>30 MPa", "strength in [20, 30]" and "strength=30+-2", with ln before
    the name for a bound on m; or one interval of m a property as lower:upper, separated by commas;
    or several of these regions, separated by semicolons. Write it with an equals sign; more than
    once for several targets, each to be met by materials of its own."""
    combine: Literal["product", "least"] = "product"
    """Of several targets, maximise the product of their P or the least of them."""
    tolerance: str | None = None
    """How well the settings are held, as in "T=5, t=2 %": in the parameter's unit or as a
    percentage of its value. P is then the mean over what the process makes of phi."""
    cost: str | None = None
    """What a setting costs, as in "0.02 T + 1.0 t"; give --price or --least with it."""
    price: float | None = None
    """What one unit of the cost is worth as a probability: maximise P less price times cost."""
    least: float | None = None
    """Look for the least cost where P is at least this."""
    window: float | None = None
    """Also say how far the settings may stray before P falls below this."""
    verify: int = 0
    """How many fresh materials to simulate at the answer; 0 for none."""
    simulator: str | None = None
    """Who simulates them: a function of phi and seeds that returns values in the properties'
    units, or a chain, as module:name. Default: the chain of the study's case."""
    optimiser: Literal["lbfgs", "adam", "sgd"] | None = None
    """How to climb: L-BFGS-B on a fixed sample (the default, but for the least of several P and
    the least cost, which take sequential quadratic programming); Adam on that sample; or the
    paper's stochastic gradient ascent (Eq. 21), which takes minutes."""
    starts: int = 8
    """How many ascents run together."""
    cautious: bool = False
    """Maximise the lower end of the 90 % interval of P instead of P."""
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
        from ..io.validation import check_whole

        if self.out is not None:
            refuse_existing(self.out)
        check_whole(least=0, verify=self.verify)
        if self.verify and len(self.target) > 1:
            raise InputError(
                f"'verify' simulates for one target, but there are {len(self.target)}; leave it "
                "out, or use `run.verify(design, target)` for each."
            )
        from .questions import open_run, simulator_from

        run, simulator = open_run(self.run_folder), simulator_from(self.simulator)
        targets = [run.target(text) for text in self.target]
        if self.verify:
            run.simulator(simulator)
        design = self._design(run, targets)
        check = self._check(run, targets[0], design, simulator) if self.verify else None
        left_out = ("run_folder", "json", "out")
        given = {n: v for n, v in vars(self).items() if n not in left_out and v is not None}
        given["target"] = self.target[0] if len(self.target) == 1 else list(self.target)
        answer = _answer(run, design, check) | {"settings": given}
        window = None if self.window is None else run.window(design, least=self.window)
        if window is not None:
            answer["window"] = window.to_json()
        if self.out is not None:
            fresh = None if check is None else check.m.tolist()
            publish_file(self.out, json.dumps(answer | {"simulated_m": fresh}, indent=1) + "\n")
        if self.json:
            print(json.dumps(answer))
        else:
            print(_sentences(answer, run.schema.process, design))
            for i, line in enumerate([] if window is None else str(window).splitlines()):
                print(f"{'' if i else 'window':10s} {line}")
        return None

    def _design(self, run: Run, targets: list[Target]) -> Design:
        options: dict[str, Any] = {
            "cautious": self.cautious,
            "tolerance": self.tolerance,
            "combine": self.combine,
            "optimiser": _optimiser(self.optimiser),
            "starts": self.starts,
            "draws": self.draws,
            "seed": self.seed,
        }
        if self.least is None:
            return run.design(targets, cost=self.cost, price=self.price, **options)
        if self.cost is None or self.price is not None:
            raise InputError(
                "'least' asks for the least cost where P is that large; give --cost with it, and "
                "no --price."
            )
        return run.cheapest(targets, cost=self.cost, least=self.least, **options)

    def _check(self, run: Run, target: Target, design: Design, simulator: Any) -> Verification:
        from tqdm.auto import tqdm

        with tqdm(total=self.verify, desc="simulating", unit="sample", disable=None) as bar:
            return run.verify(
                design,
                target,
                simulator=simulator,
                samples=self.verify,
                seed=self.seed,
                progress=bar.update,
            )


def _optimiser(name: str | None) -> Optimiser | None:
    from ..design import LBFGS, SGD, Adam

    return None if name is None else {"lbfgs": LBFGS, "adam": Adam, "sgd": SGD}[name]()


def _asked(design: Design) -> dict[str, Any]:
    """What was asked, and of several targets the P of each."""
    found: dict[str, Any] = {}
    if len(design.targets) == 1:
        found["target"] = design.target.to_json()
    else:
        each = zip(design.targets, design.parts, strict=True)
        found["targets"] = [
            {"target": target.to_json(), "model": p.to_json("probability")} for target, p in each
        ]
    if design.tolerance is not None:
        found["tolerance"] = str(design.tolerance)
    if design.cost is not None:
        found["cost"] = design.cost
    return found


def _answer(run: Run, design: Design, check: Verification | None) -> dict[str, Any]:
    """The answer as JSON: plain numbers with their errors beside them."""
    estimate, names = design.probability, run.schema.process.names
    answer = _asked(design) | {
        "properties": list(run.schema.property_names),
        "phi": run.schema.process.labelled(design.phi),
        "model": estimate.to_json("probability"),
        "starts_agreed": f"{design.agreed.sum()} of {len(design.agreed)}",
        "active_bounds": list(design.active_bounds),
        "sensitivity": {
            "of": "the lower end" if design.cautious else "log P",
            "gradient": dict(zip(names, design.gradient.tolist(), strict=True)),
            "curvature": design.curvature.tolist(),
        },
        "share": design.share,
        "status": design.status,
        "unsure": run.unsure(design),
        "cpu_seconds": round(design.seconds, 2),
        "data": run.data,
    }
    if check is not None:
        gap = abs(float(estimate.value) - float(check.probability.value))
        answer["simulated"] = check.probability.to_json("probability") | {"samples": len(check.m)}
        answer["difference"] = gap
        if estimate.low is not None:
            answer["together"] = check.together(estimate).to_json("probability")
        answer["blocked_fraction"] = _blocked(run, check)
    return answer


def _blocked(run: Run, check: Verification) -> dict[str, float]:
    """Of the study's cases: how many of the simulated images the void (of more than two phases,
    the last one) does not cross, by direction."""
    from ..report import SolvedImages
    from ..runs import chain_of

    images = run.schema.microstructure
    if check.x is None or images is None or chain_of(run) is None:
        return {}
    return SolvedImages("", check.x, check.m, images).blocked


def _sentences(answer: dict[str, Any], process: ProcessSpace, design: Design) -> str:
    lines = [
        f"{'target' if i == 0 else '':10s} {target.event}"
        for i, target in enumerate(design.targets)
    ]
    if "tolerance" in answer:
        lines.append(f"held       {answer['tolerance']}")
    lines.append(f"φ*         {process.shown(design.phi)}")
    if "cost" in answer:
        lines.append(f"cost       {answer['cost']:.6g}")
    if len(design.targets) > 1:
        each = zip(design.targets, design.parts, strict=True)
        lines += [f"{'':10s} P({t.event}) = {p}" for t, p in each]
    lines.append(f"model      P = {design.probability}")
    lines += [f"{'unsure':10s} {reason}" for reason in answer["unsure"]]
    if "simulated" in answer:
        simulated = answer["simulated"]
        lines.append(
            f"simulated  P = {simulated['probability']:.3f} ± {simulated['standard_error']:.3f} "
            f"({simulated['samples']} fresh simulations)"
        )
        error = math.hypot(simulated["standard_error"], float(design.probability.deviation))
        agree = answer["difference"] <= 2 * error
        lines.append(
            f"verdict    the two differ by {answer['difference']:.3f}, "
            + ("within" if agree else "more than")
            + " twice the standard error of the difference, what training could not know included"
        )
    if "together" in answer:
        both = answer["together"]
        lines.append(
            f"together   P = {both['probability']:.3f} (90 %: {both['low']:.3f} to "
            f"{both['high']:.3f})"
        )
    lines += _sensitivity(answer, process)
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


def _sensitivity(answer: dict[str, Any], process: ProcessSpace) -> list[str]:
    """What one unit of each parameter does to the score at φ*: slope, and half the curvature."""
    found = answer["sensitivity"]
    lines: list[str] = []
    for j, (name, slope) in enumerate(found["gradient"].items()):
        if process.settings[j].levels is not None:
            continue
        unit = "" if process.units[j] == "1" else f" {process.units[j]}"
        lines.append(
            f"{'' if lines else 'slope':10s} Δ {found['of']} ≈ {slope:.2g} d + "
            f"{found['curvature'][j][j] / 2:.2g} d² when {name} moves by d{unit}"
        )
    return lines
