"""Claims about the model/guide pair: its densities, its objective, and its manners inside Pyro."""

import copy
import json

import pyro
import pytest
import torch
from exact import exact_model, log_evidence
from hypothesis import given, settings
from hypothesis import strategies as st
from pyro import poutine
from pyro.infer import SVI, Predictive, Trace_ELBO
from small import IMAGES, PROCESS, paper_model, rows, schema, small_model, triads

from pspgen_pyro import InputError, Microstructure, ProcessSpace, PSPGen, Schema
from pspgen_pyro.errors import DataError
from pspgen_pyro.model import (
    MixturePrior,
    MixtureProperty,
    Part,
    PropertyItself,
    ReadingEncoder,
    StandardNormalPrior,
    ThreeBranchEncoder,
)
from pspgen_pyro.model.nn import thinned
from pspgen_pyro.training import ELBO


@pytest.mark.parametrize("seed", range(3))
def test_trace_elbo_at_the_exact_guide_of_a_linear_gaussian_chain_is_the_evidence(seed):
    model = exact_model(seed=seed)
    phi, x, m = 2 * torch.rand(5, 2) - 1, torch.randn(5, 3, 3), torch.randn(5, 2)
    evidence = log_evidence(model, phi, x, m).sum().item()
    for _ in range(3):
        elbo = -Trace_ELBO().loss(model.model, model.guide, phi, x, m)
        assert elbo == pytest.approx(evidence, abs=1e-9)


def test_the_objective_read_term_by_term_is_pyros_trace_elbo():
    model, batch = paper_model(), triads(4)
    q = model.latent_given(batch.x, batch.m, batch.phi)
    prior = model.prior(model.standardise(batch.phi))
    torch.manual_seed(3)
    pyros = Trace_ELBO().loss(model.model, model.guide, *rows(batch)) / len(batch)
    torch.manual_seed(3)
    objective = ELBO(beta=1.0)
    terms = objective.terms(model, batch)
    torch.manual_seed(3)
    z0 = q.rsample()
    one_draw = (q.log_prob(z0) - prior.log_prob(z0)).mean()
    ours = objective.loss(terms) + one_draw - terms.kl
    assert ours.item() == pytest.approx(pyros, rel=1e-10)


def test_beta_weighs_the_divergence_and_nothing_else():
    model, batch = paper_model(), triads(4)
    terms = ELBO().terms(model, batch)
    plain, weighed = (ELBO(beta).loss(terms) for beta in (1.0, 3.0))
    assert (weighed - plain).item() == pytest.approx(2 * terms.kl.item())


def test_asking_a_model_changes_nothing_in_it():
    model, batch = small_model(), triads(4)
    model.train()
    before = copy.deepcopy(model.state_dict())
    model.property_given_process(batch.phi)
    model.latent_given(batch.x, batch.m, batch.phi)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_z1_is_a_deterministic_site_set_by_the_process():
    model, phi = small_model(), triads(4).phi
    trace = poutine.trace(model.model).get_trace(phi)
    node = trace.nodes["z1"]
    assert node["infer"]["_deterministic"]
    assert torch.equal(node["value"], model.latent_of_process(phi))


def test_one_component_that_reads_all_of_z0_is_the_papers_gaussian():
    model = paper_model()
    z0, z1 = torch.randn(5, 6), torch.randn(5, 3)
    mixture = model.property_given(z0, z1)
    m = torch.randn(5, 2)
    gaussian = torch.distributions.Normal(mixture.loc[:, 0], mixture.scale[:, 0])
    assert torch.allclose(mixture.log_prob(m), gaussian.log_prob(m).sum(-1))
    assert model.parts["decoder_m"] == MixtureProperty(components=1, reads=None)


def test_standardisation_changes_the_units_and_not_the_probability():
    model, (phi, _, m) = small_model(), rows(triads(8))
    model.standardise_by(m)
    z0, z1 = torch.randn(8, 6), model.latent_of_process(phi)
    raw = model.property_given(z0, z1).log_prob(m)
    standard = model.decoder_m(z0, z1).log_prob((m - model.m_loc) / model.m_scale)
    assert torch.allclose(raw, standard - model.m_scale.log().sum())


def test_training_one_model_leaves_another_of_the_same_class_alone():
    first, second, data = small_model(), small_model(), rows(triads(16))
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
    model, phi = small_model(), triads(3).phi
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
    assert Part.from_json(part.to_json()) == part


def test_a_decoder_that_would_read_more_of_z0_than_there_is_is_refused():
    with pytest.raises(InputError, match="'reads' is 9 but z0 has 6 entries"):
        small_model(property_decoder=MixtureProperty(reads=9))


@pytest.mark.parametrize("option", [{"latent": 0}, {"process_latent": -1}])
def test_a_size_that_is_not_positive_is_refused(option):
    with pytest.raises(InputError, match="whole number of at least 1"):
        small_model(**option)


@pytest.mark.parametrize(
    "parts",
    [
        {"encoder": ThreeBranchEncoder()},
        {"property_decoder": MixtureProperty(1, reads=None)},
        {"prior": StandardNormalPrior()},
        {"prior": MixturePrior(entries=1)},
        {"property_decoder": PropertyItself(0.1)},
        {"encoder": ReadingEncoder(noise=0.1)},
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused_when_the_model_is_built(parts):
    with pytest.raises(InputError, match="belong together"):
        small_model(**parts)


def test_a_model_survives_json_with_its_schema():
    model = small_model(schema(("a [MPa] log below=2", "b"), IMAGES))
    again = PSPGen.from_specification(json.loads(json.dumps(model.specification())))
    assert again.schema == model.schema
    assert again.parts == model.parts
    assert [p.shape for p in again.parameters()] == [p.shape for p in model.parameters()]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("latent"), "model.latent"),
        (lambda s: s.update(latent="many"), "model.latent"),
        (lambda s: s["schema"]["properties"][0].update(scale="lgo"), "properties.0.scale"),
        (lambda s: s["parts"]["prior"].update(kind="Oracle"), "Oracle"),
        (lambda s: s["parts"]["prior"].update(size=3), "MixturePrior"),
        (lambda s: s["parts"].update(encoder=s["parts"]["prior"]), "does not fit together"),
    ],
)
def test_a_damaged_description_is_one_sentence_with_its_path(change, words):
    spec = json.loads(json.dumps(small_model().specification()))
    change(spec)
    with pytest.raises(DataError, match=words):
        PSPGen.from_specification(spec)


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


@pytest.mark.parametrize("phases", [2, 3, "grey"])
def test_the_likeliest_image_is_one_of_the_datas_kind_even_where_pixels_are_tied(phases):
    images = Microstructure(shape=(3, 4), phases=phases)
    one = Schema(
        process=ProcessSpace(("a",), (0.0,), (1.0,)), microstructure=images, properties=("m",)
    )
    model = PSPGen(one)
    for weight in model.decoder_x.parameters():
        torch.nn.init.zeros_(weight)
    z1 = model.latent_of_process(torch.zeros(2, 1))
    x = model.decoder_x.likeliest(torch.zeros(2, model.dims.latent), z1)
    assert x.shape == (2, 3, 4)
    assert x.isfinite().all()
    assert x.is_floating_point() == (phases == "grey")


@pytest.mark.parametrize("share", [0.0, 1e-3, 0.05, 0.2, 0.5, 0.99])
def test_units_left_out_are_the_share_that_was_asked_for_and_the_mean_stays(share):
    torch.manual_seed(0)
    h = torch.ones(1001, 999, requires_grad=True)
    left = thinned(h, share)
    error = (share * (1 - share) / left.numel()) ** 0.5
    assert (left == 0).double().mean().item() == pytest.approx(share, abs=5 * error + 1e-5)
    assert left[left > 0].mean().item() == pytest.approx(1 / (1 - share), rel=1e-3)
    left.sum().backward()
    assert torch.equal(h.grad, left.detach())
