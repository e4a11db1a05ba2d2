"""Claims about ensembles: what their spread is, that they are asked as one model is, and that who
trains the members does not matter."""

import json

import numpy as np
import pytest
import torch
import xarray as xr
from exact import exact_model, tilted
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t
from small import paper_model, quick, triads

from pspgen_pyro import Batches, Box, InputError, maximise, probability
from pspgen_pyro.cli import main
from pspgen_pyro.data.batches import Batch
from pspgen_pyro.design import SGD, Cautious, DesignPosterior, SquaredDistance, sample_hmc
from pspgen_pyro.design.estimates import EnsembleEstimate, ends_of, link, unlink
from pspgen_pyro.diagnosis import to_datatree
from pspgen_pyro.errors import TrainingError
from pspgen_pyro.model.ensemble import Ensemble
from pspgen_pyro.rivals import EnsemblePredictor, PSPGenPredictor
from pspgen_pyro.runs import Run, load_run
from pspgen_pyro.training.checkpoint import History
from pspgen_pyro.training.ensemble import fit_ensemble

BOX = Box((-0.6, -1.0), (0.7, 0.8))
PHI = np.array([[0.1, 0.2], [-0.7, 0.9], [1.0, -1.0]])
DATA = {"case": "case1", "preset": "calibrated", "formulation": "study"}


@pytest.fixture
def ensemble():
    return Ensemble(tuple(exact_model(seed=seed) for seed in range(4)))


plain_model = paper_model


def batches(n=24, bare=0):
    rows = triads(n)
    rows.m[n - bare :] = torch.nan
    rows = Batch(rows.phi, rows.x.to(torch.uint8), rows.m)
    return Batches(rows.joined(rows), rows[:6])


def estimate(p):
    p = np.asarray(p, dtype=float)
    told = {"members": p, "target": BOX, "phi": np.zeros((p.shape[1], 2)), "typical": 0.0}
    return EnsembleEstimate(p.mean(0), np.zeros(p.shape[1:]), *ends_of(p, 0.0), **told)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_the_two_spreads_add_up_to_the_variance_of_the_indicator(p):
    found = estimate(np.array(p)[:, None])
    between = found.epistemic**2 * (len(p) - 1) / len(p)
    assert found.aleatoric**2 + between == pytest.approx(found.value * (1 - found.value))


def test_one_member_says_nothing_about_what_the_data_leave_open():
    model = exact_model()
    found = probability(Ensemble((model,)), BOX, PHI[0])
    assert found.value == probability(model, BOX, PHI[0]).value
    assert np.isnan(found.epistemic)
    assert found.low is None
    assert "one network: how far it is off is unknown" in str(found)


def test_equal_members_are_one_model():
    model = exact_model()
    found, one = (
        probability(Ensemble((model,) * 3), BOX, PHI),
        alone(model)(BOX, PHI),
    )
    assert found.value == pytest.approx(one.value, abs=1e-12)
    assert found.standard_error == pytest.approx(one.standard_error, abs=1e-12)
    assert found.epistemic == pytest.approx(0, abs=1e-9)
    assert found.aleatoric**2 == pytest.approx(one.value * (1 - one.value))


def alone(model):
    return lambda target, phi: probability(model, target, phi)


def test_an_ensemble_answers_with_the_mean_of_its_members_wherever_it_is_asked(ensemble):
    found = probability(ensemble, BOX, PHI)
    each = np.stack([probability(one, BOX, PHI).value for one in ensemble])
    assert found.members == pytest.approx(each, abs=1e-12)
    assert found.value == pytest.approx(each.mean(0), abs=1e-12)
    assert found.epistemic == pytest.approx(each.std(0, ddof=1), abs=1e-12)
    assert (found.standard_error < 0.01).all()
    assert " (90 %: " in str(probability(ensemble, BOX, PHI[0]))


def test_the_design_of_an_ensemble_is_where_the_mean_is_highest(ensemble):
    design = maximise(ensemble, BOX)
    grid = probability(ensemble, BOX, ensemble.process.grid(21), draws=64, replicates=2)
    assert design.probability.promised >= grid.value.max() - 0.005
    assert design.probability.value < design.probability.promised
    assert isinstance(design.probability, EnsembleEstimate)
    assert design.probability.members.shape == (4,)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=9), st.floats(0, 4))
def test_the_interval_is_that_of_the_transformed_members_drawn_towards_the_typical(p, typical):
    p = np.array(p)
    h = np.log((0.98 * p + 0.01) / (0.99 - 0.98 * p))
    spread = np.sqrt((h.var(ddof=1) + typical) / 2)
    middle, reach = link(np.mean(p)), 1.4 * t.ppf(0.95, 2 * len(p) - 2) * spread
    low, high = ends_of(p, typical)
    assert low == pytest.approx(unlink(middle - reach), abs=1e-4)
    assert high == pytest.approx(unlink(middle + reach), abs=1e-4)
    assert 0 <= low <= p.mean() + 1e-12
    assert p.mean() <= high + 1e-12 <= 1 + 2e-12


def test_where_networks_agree_by_chance_the_typical_variance_is_what_is_left():
    agreed = np.full(8, 0.4)
    low, high = ends_of(agreed, 0.5)
    assert low < 0.32
    assert high > 0.48


def test_a_cautious_design_goes_where_the_members_agree():
    ensemble, above = Ensemble((tilted(2.0), tilted(-0.03))), Box((0.0, -50.0), (50.0, 50.0))
    bold, careful = maximise(ensemble, above), maximise(ensemble, Cautious(above))
    assert bold.phi[0] > 0.15
    # they agree at 0
    assert 0 <= careful.phi[0] < 0.5 * bold.phi[0]
    assert bold.probability.promised > careful.probability.promised


def test_the_predictor_of_an_ensemble_is_the_even_mixture_of_its_members(ensemble):
    mixture = EnsemblePredictor(ensemble)
    assert mixture.probability(BOX, PHI) == pytest.approx(
        probability(ensemble, BOX, PHI).value, abs=0.01
    )
    m = np.array([[0.1, 0.2], [0.3, -0.4], [1.0, 0.0]])
    each = [PSPGenPredictor(one).log_density(PHI, m) for one in ensemble]
    assert mixture.log_density(PHI, m) == pytest.approx(np.log(np.exp(each).mean(0)))
    drawn = mixture.sample(PHI, 4000, seed=0)
    assert drawn.shape == (3, 4000, 2)
    assert BOX.contains(drawn.reshape(-1, 2)).reshape(3, -1).mean(1) == pytest.approx(
        mixture.probability(BOX, PHI), abs=0.04
    )
    assert (drawn == mixture.sample(PHI, 4000, seed=0)).all()


@pytest.mark.slow
def test_the_members_are_the_same_whoever_trains_them():
    data, how = batches(bare=8), {"stages": quick(1, batch_size=12), "progress": False}
    template = plain_model()
    how |= {"members": 2, "bootstrap": True, "seed": 3}
    data = data.only_labelled()
    (here, histories), (there, others) = (
        fit_ensemble(template, data, workers=workers, **how) for workers in (1, 2)
    )
    for a, b in zip(here, there, strict=True):
        assert all(torch.equal(t, b.state_dict()[name]) for name, t in a.state_dict().items())
        assert not a.training
    assert [h.epochs["train_loss"] for h in histories] == [h.epochs["train_loss"] for h in others]
    first, second = (one.state_dict()["m_loc"] for one in here)
    assert not torch.equal(first, second)


def test_what_builds_the_members_is_asked_once_a_member_and_random_numbers_are_left_alone():
    built = []

    def make():
        built.append(plain_model())
        return built[-1]

    data = batches()
    state = torch.get_rng_state()
    ensemble, _ = fit_ensemble(
        make, data, members=2, bootstrap=False, stages=quick(1), progress=False
    )
    assert list(ensemble) == built
    assert torch.equal(torch.get_rng_state(), state)
    a, b = (one.state_dict() for one in ensemble)
    assert torch.equal(a["m_loc"], b["m_loc"])
    assert any(not torch.equal(t, b[name]) for name, t in a.items())


def test_resampling_keeps_a_setting_together_and_as_many_settings_with_labels(monkeypatch):
    seen = []

    def train(model, data, **settings):
        seen.append(data)
        return History()

    monkeypatch.setattr("pspgen_pyro.training.members.train", train)
    data = batches(bare=8)
    fit_ensemble(plain_model(), data, members=2, bootstrap=True, progress=False)
    assert not torch.equal(seen[0].train.phi, seen[1].train.phi)
    for one in seen:
        assert len(one.train) == 48
        assert int(one.train.labelled.sum()) == 32
        _, counts = torch.unique(one.train.phi, dim=0, return_counts=True)
        assert (counts % 2 == 0).all()
        assert counts.max() > 2
        assert torch.equal(one.validation.phi, data.validation.phi)


def test_an_ensemble_goes_on_from_its_members_checkpoints(tmp_path):
    how = {"members": 2, "progress": False, "checkpoint": tmp_path / "c"}
    how["stages"] = quick(2, batch_size=24)
    template = plain_model()
    data = batches()
    whole, _ = fit_ensemble(template, data, **how)
    again, histories = fit_ensemble(template, data, resume=True, **how)
    assert [len(h) for h in histories] == [2, 2]
    state = again[1].state_dict()
    assert all(torch.equal(t, state[name]) for name, t in whole[1].state_dict().items())
    assert sorted(p.name for p in how["checkpoint"].iterdir()) == ["member-1", "member-2"]


def test_a_member_that_fails_names_itself(tmp_path, monkeypatch):
    data = batches()
    data.train.x[:] = 7
    with pytest.raises(InputError, match="member 1 of 2 failed: 'data' has pixels from 7 to 7"):
        fit_ensemble(plain_model(), data, members=2, progress=False, checkpoint=tmp_path / "c")
    assert not list(tmp_path.iterdir())

    def train(*args, **settings):
        raise TrainingError("the term 'x' became nan.")

    monkeypatch.setattr("pspgen_pyro.training.members.train", train)
    with pytest.raises(TrainingError, match="member 1 of 2 failed: the term 'x' became nan"):
        fit_ensemble(plain_model(), batches(), members=2, progress=False)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda e: Ensemble(()), "'members' is empty"),
        (lambda e: Ensemble((e[0], exact_model(latent=5))), "model 2 with another size of z0"),
        (lambda e: Ensemble((e[0], exact_model(image=(4, 4)))), "another schema"),
        (lambda e: Ensemble((e[0], plain_model())), "another schema"),
        (lambda e: maximise(e, SquaredDistance((0.0, 0.0))), "an objective of one model"),
        (lambda e: maximise(e, BOX, optimiser=SGD()), "climbs one model's probability"),
        (lambda e: probability(e, Box((0.0,), (1.0,)), PHI), "1 "),
        (lambda e: probability(e, BOX, PHI, replicates=1), "'replicates' is 1"),
        (lambda e: probability(e, BOX, [9.0, 9.0]), "phi"),
        (lambda e: fit_ensemble(e[0], batches(), members=0), "'members' is 0"),
        (lambda e: fit_ensemble(e[0], batches(), workers=0), "'workers' is 0"),
        (lambda e: EnsemblePredictor(()), "'members' is empty"),
        (lambda e: EnsemblePredictor(e).sample(PHI, 0, 0), "'draws' is 0"),
        (lambda e: maximise(e[0], Cautious(BOX)), "has one network"),
    ],
)
def test_bad_input_is_one_sentence(ensemble, ask, words):
    with pytest.raises(InputError, match=words) as caught:
        ask(ensemble)
    assert str(caught.value).endswith(".")


@pytest.fixture
def run():
    members = []
    for seed in range(2):
        torch.manual_seed(seed)
        members.append(plain_model().eval())
    histories = (History(status="done"), History(status="done"))
    return Run(Ensemble(tuple(members)), histories, DATA, {"settings": {"seed": 1}})


def test_an_ensemble_comes_back_member_by_member(run, tmp_path):
    back = load_run(run.save(tmp_path / "e"))
    assert (back.data, back.support) == (run.data, None)
    assert back.histories == run.histories
    for ours, theirs in zip(run.members, back.members, strict=True):
        state = theirs.state_dict()
        assert all(torch.equal(t, state[name]) for name, t in ours.state_dict().items())


def test_what_each_member_says_survives_zarr(ensemble, tmp_path):
    found = probability(ensemble, BOX, PHI)
    to_datatree(found, ensemble).to_zarr(tmp_path / "t.zarr", consolidated=False)
    with xr.open_datatree(tmp_path / "t.zarr", engine="zarr", consolidated=False) as back:
        told = back["members"].to_dataset().load()
    assert dict(told.sizes) == {"member": 4, "setting": 3, "parameter": 2}
    assert told["probability"].dims == ("member", "setting")
    assert told["probability"].values == pytest.approx(found.members)
    assert told["epistemic"].values == pytest.approx(found.epistemic)
    assert told["probability"].mean("member").values == pytest.approx(told["mean"].values)


@pytest.mark.parametrize("averse", [False, True])
def test_the_tree_of_an_ensembles_design_has_a_chain_a_member(ensemble, averse):
    design = maximise(ensemble, Cautious(BOX) if averse else BOX, starts=2)
    tree = to_datatree(design, ensemble, observed=(design.phi, [[0.1, 0.2]] * 5), draws=50)
    assert dict(tree["posterior_predictive"].sizes) == {"chain": 4, "draw": 50, "material": 5}
    assert tree["constant_data"]["phi_star"].dims == ("parameter",)
    assert ((tree["pit"]["m_horizontal"] >= 0) & (tree["pit"]["m_horizontal"] <= 1)).all()
    assert "members" in tree.children


def test_draws_from_one_model_are_not_an_ensembles(ensemble):
    ensemble[0].standardise_by(torch.randn(50, 2))
    draws = sample_hmc(DesignPosterior(ensemble[0], BOX), chains=4, draws=4, warmup=4)
    with pytest.raises(InputError, match="give the member"):
        to_datatree(draws, ensemble)


def cli(*args):
    try:
        return main([str(arg) for arg in args])
    except SystemExit as exit_:
        return exit_.code


@pytest.mark.slow
def test_the_command_line_fits_asks_and_compares_an_ensemble(toy_path, tmp_path, capsys):
    folder = tmp_path / "e"
    fit = ["--members", 2, "--model", "paper", "--latent", 4, "--epochs", 1]
    assert cli("fit", toy_path, "--out", folder, *fit) == 0
    assert "member 2 of 2, 1 epochs" in capsys.readouterr().out
    assert not (tmp_path / "e.partial").exists()
    target = "--target=-10:-7,-9:-5"
    assert cli("design", folder, target, "--cautious", "--verify", 4, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    model = answer["model"]
    assert model["promised"] == pytest.approx(np.mean(model["members"]))
    assert model["low"] <= model["probability"] <= model["high"]
    assert answer["together"]["low"] <= answer["together"]["high"]
    assert model["epistemic"] == pytest.approx(np.std(model["members"], ddof=1))
    assert answer["settings"]["cautious"] is True
    assert cli("design", folder, target, "--cautious") == 0
    printed = capsys.readouterr().out
    assert "(90 %: " in printed
    assert "Δ the lower end" in printed
    assert cli("design", folder, target) == 0
    assert "Δ log P" in capsys.readouterr().out
    options = ["--reference", toy_path, "--run", folder, "--out", tmp_path / "c.json"]
    assert cli("compare", toy_path, *options) == 0
    assert json.loads((tmp_path / "c.json").read_text())["models"][0]["name"] == "e"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["fit", "{toy}", "--out", "{new}", "--members", 0], "'members' is 0"),
        (
            ["fit", "{toy}", "--out", "{new}", "--workers", 2],
            "no more workers than members",
        ),
        (["posterior", "{ens}", "--target=-9:-7,-9:-7", "--out", "{new}"], "--member 1"),
        (["check", "{ens}", "--out", "{new}", "--sbc", 0], "--member 1"),
    ],
)
def test_the_command_line_refuses_in_one_sentence(
    run, toy_run, toy_path, tmp_path, capsys, args, words
):
    folder = run.save(tmp_path / "e")
    places = {"toy": toy_path, "new": tmp_path / "new", "run": toy_run, "ens": folder}
    assert cli(*(str(a).format(**places) for a in args)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("pspgen: error: ")
    with pytest.raises(InputError, match=words):
        raise InputError(line)
    assert not (tmp_path / "new").exists()
