"""Claims about the pair as a Pyro program: every tool of Pyro runs on it, and gives the right
numbers, for the default and for the published model."""

import math
from statistics import median

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import (
    HMC,
    MCMC,
    NUTS,
    SVI,
    Predictive,
    RenyiELBO,
    Trace_ELBO,
    TraceMeanField_ELBO,
)
from pyro.infer.autoguide import AutoNormal
from small import SCHEMA, paper_model, rows, schema, small_model, triads

MODELS = {"default": small_model, "paper": paper_model}
TABLE = schema(images=None)


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(1)
    made = MODELS[request.param]()
    made.standardise_by(triads(64).m)
    return made


def without_images(model):
    """The chain with its images summed out: they are leaves."""
    return poutine.block(model.model, hide=["x"])


@pytest.mark.parametrize("elbo", [Trace_ELBO, TraceMeanField_ELBO, RenyiELBO])
def test_svi_on_a_plain_batch_with_bare_pairs_moves_every_part(model, elbo):
    batch = triads(12)
    batch.m[::2] = torch.nan
    options = {"num_particles": 3} if elbo is RenyiELBO else {}
    svi = SVI(model.model, model.guide, pyro.optim.ClippedAdam({"lr": 2e-3}), elbo(**options))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    losses = [svi.step(*rows(batch)) for _ in range(28)]
    assert median(losses[-8:]) < 0.95 * median(losses[:8])
    still = [n for n, p in model.named_parameters() if torch.equal(p, before[n])]
    assert not still


def test_svi_teaches_the_reader_what_the_labels_say():
    torch.manual_seed(0)
    model, batch = small_model(schema(("a", "b"))), triads(32, schema(("a", "b")))
    # the share of the second phase, which any reader can see
    batch.m[:] = batch.x.mean((1, 2))[:, None] + torch.tensor([0.0, 5.0])
    model.standardise_by(batch.m)
    svi = SVI(model.model, model.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
    for _ in range(70):
        svi.step(*rows(batch))
    read = model.encoder.reader(batch.x).mean * model.m_scale + model.m_loc
    assert (read - batch.m).square().mean() < 0.5 * batch.m.var(0).mean()


@pytest.mark.parametrize("elbo", [Trace_ELBO, TraceMeanField_ELBO])
def test_vectorised_particles_have_the_mean_of_single_ones(model, elbo):
    batch = rows(triads(8))
    together = elbo(num_particles=200, vectorize_particles=True, max_plate_nesting=1)
    value = together.loss(model.model, model.guide, *batch)
    single = torch.tensor([elbo().loss(model.model, model.guide, *batch) for _ in range(60)])
    error = single.std().item() * math.hypot(60**-0.5, 200**-0.5)
    assert value == pytest.approx(single.mean().item(), abs=4 * error)


@pytest.mark.parametrize("parallel", [True, False])
def test_predictive_draws_follow_the_law_of_the_model(model, parallel):
    phi, draws = triads(3).phi, 400 if parallel else 60
    found = Predictive(model.model, num_samples=draws, parallel=parallel)(phi)
    assert found["x"].shape == (draws, 3, 8, 8)
    assert found["z1"].shape == (draws, 3, 3)
    noise = torch.randn(5_000, 1, model.dims.latent)
    z1 = model.latent_of_process(phi).expand(5_000, -1, -1)
    z0 = model.prior.transport(noise.expand(-1, 3, -1), model.standardise(phi).expand(5_000, 3, 2))
    law = model.property_given(z0, z1)
    mean, variance = law.mean.mean(0), law.variance.mean(0) + law.mean.var(0)
    assert ((found["m"].mean(0) - mean).abs() < 5 * (variance / draws).sqrt()).all()


@pytest.mark.parametrize("kernel", [NUTS, pytest.param(HMC, marks=pytest.mark.slow)])
def test_mcmc_given_m_finds_the_properties_in_z0(kernel):
    torch.manual_seed(0)
    model = small_model(TABLE)
    model.standardise_by(triads(64, TABLE).m)
    batch = triads(1, TABLE)
    options = (
        {"trajectory_length": 0.3, "step_size": 0.02} if kernel is HMC else {"max_tree_depth": 5}
    )
    mcmc = MCMC(
        kernel(poutine.condition(model.model, {"m": batch.m}), **options),
        num_samples=50,
        warmup_steps=50,
        disable_progbar=True,
    )
    mcmc.run(batch.phi)
    z0 = mcmc.get_samples()["z0"].squeeze(1)
    noise = model.decoder_m.noise
    assert z0.mean(0) == pytest.approx(
        model.standardise_properties(batch.m)[0].detach(), abs=5 * noise
    )
    assert z0.std(0).max() < 3 * noise


def test_nuts_given_m_and_the_default_and_paper_model_with_images(model):
    batch = triads(2)
    kernel = NUTS(
        poutine.condition(without_images(model), {"m": batch.m}), max_tree_depth=4, step_size=0.01
    )
    mcmc = MCMC(kernel, num_samples=8, warmup_steps=8, disable_progbar=True)
    mcmc.run(batch.phi)
    z0 = mcmc.get_samples()["z0"]
    assert z0.shape == (8, 2, 6)
    assert z0.isfinite().all()


def test_autonormal_on_the_model_given_m_is_an_ordinary_guide(model):
    batch = triads(4)
    conditioned = poutine.condition(without_images(model), {"m": batch.m})
    guide = AutoNormal(conditioned)
    svi = SVI(conditioned, guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
    losses = [svi.step(batch.phi) for _ in range(120)]
    assert median(losses[-20:]) < median(losses[:20])


def test_trace_condition_and_do_say_what_they_say_of_any_program(model):
    batch = triads(5)
    trace = poutine.trace(poutine.condition(model.model, {"m": batch.m})).get_trace(batch.phi)
    trace.compute_log_prob()
    z0, z1 = trace.nodes["z0"]["value"], trace.nodes["z1"]["value"]
    expected = model.property_given(z0, z1).log_prob(batch.m).sum()
    assert trace.nodes["m"]["log_prob_sum"].item() == pytest.approx(expected.item())
    set_to = torch.zeros(5, 6)
    done = poutine.trace(poutine.do(model.model, {"z0": set_to})).get_trace(batch.phi)
    assert torch.equal(done.nodes["m"]["fn"].loc, model.property_given(set_to, z1).loc)


def test_a_rendered_model_shows_its_sites(model):
    graph = pyro.render_model(model.model, model_args=rows(triads(2)))
    assert all(
        f"\t{site} [" in graph.source or f" {site} " in graph.source for site in ("z0", "x", "m")
    )


def test_every_law_is_a_distribution_with_support_and_expand(model):
    batch = triads(3)
    batch.m[0] = torch.nan
    laws = (
        model.prior(model.standardise(batch.phi)),
        model.latent_given(batch.x, batch.m, batch.phi),
    )
    for law in laws:
        wide = law.expand(torch.Size([7, 3]))
        assert wide.batch_shape == (7, 3)
        value = wide.rsample()
        assert value.shape == (7, 3, 6)
        assert law.support.check(value).all()
        assert torch.allclose(wide.log_prob(value)[0], law.log_prob(value[0]))


def test_the_guide_does_without_m():
    model, batch = small_model(SCHEMA), triads(6)
    z0 = model.guide(batch.phi, batch.x)
    assert z0.shape == (6, 6)
