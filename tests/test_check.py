"""Claims about predictions, priors and `pspgen check`: right models pass, wrong ones are named."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from exact import exact_model
from matplotlib import pyplot as plt
from pyro.distributions import Beta, TransformedDistribution
from torch.distributions import AffineTransform

from pspgen_pyro import Box, InputError
from pspgen_pyro.cli import main
from pspgen_pyro.data import Triads
from pspgen_pyro.design import DesignPosterior, Draws, Estimate, Materials
from pspgen_pyro.diagnosis import (
    ReferenceMaterials,
    checkup,
    compare_probability,
    predictive_check,
    prior_sensitivity,
    reference_checks,
    sensitivity_table,
    simulate_at,
)
from pspgen_pyro.diagnosis.predictive import draw_properties
from pspgen_pyro.diagnosis.reference_checks import check_probabilities
from pspgen_pyro.diagnosis.trials import _simulate
from pspgen_pyro.report import model_surface, reference_surface, surface_error
from pspgen_pyro.runs import load_run
from pspgen_pyro.study import case

BOX = Box((-1.2, -0.8), (1.4, 1.8))


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        model = exact_model().double()
    model.m_scale.fill_(2.0)
    return model


@pytest.fixture(scope="module")
def materials(model):
    """Materials that follow the model's own law."""
    phi, _, m = _simulate(model, 800, 3)
    return Materials(phi, np.zeros((800, 3, 3), dtype=np.uint8), m)


def moved(model, materials, shift=0.0, factor=1.0):
    """Materials whose law is shifted, or has another width about the same mean given φ."""
    middle = draw_properties(model, materials.phi, 200, 0).mean(axis=0)
    return Materials(materials.phi, materials.x, middle + factor * (materials.m - middle) + shift)


def test_materials_of_the_models_own_law_pass_the_predictive_check(model, materials):
    found = predictive_check(model, materials).uniformity
    assert [u.verdict(1e-3) for u in found.values()] == ["uniform", "uniform"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"shift": 0.5}, "draws too low"),
        ({"factor": 1.5}, "overconfident"),
        ({"factor": 0.6}, "timid"),
    ],
)
def test_other_materials_are_told_apart_and_the_direction_is_named(model, materials, change, word):
    found = predictive_check(model, moved(model, materials, **change)).uniformity
    assert {u.verdict(1e-3) for u in found.values()} == {word}


def test_the_models_own_probability_agrees_with_its_own_materials_and_no_others(model, materials):
    both = compare_probability(model, BOX, materials)
    assert abs(both.difference.value) < 3 * both.difference.standard_error
    assert both.difference.value == pytest.approx(both.model.value - both.simulated.value)
    assert not compare_probability(model, BOX, moved(model, materials, shift=1.5)).agree


def test_fresh_materials_do_not_depend_on_their_neighbours():
    chain = case("case1").chain
    phi = chain.process.sample(4, np.random.default_rng(0))
    all_, some = simulate_at(chain, phi, seed=2), simulate_at(chain, phi[:2], seed=2)
    np.testing.assert_array_equal(all_.x[:2], some.x)


def drawn(model, prior=None):
    """Exact posterior draws by rejection, φ uniform or from Beta(2, 2)."""
    phi, z0, m = _simulate(model, 60_000, 8)
    if prior is not None:
        weight = prior.log_prob(torch.tensor(phi)).exp().numpy()
        keep = np.random.default_rng(0).random(len(phi)) < weight / weight.max()
        phi, z0, m = phi[keep], z0[keep], m[keep]
    inside = BOX.contains(m)
    one = Estimate(np.array(inside.mean()), np.array(0.0))
    return Draws(
        "exact", BOX, model.process.names, phi[inside][None], z0[inside][None], {}, one, "", 0.0
    )


@pytest.fixture(scope="module")
def sensitivity(model):
    return prior_sensitivity(DesignPosterior(model, BOX), drawn(model))


def test_weighed_draws_have_the_moments_of_the_posterior_under_the_other_prior(model, sensitivity):
    ends = AffineTransform(torch.full((2,), -1.0).double(), torch.full((2,), 2.0).double())
    centred = Beta(torch.full((2,), 2.0).double(), 2.0)
    prior = TransformedDistribution(centred, [ends]).to_event(1)
    exact = drawn(model, prior).phi[0]
    ours = sensitivity.sel(prior="centre")
    error = exact.std(axis=0) * np.hypot(
        len(exact) ** -0.5, ours["effective_draws"].item() ** -0.5
    )
    assert (abs(ours["mean"].values - exact.mean(axis=0)) < 4 * error).all()
    np.testing.assert_allclose(ours["sd"], exact.std(axis=0), rtol=0.05)


def test_a_slope_of_the_prior_moves_the_posterior_the_same_way(sensitivity):
    for j, name in enumerate(("phi1", "phi2")):
        assert sensitivity["shift"].sel(prior=f"high {name}").values[j] > 0.1
        assert sensitivity["shift"].sel(prior=f"low {name}").values[j] < -0.1
    assert (sensitivity["shift"].sel(prior="as sampled") == 0).all()


def test_steep_edges_are_marked_by_their_pareto_k(sensitivity):
    heavy, light = (float(sensitivity["pareto_k"].sel(prior=p)) for p in ("edges", "centre"))
    assert heavy > 0.3 > light
    table = sensitivity_table(sensitivity)
    assert len(table.splitlines()) == 1 + sensitivity.sizes["prior"]


def run(*args):
    try:
        return main([str(arg) for arg in args])
    except SystemExit as exit_:
        return exit_.code


@pytest.fixture
def _brisk(monkeypatch):
    """Fewer draws: what they are worth is checked elsewhere."""
    for name, options in {
        "sample_hmc": {"draws": 20, "warmup": 20, "chains": 16},
        "sample_hmc_trials": {"warmup": 20, "thin": 1},
        "latent_posterior": {"draws": 4, "chains": 2, "warmup": 10, "thin": 1},
    }.items():
        slow = getattr(checkup, name)

        def brisk(*args, _slow=slow, _options=options, **kwargs):
            return _slow(*args, **{**kwargs, **_options})

        monkeypatch.setattr(checkup, name, brisk)
    for name, number in {"_SETTINGS": 2, "_COUNT": 12}.items():
        monkeypatch.setattr(reference_checks, name, number)
    yield
    plt.close("all")


FIGURES = {
    *("sbc", "coverage", "predictions", "guide", "process_latent", "latents", "training"),
    *("reliability", "probabilities", "central_coverage", "density_scores"),
    *("reconstruction", "generated", "generated_images"),
}


@pytest.mark.usefixtures("_brisk")
@pytest.mark.usefixtures("few_candidates")
def test_check_writes_numbers_figures_and_a_tree_for_arviz(toy_run, toy_path, tmp_path, capsys):
    out = tmp_path / "checks"
    options = ["--target=-10:-9,-7:-5", "--reference", toy_path, "--sbc", 12, "--materials", 12]
    assert run("check", toy_run, *options, "--out", out) == 0
    printed = capsys.readouterr().out
    for words in ("calibration, phi1", "coverage, phi", "P(target) over posterior", "in cells"):
        assert words in printed
    content = json.loads((out / "check.json").read_text())
    assert content["sbc"]["phi1"]["count"] == 12
    assert content["predictions at posterior φ"]["horizontal"]["count"] == 12
    assert content["guide"]["materials"] == 240
    assert content["prior_sensitivity"].keys() >= {"centre", "edges", "low phi1"}
    assert content["reference"]["targets"]["target"]["brier"]["standard_error"] > 0
    assert content["reconstruction"]["images"] == 240
    assert len(content["generated"]) == 2
    figures = {path.stem for path in out.glob("*.svg")}
    assert figures == FIGURES
    tree = xr.open_datatree(out / "sbc.zarr", engine="zarr", consolidated=False)
    assert dict(tree["prior_sbc"].sizes) == {"sample": 12}
    assert run("check", toy_run, *options, "--out", out) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("_brisk")
@pytest.mark.usefixtures("few_candidates")
def test_check_without_a_target_checks_the_whole_space_and_writes_json(
    toy_run, toy_path, tmp_path
):
    out = tmp_path / "check.json"
    assert run("check", toy_run, "--reference", toy_path, "--sbc", 12, "--out", out) == 0
    content = json.loads(out.read_text())
    assert content["target"] is None
    assert [len(edges) for edges in content["cells"]] == [3, 3]
    assert "prior_sensitivity" not in content
    assert list(content["reference"]["targets"]) == ["L", "M", "R"]


@pytest.mark.slow
@pytest.mark.usefixtures("_brisk")
def test_without_trials_the_reference_alone_is_judged(toy_run, toy_path, tmp_path, capsys):
    out = tmp_path / "check.json"
    assert run("check", toy_run, "--reference", toy_path, "--sbc", 0, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "calibration, phi1" not in printed
    for words in ("RMSE of P(L)", "energy score", "pixels right", "generated, phi1"):
        assert words in printed
    content = json.loads(out.read_text())
    assert {"sbc", "coverage"} & content.keys() == set()
    assert content["tests"] == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sbc", 5], "'sbc' is 5"),
        (["--sbc", -1], "'sbc' is -1"),
        (["--materials", 2], "'materials' 2"),
        (["--target=-9:-10,-7:-5"], "'target' is inverted"),
        (["--reference", "nowhere.zarr"], "nowhere.zarr"),
    ],
)
def test_bad_options_end_in_one_sentence_and_write_nothing(
    toy_run, tmp_path, capsys, options, words
):
    out = tmp_path / "checks"
    assert run("check", toy_run, *options, "--out", out) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("pspgen: error: ")
    assert words in line
    assert not list(tmp_path.iterdir())


def test_a_reference_on_a_grid_gives_the_error_of_the_surface(toy_run, toy_triads):
    known, index = load_run(toy_run), np.repeat(np.arange(16), 15)
    data = toy_triads.data.assign_attrs(split="reference").assign(
        phi=(("sample", "parameter"), known.model.process.grid(4)[index]),
        phi_index=("sample", index),
    )
    grid = Triads(toy_triads.schema, data)
    found, box = checkup.Checkup(content={"later": []}), Box((-10, -7), (-9, -5))
    scores = check_probabilities(found, known, ReferenceMaterials.of(grid), {"L": box})
    numbers = found.content["reference"]["targets"]["L"]["rmse"]
    surface = reference_surface(grid, box)
    axes = [surface[name].values for name in known.model.process.names]
    error = surface_error(
        model_surface(known.model, box, axes)["probability"],
        surface["probability"],
        surface["samples"],
    )
    assert numbers["resolution"] == pytest.approx(error.resolution)
    assert numbers["value"] == pytest.approx(error.rmse, abs=0.01)
    assert found.content["later"][0][0] == "RMSE of P(L)"
    assert scores.targets["L"].observed.shape == (16,)
    plt.close("all")


def test_a_reference_of_another_preset_is_refused(toy_run, toy_triads):
    other = Triads(toy_triads.schema, toy_triads.data.assign_attrs(preset="as_stated"))
    with pytest.raises(InputError, match="must not be mixed"):
        load_run(toy_run).check(other)


def test_a_run_of_foreign_data_asks_for_a_reference_or_a_simulator(toy_run):
    known = load_run(toy_run)
    foreign = replace(known, data=known.data | {"case": "mine"})
    with pytest.raises(InputError, match=r"--reference\) or a simulator"):
        foreign.check()
