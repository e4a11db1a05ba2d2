"""Claims about the training objectives, most of them on a chain whose evidence is known."""

import math

import pytest
import torch
from exact import exact_model, log_evidence, property_law
from pyro import poutine
from pyro.distributions import MultivariateNormal, Normal
from test_model import PROCESS, triads
from test_training import batches, quick
from torch.distributions import kl_divergence

from pspgen_pyro import InputError, PSPGen
from pspgen_pyro.errors import DataError
from pspgen_pyro.model import (
    CodedProperty,
    ConnectivityEncoder,
    GaussianPrior,
    MixturePrior,
    MixtureProperty,
    StandardNormalPrior,
    StationaryPrior,
    ThreeBranchEncoder,
)
from pspgen_pyro.training.objective import (
    ELBO,
    ImportanceWeighted,
    MarginalProperty,
    elbo_terms,
    objective_to_json,
)


def plain_model(**options):
    """The parts of the paper but for a decoder of few entries; no property code."""
    parts = {
        "encoder": ThreeBranchEncoder(),
        "prior": StandardNormalPrior(),
        "property_decoder": MixtureProperty(),
    }
    return PSPGen(PROCESS, (8, 8), latent=6, process_latent=3, **(parts | options))


def exact_triads(n=6):
    return 2 * torch.rand(n, 2) - 1, torch.randn(n, 3, 3), torch.randn(n, 2)


def gradients(model, loss):
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, model.parameters())]  # noqa: B905


def ignorant(model):
    """The guide that has learned nothing."""

    def latent_given(x, m, phi, code=None):
        return Normal(torch.zeros(len(x), model.dims.latent), 1.0).to_event(1)

    return latent_given


def test_the_default_objective_is_the_elbo_bit_by_bit():
    model, (phi, x, m) = plain_model(beta=2.0), triads(8)
    torch.manual_seed(4)
    terms = ELBO()(model, phi, x, m)
    torch.manual_seed(4)
    guide = poutine.trace(model.guide).get_trace(phi, x, m)
    nodes = poutine.trace(poutine.replay(model.model, guide)).get_trace(phi, x, m).nodes
    kl = kl_divergence(guide.nodes["z0"]["fn"], nodes["z0"]["fn"]).mean()
    by_hand = 2.0 * kl - nodes["x"]["fn"].log_prob(x).mean() - nodes["m"]["fn"].log_prob(m).mean()
    loss = ELBO().loss(terms.named(), model.beta)
    assert torch.equal(loss, by_hand)
    assert set(terms.values()) == {"x", "m", "kl"}
    pairs = zip(gradients(model, loss), gradients(model, by_hand), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("draws", [1, 3, 20])
def test_importance_weights_at_the_exact_guide_give_the_evidence_whatever_their_number(draws):
    model, data = exact_model(), exact_triads()
    evidence = log_evidence(model, *data).mean().item()
    bound = ImportanceWeighted(draws)(model, *data).values()["bound"]
    assert bound == pytest.approx(evidence, abs=1e-12)


def test_more_importance_weights_tighten_the_bound_of_a_guide_that_is_wrong(monkeypatch):
    """The differences are over 20 standard errors of their means over the rows."""
    model = exact_model()
    phi, x, m = (t[:1].expand(4000, *t.shape[1:]) for t in exact_triads())
    monkeypatch.setattr(model, "latent_given", ignorant(model))
    bounds = []
    for draws in (1, 4, 16):
        values = ImportanceWeighted(draws)(model, phi, x, m).values()
        bounds.append(values["bound"])
        elbo = values["x"] + values["m"] - values["kl"]
        assert elbo <= values["bound"] + 1e-9
    evidence = log_evidence(model, phi[:1], x[:1], m[:1]).item()
    assert bounds[0] < bounds[1] - 0.5 < bounds[2] - 1.0 < evidence


def test_one_importance_weight_is_the_elbo_with_the_divergence_by_one_draw(monkeypatch):
    model, data = exact_model(), exact_triads()
    monkeypatch.setattr(model, "latent_given", ignorant(model))
    values = ImportanceWeighted(1)(model, *data).values()
    elbo = values["x"] + values["m"] - values["kl"]
    assert values["bound"] == pytest.approx(elbo, abs=1e-12)


def test_the_gradient_of_the_importance_weighted_bound_is_that_of_finite_differences():
    model, data = plain_model(beta=1.0), triads(4)
    objective = ImportanceWeighted(5)

    def bound():
        torch.manual_seed(2)
        return objective(model, *data).others["bound"]

    parameter = model.param_groups()["eta"][-1]
    (slope,) = torch.autograd.grad(bound(), parameter)
    with torch.no_grad():
        ends = []
        for step in (1e-5, -2e-5):
            parameter[0] += step
            ends.append(bound().item())
    assert slope[0].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5)


def test_importance_weights_ask_for_a_beta_of_one():
    with pytest.raises(InputError, match="β = 2; build it with `beta=1`"):
        quick(plain_model(), batches(), objective=ImportanceWeighted())


def test_the_marginal_term_is_the_exact_density_of_the_properties_given_the_settings():
    """Over 200,000 draws; four standard errors of the mean density, in logarithms."""
    model, (phi, _, _) = exact_model(), exact_triads()
    loc, covariance = property_law(model, phi)
    m = MultivariateNormal(loc, covariance).sample()
    exact = MultivariateNormal(loc, covariance).log_prob(m)
    draws = 200_000
    for i in range(3):
        with torch.no_grad():
            z0 = torch.randn(draws, model.dims.latent)
            z1 = model.latent_of_process(phi[i : i + 1]).expand(draws, -1)
            density = model.property_given(z0, z1).log_prob(m[i]).exp()
            error = density.std() / density.mean() / draws**0.5
            found = MarginalProperty(draws=draws)(model, phi[i : i + 1], m[i : i + 1])
        assert abs(found - exact[i]) < 4 * error < 0.05


def test_the_marginal_term_of_few_draws_lies_below_the_density():
    model = exact_model()
    phi = torch.zeros(4000, 2)
    law = MultivariateNormal(*property_law(model, phi))
    m = law.sample()
    exact = law.log_prob(m).mean().item()
    with torch.no_grad():
        found = [MarginalProperty(draws=k)(model, phi, m).item() for k in (1, 8, 64)]
    assert found[0] < found[1] < found[2] < exact


def test_the_marginal_term_joins_the_loss_by_its_weight_and_skips_bare_pairs():
    model, (phi, x, m) = plain_model(), triads(8)
    objective = ELBO(extra=(MarginalProperty(weight=3.0, draws=4),))
    m[2:] = torch.nan
    torch.manual_seed(1)
    two = MarginalProperty(draws=4)(model, phi[:2], m[:2])
    torch.manual_seed(1)
    some = MarginalProperty(draws=4)(model, phi, m)
    assert some.item() == pytest.approx(two.item() * 2 / 8, rel=1e-12)
    assert MarginalProperty()(model, phi[2:], m[2:]).item() == 0.0
    terms = objective(model, phi[:2], x[:2], m[:2])
    loss = objective.loss(terms.named(), model.beta)
    assert torch.equal(loss, terms.loss(model.beta) - 3.0 * terms.others["marginal"])


def test_the_marginal_term_teaches_the_properties_without_the_guide():
    model, data = plain_model(), triads(8)
    term = MarginalProperty()(model, data[0], data[2])
    groups = model.param_groups()
    slopes = torch.autograd.grad(term, groups["eta"], allow_unused=True, retain_graph=True)
    assert all(slope is None for slope in slopes)
    (slope,) = torch.autograd.grad(term, model.decoder_m.network[-1].bias)
    assert slope.abs().sum() > 0


@pytest.mark.parametrize("prior", [StandardNormalPrior(), GaussianPrior(2)])
def test_an_entry_with_less_than_its_free_bits_is_not_pressed_to_the_prior(prior):
    """The threshold is set between the divergences of the entries."""
    torch.manual_seed(0)
    model, data = plain_model(prior=prior), triads(8)
    with torch.no_grad():
        q = model.latent_given(data[1], data[2], data[0])
        zero = torch.zeros(6)
        inner = model.standardise(data[0])
        if isinstance(prior, GaussianPrior):
            loc, scale = model.prior._moments(inner)
            loc = torch.cat([loc, loc.new_zeros(8, 4)], -1)
            scale = torch.cat([scale, scale.new_ones(8, 4)], -1)
        else:
            loc, scale = zero, zero + 1
        each = kl_divergence(Normal(q.mean, q.stddev), Normal(loc, scale)).mean(0)
    threshold = each.sort().values[2:4].mean().item()
    terms = ELBO(free_bits=threshold)(model, *data)
    expected = each.clamp(min=threshold).sum().item()
    assert terms.others["kl_counted"].item() == pytest.approx(expected, rel=1e-12)
    (slope,) = torch.autograd.grad(terms.others["kl_counted"], model.encoder.joint[-1].bias)
    moved = slope[:6] != 0
    assert torch.equal(moved, each > threshold)
    assert 0 < moved.sum() < 6


def test_free_bits_above_every_divergence_silence_the_divergence():
    model, data = plain_model(), triads(8)
    counted = ELBO(free_bits=1e6)(model, *data).others["kl_counted"]
    assert all(not g.any() for g in gradients(model, counted))


def test_hardly_any_free_bits_leave_the_loss_as_it_is():
    model, data = plain_model(), triads(8)
    losses = []
    for objective in (ELBO(), ELBO(free_bits=1e-12)):
        torch.manual_seed(0)
        losses.append(objective.loss(objective(model, *data).values(), model.beta))
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


@pytest.mark.parametrize(
    "prior", [MixturePrior(2), GaussianPrior(2, rest=StationaryPrior()), MixturePrior(2, None)]
)
def test_free_bits_refuse_a_prior_whose_divergence_has_no_entries(prior):
    with pytest.raises(InputError, match="'free_bits' needs the divergence of each entry"):
        quick(plain_model(prior=prior), batches(), objective=ELBO(free_bits=0.1))


def test_free_bits_refuse_a_guide_that_is_not_diagonal():
    with pytest.raises(InputError, match="a diagonal Gaussian guide"):
        ELBO(free_bits=0.1)(exact_model(), *exact_triads())


def test_a_model_with_a_property_code_refuses_the_marginal_term():
    model = plain_model(
        property_decoder=CodedProperty(), encoder=ConnectivityEncoder(), prior=MixturePrior(2)
    )
    with pytest.raises(InputError, match="leave the term out"):
        quick(model, batches(), objective=ELBO(extra=(MarginalProperty(),)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ELBO(free_bits=-1.0), "'free_bits' is -1.0"),
        (lambda: ImportanceWeighted(0), "'draws' is 0"),
        (lambda: MarginalProperty(weight=0.0), "'weight' is 0.0"),
        (lambda: MarginalProperty(draws=0), "'draws' is 0"),
    ],
)
def test_a_parameter_out_of_range_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_two_marginal_terms_are_refused():
    twice = ELBO(extra=(MarginalProperty(), MarginalProperty()))
    with pytest.raises(InputError, match="'extra' has 2 terms of one kind"):
        quick(plain_model(), batches(), objective=twice)


@pytest.mark.parametrize(
    ("objective", "names"),
    [
        (ELBO(free_bits=0.05), {"x", "m", "kl", "kl_counted"}),
        (
            ImportanceWeighted(4, extra=(MarginalProperty(2.0, 8),)),
            {"x", "m", "kl", "bound", "marginal"},
        ),
    ],
)
def test_training_ascends_the_chosen_objective_and_its_history_has_every_term(objective, names):
    data, model = batches(), plain_model(beta=1.0)
    for part in (data.train, data.validation):
        part.x[:] = (part.phi[:, :1, None] > 5.0).to(part.x)
    history = quick(model, data, epochs=8, objective=objective)
    epochs = history.epochs
    assert {n.removeprefix("train_") for n in epochs if n.startswith("train_")} == names | {"loss"}
    assert epochs["train_loss"][-1] < epochs["train_loss"][0] - 5
    last = {name: epochs[f"validation_{name}"][-1] for name in names}
    assert epochs["validation_loss"][-1] == objective.loss(last, 1.0)


def test_resuming_with_another_objective_is_refused(tmp_path):
    data = batches()
    quick(plain_model(), data, epochs=1, checkpoint=tmp_path / "c")
    with pytest.raises(DataError, match="a checkpoint with objective"):
        quick(
            plain_model(),
            data,
            epochs=1,
            checkpoint=tmp_path / "c",
            resume=True,
            objective=ELBO(free_bits=0.1),
        )


def test_the_description_of_an_objective_has_all_of_its_parameters():
    objective = ImportanceWeighted(4, extra=(MarginalProperty(2.0, 8),))
    assert objective_to_json(objective) == {
        "kind": "ImportanceWeighted",
        "draws": 4,
        "extra": [{"kind": "MarginalProperty", "weight": 2.0, "draws": 8}],
    }
    assert math.isclose(objective_to_json(ELBO(0.25))["free_bits"], 0.25)


def test_elbo_terms_are_those_of_the_elbo():
    model, data = plain_model(), triads(4)
    values = []
    for terms in (elbo_terms, ELBO()):
        torch.manual_seed(0)
        values.append(terms(model, *data).values())
    assert values[0] == values[1]
