"""Claims about the latents: p(z0 | x, φ) in closed form, z1 maps, and the guide given φ."""

import numpy as np
import pytest
import torch
from exact import NOISE_M, NOISE_X, PROCESS, exact_model, schema_of
from matplotlib import pyplot as plt
from pyro.distributions import Normal

from pspgen_pyro import InputError, PSPGen
from pspgen_pyro.design import Materials
from pspgen_pyro.diagnosis import (
    guide_check,
    latent_posterior,
    plot_guide,
    plot_latent_properties,
    plot_process_latent,
    process_latent,
)
from pspgen_pyro.diagnosis.guides import process_cells
from pspgen_pyro.diagnosis.predictive import draw_properties
from pspgen_pyro.model import Encoder


def built(**sizes):
    with torch.random.fork_rng():
        return exact_model(**sizes).double()


@pytest.fixture(scope="module")
def model():
    return built()


def made(model, count, seed=0):
    """Materials of the model itself."""
    phi = torch.tensor(PROCESS.sample(count, np.random.default_rng(seed))).to(model.m_loc)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        z1 = model.latent_of_process(phi)
        z0 = model.prior(phi).sample()
        x, m = model.decoder_x(z0, z1).sample(), model.property_given(z0, z1).sample()
    return Materials(*(t.double().numpy() for t in (phi, x, m)))


@pytest.fixture(scope="module")
def materials(model):
    return made(model, 4)


@pytest.fixture(scope="module")
def clouds(model, materials):
    return latent_posterior(model, materials, draws=1500, chains=50, warmup=100, thin=2)


@pytest.fixture(scope="module")
def closed_form(model, materials):
    """Mean of z0 given (x, φ) a material, and the common covariance."""
    with torch.no_grad():
        phi = torch.tensor(materials.phi).to(model.m_loc)
        x = torch.tensor(materials.x).to(phi).flatten(1)
        z1 = model.latent_of_process(phi)
        weight, d0 = model.decoder_x.weight, model.dims.latent
        load = weight[:, :d0] / NOISE_X
        residual = (x - model.decoder_x.bias - z1 @ weight[:, d0:].T) / NOISE_X
        covariance = torch.linalg.inv(torch.eye(d0).to(phi) + load.T @ load)
        return (residual @ load @ covariance).double().numpy(), covariance.double().numpy()


def test_latents_given_x_have_the_moments_of_the_closed_form(clouds, closed_form):
    mean, covariance = closed_form
    sd = np.sqrt(np.diag(covariance))
    z0 = clouds["z0"].values
    np.testing.assert_array_less(abs(z0.mean(axis=1) - mean) / sd, 0.15)
    for draws in z0:
        np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.2 * sd.max() ** 2)


def test_properties_given_x_follow_the_closed_form(model, materials, clouds, closed_form):
    mean, covariance = closed_form
    with torch.no_grad():
        weight, d0 = model.decoder_m.weight.double().numpy(), model.dims.latent
        z1 = model.latent_of_process(torch.tensor(materials.phi).to(model.m_loc)).double().numpy()
        bias = model.decoder_m.bias.double().numpy()
    loc = mean @ weight[:, :d0].T + z1 @ weight[:, d0:].T + bias
    spread = weight[:, :d0] @ covariance @ weight[:, :d0].T + NOISE_M**2 * np.eye(2)
    np.testing.assert_array_less(abs(clouds["m"].mean("draw") - loc), 0.15 * spread.max() ** 0.5)
    residual = materials.m - loc
    exact = -0.5 * (
        np.einsum("ni,ij,nj->n", residual, np.linalg.inv(spread), residual)
        + np.log(np.linalg.det(2 * np.pi * spread))
    )
    np.testing.assert_allclose(clouds["log_density"], exact, atol=0.2)


def test_x_tells_more_about_m_than_phi_alone_where_it_does(clouds):
    assert (clouds["m"].std("draw") < clouds["m_prior"].std("draw")).all()


def test_a_map_of_two_latents_is_those_latents(model):
    found = process_latent(model, count=50)
    np.testing.assert_array_equal(found["map"], found["z1"])
    assert float(found["share"].sum()) == pytest.approx(1)


@pytest.fixture(scope="module")
def closed_in_phi():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return PSPGen(schema_of(PROCESS, (16, 16)), latent=6, process_latent=3).eval()


@pytest.mark.parametrize("which", ["model", "closed_in_phi"])
def test_the_mean_property_over_the_map_is_that_of_draws_given_phi(which, request):
    model = request.getfixturevalue(which)
    found = process_latent(model, count=5)
    drawn = draw_properties(model, found["phi"].values, 3000, 1)
    gap = found["mean_m"].values - drawn.mean(axis=0)
    assert (np.abs(gap) < 0.08 * drawn.std(axis=0)).all()


def test_a_map_of_many_latents_keeps_distances_where_two_components_hold_everything():
    found = process_latent(built(process_latent=7), count=50)
    z1, flat = found["z1"].values, found["map"].values
    np.testing.assert_allclose(
        np.linalg.norm(z1[1:] - z1[:-1], axis=1),
        np.linalg.norm(flat[1:] - flat[:-1], axis=1),
        rtol=1e-3,
    )
    assert float(found["share"].sum()) == pytest.approx(1, abs=1e-4)


def test_pictures_carry_the_names_of_what_they_show(model, clouds):
    assert "horizontal" in plot_latent_properties(clouds, 1).get_xlabel()
    axes = plot_process_latent(process_latent(model, count=20), model).axes
    assert "phi1" in axes[0].get_xlabel()
    assert "% of the variance" in axes[1].get_xlabel()
    plt.close("all")


def test_the_exact_guide_agrees_with_the_prior_in_every_cell(model):
    found = guide_check(model, made(model, 4000, seed=1), cells=8)
    numbers = found.to_json()
    assert numbers["cells"] == 8
    assert numbers["all_entries"]["share_off_by_three_noises"] == 0
    assert numbers["nats_marginal"] < 0.01
    assert max(numbers["nats_per_cell"]) < 4 * numbers["nats_of_noise"]


class Compensating(Encoder):
    """A guide too narrow on one side of the process space and too wide on the other."""

    def forward(self, x, m, phi, ends, u=None):
        scale = torch.where(phi[:, :1] < 0, 0.6, 1.4) ** 0.5
        return Normal(torch.zeros(len(phi), 3).to(phi), scale.expand(-1, 3).to(phi)).to_event(1)


def test_widths_that_cancel_in_the_marginal_are_found_given_phi():
    model = built()
    model.encoder = Compensating(reader=None)
    found = guide_check(model, made(model, 4000, seed=1), cells=8)
    part = found.to_json()["all_entries"]
    low, high = part["variance_range_marginal"]
    assert 0.97 < low <= high < 1.03
    low, high = part["variance_range_in_cells"]
    assert low == pytest.approx(0.6, abs=0.01)
    assert high == pytest.approx(1.4, abs=0.01)
    assert part["share_off_by_three_noises"] == 1
    assert len(plot_guide(found).axes) == 2
    plt.close("all")


def test_cells_hold_equal_counts_and_do_not_mix():
    phi = PROCESS.sample(1000, np.random.default_rng(0))
    index = process_cells(phi, 4)
    assert set(np.bincount(index)) == {250}
    left, right = phi[index < 2, 0], phi[index >= 2, 0]
    assert left.max() <= right.min()


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda m, few: latent_posterior(m, few, draws=0), "'draws' is 0"),
        (lambda m, few: guide_check(m, few, cells=4), "at least 10 a cell"),
        (lambda m, few: process_cells(few.phi, 3), "power of two"),
    ],
)
def test_bad_questions_are_refused_in_a_sentence(model, materials, ask, words):
    with pytest.raises(InputError, match=words):
        ask(model, materials)
