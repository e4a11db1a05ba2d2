"""Claims about the model/guide pair: its densities, its objective, and its manners inside Pyro."""

import copy

import pyro
import pytest
import torch
from exact import exact_model, log_evidence
from hypothesis import given, settings
from hypothesis import strategies as st
from pyro import poutine
from pyro.infer import SVI, Predictive, Trace_ELBO

from pspgen_pyro import InputError, ProcessSpace, PSPGen
from pspgen_pyro.model import MixtureProperty, part_from_json, part_to_json
from pspgen_pyro.training.objective import elbo_terms

PROCESS = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))


def small_model(**options):
    options = {"latent": 6, "process_latent": 3, **options}
    return PSPGen(PROCESS, (8, 8), **options)


def triads(n=16, size=8):
    low, high = torch.tensor(PROCESS.lower), torch.tensor(PROCESS.upper)
    phi = low + (high - low) * torch.rand(n, 2)
    return phi, torch.rand(n, size, size).round(), torch.randn(n, 2) - 7.0


@pytest.mark.parametrize("seed", range(3))
def test_trace_elbo_at_the_exact_guide_of_a_linear_gaussian_chain_is_the_evidence(seed):
    model = exact_model(seed=seed)
    phi, x, m = 2 * torch.rand(5, 2) - 1, torch.randn(5, 3, 3), torch.randn(5, 2)
    evidence = log_evidence(model, phi, x, m).sum().item()
    for _ in range(3):
        elbo = -Trace_ELBO().loss(model.model, model.guide, phi, x, m)
        assert elbo == pytest.approx(evidence, abs=1e-9)


def test_the_objective_read_term_by_term_is_pyros_trace_elbo():
    model, (phi, x, m) = small_model(beta=2.0), triads(4)
    guide = poutine.trace(model.guide).get_trace(phi, x, m)
    z0, q = guide.nodes["z0"]["value"], guide.nodes["z0"]["fn"]
    prior = model.prior(model.standardise(phi))
    torch.manual_seed(3)
    pyros = Trace_ELBO().loss(model.model, model.guide, phi, x, m) / len(phi)
    torch.manual_seed(3)
    terms = elbo_terms(model, phi, x, m)
    torch.manual_seed(3)
    z0 = q.rsample()
    one_draw = (q.log_prob(z0) - prior.log_prob(z0)).mean()
    ours = terms.loss(2.0) + 2.0 * (one_draw - terms.kl)
    assert ours.item() == pytest.approx(pyros, rel=1e-10)


def test_beta_weighs_the_divergence_in_training_and_not_in_evaluation():
    model, (phi, x, m) = small_model(beta=3.0), triads(4)
    scale = {}
    for mode in (True, False):
        model.train(mode)
        node = poutine.trace(model.model).get_trace(phi, x, m).nodes["z0"]
        scale[mode] = node["scale"]
    assert scale == {True: 3.0, False: 1.0}


def test_z1_is_a_deterministic_site_set_by_the_process():
    model, (phi, _, _) = small_model(), triads(4)
    trace = poutine.trace(model.model).get_trace(phi)
    node = trace.nodes["z1"]
    assert node["infer"]["_deterministic"]
    assert torch.equal(node["value"], model.latent_of_process(phi))


def test_one_component_that_reads_all_of_z0_is_the_papers_gaussian():
    model = PSPGen.paper(PROCESS, (8, 8), latent=6, process_latent=3)
    z0, z1 = torch.randn(5, 6), torch.randn(5, 3)
    mixture = model.property_given(z0, z1)
    m = torch.randn(5, 2)
    gaussian = torch.distributions.Normal(mixture.loc[:, 0], mixture.scale[:, 0])
    assert torch.allclose(mixture.log_prob(m), gaussian.log_prob(m).sum(-1))
    assert model.parts["decoder_m"] == MixtureProperty(components=1, reads=None)


def test_standardisation_changes_the_units_and_not_the_probability():
    model, (phi, _, m) = small_model(), triads(8)
    model.standardise_by(m)
    z0, z1 = torch.randn(8, 6), model.latent_of_process(phi)
    raw = model.property_given(z0, z1).log_prob(m)
    standard = model.decoder_m(z0, z1).log_prob((m - model.m_loc) / model.m_scale)
    assert torch.allclose(raw, standard - model.m_scale.log().sum())


def test_pyros_svi_trains_the_pair_as_it_comes():
    model, data = small_model(), triads(32)
    # pairs without m: what reads the properties off x is not asked where they are known
    data[2][::2] = torch.nan
    svi = SVI(model.model, model.guide, pyro.optim.Adam({"lr": 3e-3}), Trace_ELBO())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    losses = [svi.step(*data) for _ in range(60)]
    assert losses[-1] < 0.8 * losses[0]
    moved = [not torch.equal(p, before[name]) for name, p in model.named_parameters()]
    assert all(moved)


def test_training_one_model_leaves_another_of_the_same_class_alone():
    first, second, data = small_model(), small_model(), triads(16)
    third = copy.deepcopy(first)
    for model in (first, second):
        others = [m for m in (first, second, third) if m is not model]
        before = [[p.detach().clone() for p in other.parameters()] for other in others]
        start = [p.detach().clone() for p in model.parameters()]
        svi = SVI(model.model, model.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
        for _ in range(3):
            svi.step(*data)
        assert all(
            torch.equal(a, b)
            for other, kept in zip(others, before, strict=True)
            for a, b in zip(other.parameters(), kept, strict=True)
        )
        assert not all(torch.equal(a, b) for a, b in zip(model.parameters(), start, strict=True))


def test_predictive_draws_microstructures_and_properties_for_new_settings():
    model, (phi, _, _) = small_model(), triads(3)
    draws = Predictive(model.model, num_samples=7)(phi)
    assert draws["x"].shape == (7, 3, 8, 8)
    assert set(draws["x"].unique().tolist()) <= {0.0, 1.0}
    assert draws["m"].shape == (7, 3, 2)


@settings(deadline=None, max_examples=20)
@given(
    components=st.integers(1, 8), reads=st.none() | st.integers(0, 4), floor=st.floats(1e-3, 0.1)
)
def test_a_part_survives_json(components, reads, floor):
    part = MixtureProperty(components=components, reads=reads, floor=floor)
    assert part_from_json(part_to_json(part)) == part


def test_a_decoder_that_would_read_more_of_z0_than_there_is_is_refused():
    with pytest.raises(InputError, match="'reads' is 9 but z0 has 6 entries"):
        small_model(property_decoder=MixtureProperty(reads=9))


@pytest.mark.parametrize("option", [{"latent": 0}, {"beta": 0.0}, {"process_latent": -1}])
def test_a_size_that_is_not_positive_is_refused(option):
    with pytest.raises(InputError, match="must all be positive"):
        small_model(**option)


@pytest.mark.parametrize(
    ("phi", "words"),
    [
        ([0.5, 1.0], r"phi1 = 0.5, outside \[1, 9\]"),
        ([5.0, float("nan")], "NaN or infinite"),
        ([5.0], r"1 parameter\(s\) but this process has 2"),
    ],
)
def test_settings_outside_the_process_space_are_refused_by_name(phi, words):
    with pytest.raises(InputError, match=words):
        PROCESS.check(phi)
