"""Claims about objectives and optimisers: closed forms, known optima, one answer by any route."""

import json

import numpy as np
import pytest
import torch
from exact import PROCESS, exact_model, property_law, schema_of
from torch.distributions import Independent, MultivariateNormal, Normal

from pspgen_pyro import Box, InputError, PSPGen, load_run, maximise, probability
from pspgen_pyro.cli import main
from pspgen_pyro.design import (
    LBFGS,
    SGD,
    Adam,
    Cautious,
    ClosedForm,
    KullbackLeibler,
    Probability,
    ScoreFunction,
    SquaredDistance,
    UniformInTarget,
    sobol_normal,
)
from pspgen_pyro.model.ensemble import Ensemble

BOX = Box((-0.6, -0.4), (0.7, 0.9))
NOISE = sobol_normal(4096, 3, 0, torch.float64)


def test_the_mean_squared_distance_is_bias_squared_plus_variance():
    model, phi = exact_model(), torch.tensor([[0.2, -0.3], [0.9, 0.1]])
    loc, covariance = property_law(model, phi)
    point, weights = torch.tensor([0.5, -1.0]), torch.tensor([2.0, 0.5])
    exact = ((loc - point) ** 2 + covariance.diagonal()) @ weights
    ours = SquaredDistance((0.5, -1.0), (2.0, 0.5)).value(model, phi, NOISE)
    assert torch.allclose(ours, exact, rtol=1e-3)


def test_the_divergence_from_a_normal_density_is_the_closed_form():
    model, phi = exact_model(), torch.tensor([[0.2, -0.3], [0.9, 0.1]])
    loc, covariance = property_law(model, phi)
    wanted = MultivariateNormal(loc[0] + 0.3, 0.7 * covariance)
    exact = torch.distributions.kl_divergence(wanted, MultivariateNormal(loc, covariance))
    ours = KullbackLeibler(wanted, points=256).value(model, phi, NOISE)
    assert torch.allclose(ours, exact, rtol=0.03)


def test_the_divergence_vanishes_where_the_model_has_the_wanted_density_and_ascent_goes_there():
    model, there = exact_model(), torch.tensor([[0.3, -0.4]])
    loc, covariance = property_law(model, there)
    wanted = MultivariateNormal(loc[0].detach(), covariance.detach())
    design = maximise(model, KullbackLeibler(wanted), draws=256)
    assert design.status.startswith("converged")
    assert abs(design.value.value) < 0.02
    assert property_law(model, torch.tensor(design.phi[None]))[0].detach() == pytest.approx(
        loc.detach(), abs=0.1
    )


def test_the_least_squared_distance_is_where_the_mean_comes_nearest():
    model = exact_model()
    design = maximise(model, SquaredDistance((0.1, 0.2)))
    grid = PROCESS.grid(61)
    loc, covariance = property_law(model, torch.tensor(grid))
    exact = ((loc - torch.tensor([0.1, 0.2])) ** 2).sum(-1) + covariance.trace()
    # the value is an estimate at fresh points
    error = 2 * float(design.value.standard_error) + 1e-3
    assert design.value.value <= exact.min().item() + error
    with pytest.raises(InputError, match="read 'value'"):
        _ = design.probability


def test_a_cautious_design_has_the_highest_lower_end_of_all_settings():
    ensemble = Ensemble(tuple(exact_model(seed=seed) for seed in range(3)))
    bold, careful = maximise(ensemble, BOX), maximise(ensemble, Cautious(BOX))
    found = probability(ensemble, BOX, ensemble.process.grid(15), draws=512)
    two = probability(ensemble, BOX, np.stack([bold.phi, careful.phi]), draws=512)
    assert two.low[1] >= found.low.max() - 0.003
    assert two.low[1] > two.low[0]
    assert two.value[1] < two.value[0]


@pytest.mark.slow
def test_every_optimiser_ends_at_the_same_answer():
    model = exact_model()
    best = maximise(model, BOX)
    estimators = (ClosedForm(100), ScoreFunction(500), UniformInTarget(500))
    ways = (SGD(e, samples=60 * e.draws, epochs=6, learning_rate=2) for e in estimators)
    for way in (Adam(steps=150), *ways):
        other = maximise(model, BOX, optimiser=way, starts=2)
        assert other.scores.max() == pytest.approx(best.scores.max(), abs=0.02)


def test_adam_finds_a_corner_exactly_although_its_coordinates_have_no_bounds():
    model, far = exact_model(), Box((2.0, -50.0), (60.0, 50.0))
    assert maximise(model, far, optimiser=Adam()).phi == pytest.approx(
        maximise(model, far).phi, abs=1e-9
    )


def test_the_sensitivity_predicts_how_log_p_changes_in_process_units():
    model = exact_model()
    design = maximise(model, Box((-0.6, -3.0), (0.7, 3.0)))
    noise = sobol_normal(512, 3, 0, torch.float64)
    step = torch.tensor([[5e-3, 0.0], [0.0, 5e-3], [5e-3, -5e-3], [0.0, 0.0]])
    with torch.no_grad():
        phi = torch.tensor(design.phi) - step
        log_p = Probability(design.target).score(model, phi, noise)
    step = -step.numpy()
    taylor = step @ design.gradient + 0.5 * ((step @ design.curvature) * step).sum(-1)
    assert taylor[:3] == pytest.approx((log_p - log_p[3]).numpy()[:3], abs=1e-6)


def test_the_history_never_falls_once_it_climbs_the_full_sample():
    design = maximise(exact_model(), BOX, optimiser=LBFGS(coarse=10_000), starts=1)
    assert (np.diff(design.history) >= -1e-12).all()
    assert design.history[-1] == pytest.approx(design.scores.max(), abs=1e-12)


def test_too_few_iterations_are_said_with_what_to_try():
    assert "raise 'iterations'" in maximise(exact_model(), BOX, iterations=1).status
    assert "raise 'steps'" in maximise(exact_model(), BOX, optimiser=Adam(steps=3)).status


def test_a_region_that_hardly_any_material_reaches_is_unsupported_whatever_p_its_best_has():
    model = exact_model()
    # sharp in φ: only a sliver of the process space gets there
    with torch.no_grad():
        model.process_map.weight *= 2000
        model.decoder_m.weight[:, :3] *= 0.1
    there = property_law(model, torch.tensor([[0.301, -0.407]]))[0][0].detach().numpy()
    design = maximise(model, Box.around(there, 2.0))
    assert design.share < 1e-4
    assert design.status.startswith("unsupported")


def test_a_model_with_weights_that_are_not_numbers_has_no_answer(toy_run):
    model = load_run(toy_run).model
    with torch.no_grad():
        model.prior.networks.last.bias[:] = torch.nan
    design = maximise(model, SquaredDistance((-7.0, -7.0)))
    assert design.status.startswith("not converged")


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: maximise(model, SquaredDistance((0.0,))),
        lambda model: SquaredDistance((0.0, 0.0), (1.0, -1.0)),
        lambda model: maximise(model, SquaredDistance((0.0, 0.0)), optimiser=SGD()),
        lambda model: maximise(model, BOX, optimiser=Adam(steps=0)),
        lambda model: maximise(model, BOX, optimiser=SGD(samples=0)),
        lambda model: maximise(model, BOX, optimiser=LBFGS(coarse=0)),
        lambda model: maximise(model, Cautious(BOX)),
        lambda model: KullbackLeibler(Normal(torch.zeros(2), torch.ones(2))),
        lambda model: maximise(
            model, KullbackLeibler(Independent(Normal(torch.zeros(3), torch.ones(3)), 1))
        ),
    ],
)
def test_what_does_not_fit_is_refused(ask):
    with pytest.raises(InputError):
        ask(exact_model())


@pytest.mark.parametrize("parameters", [2, 10])
def test_a_design_takes_three_cpu_seconds_at_most_and_ten_on_ten_parameters(parameters):
    from pspgen_pyro import ProcessSpace

    names = tuple(f"phi{i}" for i in range(parameters))
    process = ProcessSpace(names, (0.0,) * parameters, (1.0,) * parameters)
    model = PSPGen(schema_of(process, (36, 36))).float()
    model.standardise_by(torch.randn(100, 2) - 7)
    fastest = min(
        maximise(model, Box((-7.5, -9.0), (-6.0, -7.0)), seed=seed).seconds for seed in range(3)
    )
    assert fastest < {2: 3.0, 10: 10.0}[parameters]


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_the_command_line_designs_for_bounds_by_name_and_tells_the_sensitivity(
    toy_run, capsys, optimiser
):
    target = "--target=ln horizontal>-7,ln vertical<-9; -10:-9,-7:-5"
    options = ["--optimiser", optimiser, "--starts", "2", "--draws", "64"]
    assert main(["design", str(toy_run), target, *options, "--json"]) in (0, None)
    answer = json.loads(capsys.readouterr().out)
    words = "ln horizontal > -7 and ln vertical < -9"
    ends = {"lower": [-7, None], "upper": [None, -9], "words": words}
    assert answer["target"]["boxes"][0] == ends
    assert answer["settings"]["optimiser"] == optimiser
    assert answer["sensitivity"]["gradient"].keys() == answer["phi"].keys()
    main(["design", str(toy_run), target, *options])
    printed = capsys.readouterr().out
    assert f"{words} or m ∈ [-10, -9] × [-7, -5]" in printed
    assert "when phi2 moves by d" in printed
