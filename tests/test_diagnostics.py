"""Claims about the trees that ArviZ reads, and about ranks."""

import warnings

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr
from exact import PROCESS, double_precision, exact_model
from scipy import stats

from pspgen_pyro import Box, InputError, maximise
from pspgen_pyro.cli import main
from pspgen_pyro.design import DesignPosterior, fit_svi, sample_hmc, sample_nuts
from pspgen_pyro.diagnosis import randomised_ranks, to_datatree

BOX = Box((-1.2, -0.8), (1.4, 1.8))
ANSWERS = {
    "HMC": lambda p: sample_hmc(p, chains=4, draws=60, warmup=60),
    "NUTS": lambda p: sample_nuts(p, chains=2, draws=20, warmup=20),
    "SVI": lambda p: fit_svi(p, steps=20, chains=2, draws=30),
    "maximise": lambda p: maximise(p.model, p.target, starts=2, draws=64),
}


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(), double_precision():
        model = exact_model()
    model.m_scale.fill_(2.0)
    return model


@pytest.fixture(scope="module")
def observed(model):
    """Materials that the model itself made, each at settings of its own."""
    rng = np.random.default_rng(0)
    phi = PROCESS.sample(60, rng)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        inputs = torch.tensor(phi)
        z0 = torch.randn(60, 3, dtype=torch.float64)
        m = model.property_given(z0, model.latent_of_process(inputs)).sample()
    return phi, m.numpy()


@pytest.fixture(scope="module")
def trees(model, observed):
    posterior = DesignPosterior(model, BOX)
    return {
        name: to_datatree(make(posterior), model, observed=observed, draws=100)
        for name, make in ANSWERS.items()
    }


@pytest.fixture
def tree(trees):
    yield trees["HMC"]
    plt.close("all")


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_has_its_groups_with_named_dimensions(trees, name):
    tree = trees[name]
    groups = {
        "prior",
        "prior_predictive",
        "posterior_predictive",
        "predictions",
        "constant_data",
        "observed_data",
        "pit",
    }
    assert set(tree.children) == groups | (
        {"posterior", "sample_stats"} if name != "maximise" else {"members"}
    )
    assert tree["prior"]["phi"].dims == ("chain", "draw", "parameter")
    assert tree["prior"]["parameter"].values.tolist() == ["phi1", "phi2"]
    assert tree["constant_data"]["target_lower"].dims == ("region", "property")
    assert tree["constant_data"]["property"].values.tolist() == ["horizontal", "vertical"]
    assert tree["posterior_predictive"]["m_vertical"].dims == ("chain", "draw", "material")
    assert tree["observed_data"]["m_vertical"].dims == ("material",)
    assert tree.attrs["method"] == name
    if name == "maximise":
        assert tree["constant_data"]["start"].dims == ("ascent", "parameter")
    else:
        assert tree["posterior"]["z0"].dims == ("chain", "draw", "latent")


@pytest.mark.parametrize("name", ANSWERS)
def test_a_tree_comes_back_from_zarr_as_it_went(trees, name, tmp_path):
    trees[name].to_zarr(tmp_path / "tree.zarr", consolidated=False)
    with xr.open_datatree(tmp_path / "tree.zarr", engine="zarr", consolidated=False) as back:
        xr.testing.assert_identical(back.load(), trees[name])


def test_without_observed_materials_the_predictive_is_at_the_posterior_draws(model):
    draws = sample_hmc(DesignPosterior(model, BOX), chains=32, draws=30, warmup=30)
    tree = to_datatree(draws, model, images=True, draws=50)
    assert "observed_data" not in tree
    assert tree["posterior_predictive"]["m_horizontal"].dims == ("chain", "draw")
    assert tree["predictions"]["x"].dims == ("chain", "draw", "row", "column")
    share = {
        group: BOX.contains(
            np.stack([tree[group][f"m_{name}"] for name in model.property_names], axis=-1)
        ).mean()
        for group in ("prior_predictive", "predictions", "posterior_predictive")
    }
    assert share["prior_predictive"] < share["predictions"] < share["posterior_predictive"]


def test_summary_and_diagnose_read_the_tree_as_it_comes(tree):
    summary = az.summary(tree, var_names=["phi"])
    assert list(summary.index) == ["phi[phi1]", "phi[phi2]"]
    _, found = az.diagnose(tree, show_diagnostics=False, return_diagnostics=True)
    assert found["divergent"]["n_divergent"] == 0
    assert "bfmi" in found


def test_nuts_trees_tell_diagnose_about_the_tree_depth(trees):
    _, found = az.diagnose(trees["NUTS"], show_diagnostics=False, return_diagnostics=True)
    assert found["treedepth"]["n_max"] == 0


@pytest.mark.parametrize(
    ("plot", "options"),
    [
        ("plot_rank", {"var_names": ["phi"]}),
        ("plot_energy", {}),
        ("plot_pair", {"var_names": ["phi"]}),
        ("plot_ppc_dist", {}),
        ("plot_ppc_pit", {}),
        ("plot_ecdf_pit", {"group": "pit", "sample_dims": ["material"]}),
        ("plot_prior_posterior", {"var_names": ["phi"]}),
    ],
)
def test_every_plot_draws_the_tree_as_it_comes(tree, plot, options):
    assert getattr(az, plot)(tree, **options) is not None


def test_ranks_of_a_model_among_its_own_predictions_are_uniform(trees):
    for name in ("m_horizontal", "m_vertical"):
        assert stats.kstest(trees["HMC"]["pit"][name], "uniform").pvalue > 0.01


def test_ranks_are_uniform_with_ties_where_the_plain_fraction_is_not():
    rng = np.random.default_rng(0)
    draws, y = rng.poisson(1.0, (20, 4000)), rng.poisson(1.0, 4000)
    assert stats.kstest(randomised_ranks(y, draws), "uniform").pvalue > 0.01
    assert stats.kstest((draws < y).mean(axis=0), "uniform").pvalue < 1e-6


@pytest.mark.parametrize(
    ("observed", "predicted", "words"),
    [
        ([1.0, 2.0], np.zeros((5, 3)), "shape"),
        ([1.0], np.zeros((0, 1)), "shape"),
        ([np.nan], np.zeros((5, 1)), "NaN"),
    ],
)
def test_ranks_refuse_what_cannot_be_ranked(observed, predicted, words):
    with pytest.raises(InputError, match=words):
        randomised_ranks(observed, predicted)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 0}, "'draws' is 0"),
        ({"observed": ([[0.0, 0.0]], [[1.0, 2.0, 3.0]])}, "'observed' holds"),
        ({"observed": ([[0.0, 0.0]] * 2, [[1.0, 2.0]] * 3)}, "'observed' holds"),
        ({"observed": ([9.0, 0.0], [[1.0, 2.0]])}, "outside"),
    ],
)
def test_a_tree_of_what_does_not_fit_the_model_is_refused(model, options, words):
    draws = sample_hmc(DesignPosterior(model, BOX), chains=2, draws=4, warmup=4)
    with pytest.raises(InputError, match=words):
        to_datatree(draws, model, **options)


@pytest.mark.parametrize("method", ["hmc", "nuts", "svi"])
def test_the_command_writes_a_store_that_arviz_summarises(toy_run, tmp_path, capsys, method):
    out = tmp_path / "post.zarr"
    few = ["--chains", "2", "--draws", "8", "--warmup", "6"]
    target = "--target=-10:-6,-10:-5"
    assert main(["posterior", str(toy_run), target, "--method", method, *few, f"--out={out}"]) == 0
    assert "over the prior" in capsys.readouterr().out
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with xr.open_datatree(out, engine="zarr", consolidated=False) as tree:
            assert tree["posterior"]["phi"].sizes["draw"] == 8
            assert len(az.summary(tree, var_names=["phi"])) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--draws", "0"], "'draws' is 0"),
        (["--chains", "0"], "'chains' is 0"),
        (["--method", "nuts", "--workers", "0"], "'workers' is 0"),
        (["--target=-10:-9"], "1 interval"),
        (["--target=a"], "'target' is 'a'"),
    ],
)
def test_the_command_refuses_in_one_sentence_and_writes_nothing(
    toy_run, tmp_path, capsys, arguments, words
):
    out = tmp_path / "post.zarr"
    target = [] if arguments[0].startswith("--target") else ["--target=-10:-9,-7:-5"]
    assert main(["posterior", str(toy_run), *target, *arguments, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_the_command_refuses_an_existing_store_and_a_missing_run(toy_run, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    target = "--target=-10:-9,-7:-5"
    for run, out, words in (
        (toy_run, "there", "exists"),
        (tmp_path / "nowhere", "post.zarr", "is no run folder"),
    ):
        assert main(["posterior", str(run), target, "--out", str(tmp_path / out)]) == 2
        assert words in capsys.readouterr().err
