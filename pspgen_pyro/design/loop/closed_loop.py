r"""Design in a closed loop: the simulator corrects the model where the answer is sought.

What the model's P lacks is learned from every simulation at once, as the posterior of a smooth
correction (`discrepancy`). The loop

1. *looks around*: simulates where the `search` asks for it, at the maxima of draws of the
   corrected P, and refits the correction after every block,
2. *settles* on the :math:`\varphi^*` with the largest mean of the corrected P,
3. *checks*: simulates there until the frequency is precise, and compares the two.

If they disagree another round follows that knows of it, until the budget is spent. The model
itself learns all simulations last, so that none counts twice. It is the search of a `Campaign`,
whose experiments are here a function that answers at once.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...data.batches import Batches
from ...errors import InputError, SimulationError
from ...io.validation import check_positive, check_seed, check_whole, is_number
from ...model import PSPGen
from ..ascent import Design, maximise
from ..estimates import Estimate
from ..parsing import Requirement
from ..simulation import Simulator, SimulatorFunction, adapted
from ..support import Support
from ..target import Target
from ..verification import frequency
from .bench import Bench
from .discrepancy import Discrepancy
from .refinement import Refinement, alike
from .search import Search

__all__ = ["ClosedLoop", "Round", "design_in_loop"]


@dataclass(frozen=True)
class Round:
    r"""One turn of the loop.

    Arguments:
        phi: The round's :math:`\varphi^*`, with shape `(P)`.
        predicted: P there by the model and all simulations before the check.
        simulated: The frequency of the target in the check.
        checks: The simulator calls of the check.
        spread: The simulator calls spread around before it.
        calls: All simulator calls up to the end of this round.
        agrees: Whether the two differ by at most twice the standard error of their difference.
        seconds: CPU time of the round.
    """

    phi: NDArray[np.float64]
    predicted: Estimate
    simulated: Estimate
    checks: int
    spread: int
    calls: int
    agrees: bool
    seconds: float

    def __str__(self) -> str:
        phi = ", ".join(f"{value:.3f}" for value in self.phi)
        verdict = "agree" if self.agrees else "disagree"
        return (
            f"{self.spread} around, φ* = ({phi}): predicted {self.predicted}, {self.checks} "
            f"simulations {self.simulated}, {verdict}; {self.calls} calls so far"
        )


@dataclass(frozen=True)
class ClosedLoop:
    r"""What the loop found.

    Arguments:
        target: What was asked.
        phi: The last round's :math:`\varphi^*`, with shape `(P)`.
        probability: P there by the model and all simulations together. Its error, a standard
            deviation, is all that is unknown about P, not only that of the integral over z0.
        predicted: P there by the model alone.
        rounds: Every round, in order.
        model: The model refined on all simulations; the one passed in is as it was.
        data: The data passed in, the simulated triads added to the training fold unless they have
            no images where the data have some.
        calls: The simulator calls, failed ones included; never more than the budget.
        failed: How many of them failed.
        added: How many of them joined the data.
        status: "agreed", or why the loop ended without; "unsupported: …" where hardly any of the
            data lie in the target.
        seconds: CPU time.
    """

    target: Target
    phi: NDArray[np.float64]
    probability: Estimate
    predicted: Estimate
    rounds: tuple[Round, ...]
    model: PSPGen
    data: Batches
    calls: int
    failed: int
    added: int
    status: str
    seconds: float

    def __str__(self) -> str:
        lines = [f"round {i}  {turn}" for i, turn in enumerate(self.rounds, 1)]
        return "\n".join(
            [*lines, f"answer   P({self.target.event}) = {self.probability}; {self.status}"]
        )


def design_in_loop(
    model: PSPGen,
    data: Batches,
    target: Target | Requirement,
    *,
    simulator: Simulator | SimulatorFunction,
    budget: int = 500,
    precision: float = 0.03,
    explore: float = 0.4,
    refine: Refinement = Refinement(),  # noqa: B008
    discrepancy: Discrepancy = Discrepancy(),  # noqa: B008
    starts: int = 8,
    draws: int = 256,
    seed: int = 0,
) -> ClosedLoop:
    r"""Maximises :math:`P(m \in \mathcal{M}_d \mid \varphi)` with a simulator at hand.

    Simulations come in blocks of 5 % of the budget. A round looks around with the share `explore`
    of what is left. Its check goes on until the standard error is `precision`, it plainly
    contradicts what was predicted (three standard errors), or the budget is spent.

    Arguments:
        model: The trained model; it is left alone.
        data: The triads that it was trained on.
        target: The region of property space, or what is wanted by the properties' names.

    Other arguments:
        simulator: The chain, anything with its `process` and `simulate`, or a function of settings
            and seeds, see `simulation`.
        budget: The largest number of simulator calls.
        precision: The standard error of the frequency that ends the loop.
        explore: The share of what is left that a round looks around with; with 0 the loop checks
            the model's own φ* at once.
        refine: How the model learns the new triads once the answer is out.
        discrepancy: How far the model may be off.
        starts: Starts of the ascent.
        draws: Sobol points of the ascent.
        seed: Seeds everything; no data set shares its random numbers.

    Returns:
        The answer, with every round.

    Raises:
        InputError: If a number is out of range, or the target, the data or the simulator do not
            fit the model.
        SimulationError: If every simulation of a check failed.
    """
    _check_numbers(budget, precision, explore)
    check_seed(seed)
    target, simulator = target.resolve(model.schema), adapted(simulator, model.schema)
    data.check_against(model.schema)
    begin = time.process_time()
    bench = Bench(simulator, target, data.train, budget, seed)
    support = Support(data.train.m[data.train.labelled].double().numpy(force=True))
    design = maximise(model, target, starts=starts, draws=draws, support=support, seed=seed)
    search = Search(model, design, target, discrepancy, bench.rng, seed)
    rounds: list[Round] = []
    done, best = False, 0
    while not done and bench.left:
        start = time.process_time()
        spread = max(0, min(int(explore * bench.left), bench.left - bench.block))
        _look_around(bench, search, spread)
        best, predicted = search.best()
        checks, simulated = _check(bench, search, best, predicted, precision)
        agrees = not _differ(predicted, simulated)
        done = agrees and float(simulated.standard_error) <= precision
        spent = time.process_time() - start
        phi = search.phi[best]
        rounds.append(Round(phi, predicted, simulated, checks, spread, bench.calls, agrees, spent))
    both, alone = search.at(best)
    joins = (bench.triads.x is None) == (data.train.x is None)
    return ClosedLoop(
        target=target,
        phi=rounds[-1].phi,
        probability=both,
        predicted=alone,
        rounds=tuple(rounds),
        model=refine(model, alike(data.train, bench.triads), bench.triads, seed),
        data=Batches(data.train.joined(bench.triads), data.validation) if joins else data,
        calls=bench.calls,
        failed=bench.failed,
        added=len(bench.triads) if joins else 0,
        status=_status(design, done, rounds[-1], precision),
        seconds=time.process_time() - begin,
    )


def _look_around(bench: Bench, search: Search, count: int) -> None:
    while count:
        size = min(bench.block, count)
        _simulate(bench, search, search.ask(size, bench.rng))
        count -= size


def _simulate(bench: Bench, search: Search, which: NDArray[np.int64]) -> tuple[int, int]:
    """Simulates at candidates and tells; returns how many did not fail, and how many met the
    target."""
    known, met = bench.simulate(search.phi[which])
    search.tell(which, known, met)
    return int(known.sum()), int(met.sum())


def _check(
    bench: Bench, search: Search, best: int, predicted: Estimate, precision: float
) -> tuple[int, Estimate]:
    """Simulates at a candidate until the frequency is precise, plainly off with enough left to
    learn from that, or paid in full."""
    start, known, hits = bench.calls, 0, 0
    while True:
        size = min(bench.block, bench.left)
        more_known, more_hits = _simulate(bench, search, np.full(size, best))
        known, hits = known + more_known, hits + more_hits
        if not known:
            phi = search.phi[best].tolist()
            raise SimulationError(
                f"all {bench.calls - start} simulations at φ = {phi} failed; simulate it alone to "
                "see why."
            )
        simulated = frequency(hits, known)
        enough = float(simulated.standard_error) <= precision
        plain = bench.left >= 2 * bench.block and _differ(predicted, simulated, 3.0)
        if enough or plain or not bench.left:
            return bench.calls - start, simulated


def _differ(predicted: Estimate, simulated: Estimate, errors: float = 2.0) -> bool:
    error = math.hypot(predicted.standard_error, simulated.standard_error)
    return abs(float(predicted.value) - float(simulated.value)) > errors * error


def _status(design: Design, done: bool, last: Round, precision: float) -> str:
    words = _ending(done, last, precision)
    unsupported = design.status.startswith("unsupported")
    return f"{design.status}; the loop itself: {words}" if unsupported else words


def _ending(done: bool, last: Round, precision: float) -> str:
    if done:
        return "agreed"
    if not last.agrees:
        return (
            "budget spent: prediction and simulations still differ; raise the budget, or train on "
            "the returned data"
        )
    return (
        f"budget spent: the last check agrees, but its standard error is above {precision:g}; "
        "raise the budget or 'precision'"
    )


def _check_numbers(budget: int, precision: float, explore: float) -> None:
    check_whole(budget=budget)
    check_positive(optional=False, precision=precision)
    if not (is_number(explore) and 0 <= explore < 1):
        raise InputError(
            f"'explore' is {explore}; give a share of the budget, 0 or more and less than 1."
        )
