r"""Every check of a run in one go: a table, plain numbers and figures.

Of all tests of uniformity together at most one in a hundred raises a false alarm: with :math:`T`
of them each is held to the level :math:`0.01 / T`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from ..design import DesignPosterior, Draws, Materials, Target, sample_hmc
from ..design.simulation import Simulator, SimulatorFunction, adapted
from ..errors import InputError
from ..io.validation import check_seed, check_whole
from .checked import Checkup
from .coverage import plot_coverage, tarp
from .guides import guide_check, plot_guide
from .latents import latent_posterior, plot_latent_properties, plot_process_latent, process_latent
from .predictive import PredictiveCheck, compare_probability, predictive_check, simulate_at
from .reference_checks import check_images, check_probabilities, materials_of
from .reference_materials import ReferenceMaterials, study_targets
from .sbc import sbc, sbc_verdicts
from .sensitivity import prior_sensitivity, sensitivity_table
from .trials import Partition, sample_hmc_trials, simulate_trials
from .uniformity import Uniformity, plot_ranks

if TYPE_CHECKING:
    from ..data.triads import Triads
    from ..runs import Run

__all__ = ["Checkup", "check_run"]

_ALARM = 0.01
_FRESH = 1600
_DRAWS = 199
_LOOKS = 3

Progress = Callable[[str, int], Callable[[int], object]]


def check_run(
    run: Run,
    target: Target | None = None,
    *,
    simulations: int = 1000,
    materials: int = 300,
    reference: Triads | None = None,
    simulator: Simulator | SimulatorFunction | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Checkup:
    """Checks a run.

    Arguments:
        run: The run.
        target: The design question to check; None checks the model over its whole process space.

    Other arguments:
        simulations: Trials of simulation-based calibration and coverage; 0 leaves them out.
        materials: Fresh simulations of the predictive check.
        reference: Triads spread over the process space: predictions are scored against them, and
            images compared; None checks predictions beside fresh simulations alone.
        simulator: A chain, or a function of settings and seeds, for the fresh simulations.
        seed: Seeds everything.
        progress: Called with a title and a total, returns what is called with every advance.

    Raises:
        InputError: If there is neither a simulator nor a reference, the reference belongs to
            another run, or a number is too small.
    """
    check_whole(least=0, sbc=simulations, materials=materials)
    check_seed(seed)
    if (simulations != 0 and simulations < 10) or materials < 10:
        raise InputError(
            f"'sbc' is {simulations} and 'materials' {materials}; both must be at least 10, or "
            "'sbc' 0 to leave the trials out."
        )
    if reference is not None:
        run.check_against(reference)
    elif simulator is None:
        raise InputError(
            "'reference' is missing and there is no simulator to make fresh materials; give "
            "triads that no training saw (on the command line --reference) or a simulator "
            "(--simulator)."
        )
    chain = None if simulator is None else adapted(simulator, run.schema)
    images = run.schema.microstructure
    pictured = images is not None and not images.grey
    bar = progress or (lambda _title, _total: lambda _: None)
    found, tests = Checkup(content={"later": []}), {}
    if simulations:
        tests |= _trials(found, run, target, simulations, seed, bar)
    if reference is None:
        spread = _fresh(run, chain, seed, bar)
        over = predictive_check(run.members[0], spread, draws=_DRAWS, seed=seed)
    else:
        known = ReferenceMaterials.of(reference, seed=seed)
        asked = study_targets(reference) if target is None else {"target": target}
        scores = check_probabilities(found, run, known, asked, draws=_DRAWS, seed=seed)
        spread = materials_of(reference, known)
        if pictured:
            check_images(found, run, reference, spread, known.group[known.rows], seed=seed)
        over = PredictiveCheck(scores.pit)
    tests |= _predictions(found, run, target, chain, materials, over, seed, bar)
    level = _ALARM / len(tests)
    for name, (uniform, verdict) in tests.items():
        found.rows.append(
            (name, f"p = {uniform.p_value:.2g}, gap {uniform.gap:.3f}", verdict(level))
        )
    found.content |= {"false_alarm_rate": _ALARM, "tests": len(tests)}
    if spread.x is not None:
        _guide(found, run, spread, seed)
        _latents(found, run, spread, seed)
    else:
        found.notes.append("Left out, since there are no images: the guide and the latents.")
    found.rows += found.content.pop("later")
    return found


_Tests = dict[str, tuple[Uniformity, Callable[[float], str]]]


def _trials(
    found: Checkup, run: Run, target: Target | None, simulations: int, seed: int, bar: Progress
) -> _Tests:
    """Calibration and coverage of the sampled posterior."""
    model, draws, thin, warmup = run.members[0], 63, 2, 150
    cells = Partition.quantiles(model) if target is None else Partition.of(target)
    tick = bar("calibration", warmup + thin * draws)
    sampler = partial(sample_hmc_trials, warmup=warmup, thin=thin, progress=tick)
    trials = simulate_trials(
        model, cells, simulations=simulations, draws=draws, sampler=sampler, seed=seed
    )
    found.tree = sbc(trials)
    verdicts = sbc_verdicts(found.tree)
    coverages = [tarp(trials, of="phi"), tarp(trials, of="phi and z0")]
    ranks = found.tree["prior_sbc"].to_dataset()
    found.figures["sbc"] = plot_ranks({str(k): v.values for k, v in ranks.items()})
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), layout="constrained")
    for ax, coverage in zip(axes, coverages, strict=True):
        plot_coverage(coverage, ax)
    found.figures["coverage"] = figure
    found.content["cells"] = cells.edges
    found.content["sbc"] = {name: u.to_json() for name, u in verdicts.items()}
    found.content["coverage"] = {
        c.of: c.uniformity.to_json()
        | {"verdict": c.verdict(), "inside_50_percent": c.at(0.5), "inside_89_percent": c.at(0.89)}
        for c in coverages
    }
    tests: _Tests = {f"calibration, {name}": (u, u.verdict) for name, u in verdicts.items()}
    return tests | {f"coverage, {c.of}": (c.uniformity, c.verdict) for c in coverages}


def _fresh(run: Run, chain: Simulator | None, seed: int, bar: Progress) -> Materials:
    """Fresh materials over the whole process space."""
    phi = run.members[0].process.sample(_FRESH, np.random.default_rng((seed, 1)))
    if chain is None:
        raise InputError("'reference' is missing; give triads with --reference.")
    return simulate_at(chain, phi, seed=seed + 1, progress=bar("simulating", _FRESH))


def _predictions(
    found: Checkup,
    run: Run,
    target: Target | None,
    chain: Simulator | None,
    materials: int,
    over: PredictiveCheck,
    seed: int,
    bar: Progress,
) -> _Tests:
    """The model's predictions beside materials over the process space and at posterior draws."""
    sets = {"predictions over U_φ": over}
    if target is not None:
        posterior = DesignPosterior(run.members[0], target, support=run.support)
        draws = sample_hmc(posterior, seed=seed, progress=bar("sampling", 350))
        _sensitivity(found, posterior, draws)
        if chain is not None:
            phi = draws.phi.reshape(-1, draws.phi.shape[-1])
            chosen = np.random.default_rng((seed, 2)).choice(len(phi), materials, replace=False)
            here = simulate_at(
                chain, phi[chosen], seed=seed, progress=bar("simulating", materials)
            )
            check = predictive_check(run.members[0], here, draws=_DRAWS, seed=seed)
            sets["predictions at posterior φ"] = check
            _posterior_probability(found, run, target, here)
    tests: _Tests = {}
    pits = {}
    for name, check in sets.items():
        found.content[name] = {key: u.to_json() for key, u in check.uniformity.items()}
        for key, u in check.uniformity.items():
            tests[f"{name}, {key}"] = (u, u.verdict)
            pits[f"{name.split()[-1]}, {key}"] = check.pit[key]
    found.figures["predictions"] = plot_ranks(pits)
    return tests


def _posterior_probability(found: Checkup, run: Run, target: Target, materials: Materials) -> None:
    both = compare_probability(run.members[0], target, materials)
    found.content["probability_over_posterior"] = both.to_json()
    text = f"model {both.model}, simulated {both.simulated}"
    word = "agree" if both.agree else f"differ by {both.difference}"
    found.content["later"].append(("P(target) over posterior φ", text, word))


def _sensitivity(found: Checkup, posterior: DesignPosterior, draws: Draws) -> None:
    table = prior_sensitivity(posterior, draws)
    found.notes += [f"Design posterior: {draws}", sensitivity_table(table)]
    found.content["posterior_status"] = draws.status
    found.content["prior_sensitivity"] = {
        str(prior): {
            "mean": table["mean"].sel(prior=prior).values.tolist(),
            "shift_in_sd": table["shift"].sel(prior=prior).values.tolist(),
            "pareto_k": float(table["pareto_k"].sel(prior=prior)),
        }
        for prior in table["prior"].values
    }


def _guide(found: Checkup, run: Run, spread: Materials, seed: int) -> None:
    cells = min(16, 1 << max(0, (len(spread) // 50).bit_length() - 1))
    check = guide_check(run.members[0], spread, cells=cells, seed=seed)
    numbers = check.to_json()
    found.content["guide"] = numbers
    found.figures["guide"] = plot_guide(check)
    for key, name in (("all_entries", "all of z0"), ("entries_read", f"first {check.reads}")):
        part = numbers[key]
        off = part["share_off_by_three_noises"]
        for where in ("marginal", "in_cells"):
            low, high = part[f"variance_range_{where}"]
            found.content["later"].append(
                (
                    f"guide / prior variance, {name}, {where.replace('_', ' ')}",
                    f"{low:.2f} to {high:.2f}",
                    "" if where == "marginal" else f"{100 * off:.0f} % of cells off by 3 noises",
                )
            )


def _latents(found: Checkup, run: Run, spread: Materials, seed: int) -> None:
    model = run.members[0]
    found.figures["process_latent"] = plot_process_latent(process_latent(model), model)
    if len(model.property_names) < 2:
        return
    chosen = np.random.default_rng((seed, 3)).choice(len(spread), _LOOKS, replace=False)
    some = spread.rows(chosen)
    clouds = latent_posterior(model, some, seed=seed)
    figure, axes = plt.subplots(1, _LOOKS, figsize=(3.6 * _LOOKS, 3.4), layout="constrained")
    for i, ax in enumerate(axes):
        plot_latent_properties(clouds, i, ax)
    found.figures["latents"] = figure
    found.content["log_density_of_m"] = {
        "given_x_and_phi": clouds["log_density"].values.tolist(),
        "given_phi": clouds["log_density_prior"].values.tolist(),
    }
