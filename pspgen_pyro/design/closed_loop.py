r"""Design in a closed loop: the simulator corrects the model where the answer is sought.

Each round asks the model for :math:`\varphi^*`, simulates fresh materials there (the *check*) and
compares the frequency with the model's P. Where the model has to learn, it simulates on around
it, over the near-optimal set,

.. math::
    \{\varphi : P(m \in \mathcal{M}_d \mid \varphi) \ge \kappa\, P(m \in \mathcal{M}_d \mid
        \varphi^*)\},

since any of its members could turn out to be the best, and refits the model on these triads and
the old ones (`refinement`). The checks are kept from every model until the answer is out: they
judge it, have no part in the choice of :math:`\varphi^*`, and together with the model's P they say
what P is there (`discrepancy`). The error of that answer knows of both.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..batches import Batches
from ..errors import InputError, SimulationError
from ..model import PSPGen
from .ascent import Design, maximise
from .bench import Bench, Simulator, joined
from .discrepancy import Discrepancy
from .probability import Estimate, log_probability, probability, sobol_normal
from .refinement import Refinement
from .target import Target
from .verification import frequency

__all__ = ["ClosedLoop", "Round", "design_in_loop"]

_SCOUTS, _SCOUT_DRAWS = 512, 64


@dataclass(frozen=True)
class Round:
    r"""One turn of the loop.

    Arguments:
        phi: The round's :math:`\varphi^*`, with shape `(P)`.
        predicted: The model's P there.
        simulated: The frequency of the target in the check, which no model has seen.
        checks: The simulator calls of the check.
        spread: The simulator calls spread over the near-optimal set.
        calls: All simulator calls up to the end of this round.
        agrees: Whether the two differ by at most twice the standard error of their difference,
            the model taken at its word.
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
            f"φ* = ({phi}): model {self.predicted}, {self.checks} simulations {self.simulated}, "
            f"{verdict}; {self.spread} spread; {self.calls} calls so far"
        )


@dataclass(frozen=True)
class ClosedLoop:
    r"""What the loop found.

    Arguments:
        target: What was asked.
        phi: The last round's :math:`\varphi^*`, with shape `(P)`.
        probability: P there by the model and the checks together. Its error, a standard deviation,
            is all that is unknown about P, not only that of the integral over z0.
        predicted: P there by the model alone, which has learned what was spread and no check.
        rounds: Every round, in order.
        model: The model refined on all simulations, the checks included; the one passed in is as
            it was.
        data: The data passed in, the simulated triads added to the training fold.
        calls: The simulator calls, checks and failed ones included; never more than the budget.
        failed: How many of them failed.
        status: "agreed", or why the loop ended without.
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
    status: str
    seconds: float

    def __str__(self) -> str:
        lines = [f"round {i}  {turn}" for i, turn in enumerate(self.rounds, 1)]
        return "\n".join(
            [*lines, f"answer   P(m ∈ {self.target}) = {self.probability}; {self.status}"]
        )


def design_in_loop(
    model: PSPGen,
    data: Batches,
    target: Target,
    *,
    simulator: Simulator,
    budget: int = 500,
    precision: float = 0.03,
    explorations: int = 1,
    near: float = 0.8,
    refine: Refinement = Refinement(),  # noqa: B008
    discrepancy: Discrepancy = Discrepancy(),  # noqa: B008
    starts: int = 8,
    draws: int = 256,
    seed: int = 0,
) -> ClosedLoop:
    r"""Maximises :math:`P(m \in \mathcal{M}_d \mid \varphi)` with a simulator at hand.

    The first rounds explore: 5 % of the budget checks and 15 % is spread. Then a check is carried
    on until its standard error is `precision` or it plainly disagrees. If it agrees the loop ends,
    else the round explores as well and the next one checks again. Once too little is left for
    that, all of it goes into the check.

    Arguments:
        model: The trained model; it is left alone.
        data: The triads that it was trained on.
        target: The region of property space.

    Other arguments:
        simulator: The chain, or anything with its `process` and `simulate`.
        budget: The largest number of simulator calls.
        precision: The standard error of the frequency that ends the loop.
        explorations: How many rounds explore whether or not their check agrees.
        near: The fraction κ of P that the near-optimal set starts from.
        refine: How the model learns the new triads.
        discrepancy: How far the model may be off; what the checks are combined with it by.
        starts: Starts of each ascent.
        draws: Sobol points of each ascent.
        seed: Seeds everything; no data set shares its random numbers.

    Returns:
        The answer, with every round.

    Raises:
        InputError: If a number is out of range, or the target, the data or the simulator do not
            fit the model.
        SimulationError: If every simulation of a check failed.
    """
    _check_fit(model, data, target, simulator)
    _check_numbers(budget, precision, explorations, near)
    begin = time.process_time()
    bench = Bench(simulator, data.train, budget, seed)
    current, rounds, done = model, [], False
    while not done and bench.left:
        start, turn = time.process_time(), len(rounds)
        design = maximise(current, target, starts=starts, draws=draws, seed=seed + turn)
        goal = precision if turn >= explorations else math.inf
        checked, simulated = _check(bench, target, design, goal)
        agrees = not _differ(design.probability, simulated)
        done = agrees and float(simulated.standard_error) <= precision and turn >= explorations
        count = 0 if done or not bench.can_spread else bench.portion
        if count:
            bench.spread(_near_optimal(current, target, design, near, count, bench.rng))
            current = refine(model, data.train, bench.spreads, seed + turn)
        spent = time.process_time() - start
        rounds.append(
            Round(
                design.phi,
                design.probability,
                simulated,
                checked,
                count,
                bench.calls,
                agrees,
                spent,
            )
        )
    last = rounds[-1]
    both, alone = _combined(current, target, bench.counts, discrepancy, seed)
    new = joined(bench.spreads, bench.checks)
    return ClosedLoop(
        target=target,
        phi=last.phi,
        probability=both,
        predicted=alone,
        rounds=tuple(rounds),
        model=refine(model, data.train, new, seed + len(rounds)),
        data=Batches(joined(data.train, new), data.validation),
        calls=bench.calls,
        failed=bench.failed,
        status=_status(done, last, precision),
        seconds=time.process_time() - begin,
    )


def _check(bench: Bench, target: Target, design: Design, precision: float) -> tuple[int, Estimate]:
    """Simulates at the design until the frequency is precise, plainly off with enough left to
    learn from that, or paid in full."""
    start, known, hits = bench.calls, 0, 0
    while True:
        more_known, more_hits = bench.check(design.phi, target)
        known, hits = known + more_known, hits + more_hits
        if not known:
            raise SimulationError(
                f"all {bench.calls - start} simulations at φ = {design.phi.tolist()} failed; "
                "simulate it by itself to see why."
            )
        simulated = frequency(hits, known)
        enough = float(simulated.standard_error) <= precision
        plain = bench.can_spread and _differ(design.probability, simulated, 3.0)
        if enough or plain or not bench.left:
            return bench.calls - start, simulated


def _combined(
    model: PSPGen,
    target: Target,
    counts: list[tuple[NDArray[np.float64], int, int]],
    discrepancy: Discrepancy,
    seed: int,
) -> tuple[Estimate, Estimate]:
    """P at the last setting that was checked: by the model and all the checks, which it has not
    seen, and by the model alone."""
    settings, hits, samples = (np.array(column) for column in zip(*counts, strict=True))
    there, which = np.unique(settings, axis=0, return_inverse=True)
    alone = probability(model, target, there, seed=seed)
    h, n = (np.bincount(which.ravel(), column) for column in (hits, samples))
    last = which.ravel()[-1]
    both = discrepancy.posterior(
        model.process, there, alone.value, h, n, there[last], alone.value[last]
    )
    return both, Estimate(alone.value[last], alone.standard_error[last])


def _near_optimal(
    model: PSPGen,
    target: Target,
    design: Design,
    near: float,
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Settings from the near-optimal set, with shape `(count, P)`: half of the scouts look
    everywhere and half around the ends of the ascents; the best ones fill up a set too small."""
    low, high = np.array(model.process.lower), np.array(model.process.upper)
    scouts, size = max(_SCOUTS, count), len(low)
    around = design.starts[rng.integers(len(design.starts), size=scouts)]
    around = around + 0.1 * (high - low) * rng.standard_normal((scouts, size))
    phi = np.concatenate([rng.uniform(low, high, (scouts, size)), np.clip(around, low, high)])
    noise = sobol_normal(_SCOUT_DRAWS, model.dims.latent, int(rng.integers(1 << 31)))
    inputs = torch.tensor(phi).to(model.m_loc).split(64)
    with torch.no_grad():
        log_p = torch.cat(
            [log_probability(model, target, part, noise.to(model.m_loc)) for part in inputs]
        )
    values = log_p.double().cpu().numpy()
    inside = int((values >= values.max() + math.log(near)).sum())
    best = np.argsort(-values)[: max(count, inside)]
    return phi[rng.choice(best, count, replace=False)]


def _differ(predicted: Estimate, simulated: Estimate, errors: float = 2.0) -> bool:
    error = math.hypot(predicted.standard_error, simulated.standard_error)
    return abs(float(predicted.value) - float(simulated.value)) > errors * error


def _status(done: bool, last: Round, precision: float) -> str:
    if done:
        return "agreed"
    if not last.agrees:
        return (
            "budget spent: model and simulations still differ; raise the budget, or train on the "
            "returned data"
        )
    return (
        "budget spent: the last check agrees, but its standard error "
        f"{float(last.simulated.standard_error):.3f} or the rounds explored do not suffice for "
        f"'precision' {precision:g}; raise the budget or the precision"
    )


def _check_fit(model: PSPGen, data: Batches, target: Target, simulator: Simulator) -> None:
    target.check_against(model.dims.properties)
    data.check_against(model)
    ours, theirs = model.process, simulator.process
    if (ours.names, ours.lower, ours.upper) != (theirs.names, theirs.lower, theirs.upper):
        raise InputError(
            f"'simulator' has the process {theirs.names} in {theirs.lower} to {theirs.upper} but "
            f"the model {ours.names} in {ours.lower} to {ours.upper}; pass the simulator of the "
            "model's data."
        )


def _check_numbers(budget: int, precision: float, explorations: int, near: float) -> None:
    if budget < 1:
        raise InputError(f"'budget' is {budget}; give the number of simulator calls, at least 1.")
    if not precision > 0:
        raise InputError(f"'precision' is {precision}; give a standard error above 0.")
    if explorations < 0:
        raise InputError(f"'explorations' is {explorations}; give 0 or more rounds.")
    if not 0 < near <= 1:
        raise InputError(f"'near' is {near}; give a fraction of the best P, above 0, at most 1.")
