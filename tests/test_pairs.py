"""Claims about bare pairs (φ, x): how they are kept, guided, and what their bound is."""

import numpy as np
import pytest
import torch
from exact import NOISE_X, exact_model, log_evidence
from pyro.distributions import MultivariateNormal, Normal
from pyro.infer import Trace_ELBO
from test_bounds import plain_model
from test_model import triads
from torch import nn

from pspgen_pyro import Batches, InputError
from pspgen_pyro.model import (
    TwoBranchEncoder,
)
from pspgen_pyro.training.objective import ImportanceWeighted, elbo_terms


def with_bare_pairs(triads, every=3):
    """The toy triads without m in some rows, and with one of its two numbers in some others."""
    m = triads["m"].values.copy()
    m[::every] = np.nan
    m[1::every, 0] = np.nan
    return triads.assign(m=(triads["m"].dims, m))


def test_a_sample_without_properties_is_kept_as_a_bare_pair(toy_triads):
    data = Batches.from_dataset(with_bare_pairs(toy_triads))
    total = len(data.train) + len(data.validation)
    assert total == toy_triads.sizes["sample"] == 240
    known = data.train.labelled.sum() + data.validation.labelled.sum()
    assert known == 80
    for fold in (data.train, data.validation):
        assert fold.m[~fold.labelled].isnan().all()
        assert fold.only_labelled().m.isfinite().all()
        assert len(fold.only_labelled()) == fold.labelled.sum()


def test_a_sample_whose_structure_failed_is_dropped(toy_triads):
    x, m = toy_triads["x"].values.copy(), toy_triads["m"].values.copy()
    x[[3, 8]], m[[3, 8, 20]] = 0, np.nan
    failed = toy_triads.assign(x=(toy_triads["x"].dims, x), m=(toy_triads["m"].dims, m))
    data = Batches.from_dataset(failed)
    assert len(data.train) + len(data.validation) == 238
    assert all(fold.x.flatten(1).any(1).all() for fold in (data.train, data.validation))


def test_a_fold_without_a_single_label_is_refused(toy_triads):
    m = np.full_like(toy_triads["m"].values, np.nan)
    with pytest.raises(InputError, match="no training sample with properties"):
        Batches.from_dataset(toy_triads.assign(m=(toy_triads["m"].dims, m)))


@pytest.mark.parametrize("labelled", [10, 37, 240])
def test_hiding_properties_keeps_so_many_labels_and_moves_no_pair(toy_triads, labelled):
    data = Batches.from_dataset(toy_triads)
    hidden = data.hide_properties(labelled, seed=4)
    kept = [fold.labelled for fold in (hidden.train, hidden.validation)]
    assert sum(k.sum().item() for k in kept) == labelled
    assert kept[1].sum() >= 1
    for before, after, known in zip(
        (data.train, data.validation), (hidden.train, hidden.validation), kept, strict=True
    ):
        assert torch.equal(before.phi, after.phi)
        assert torch.equal(before.x, after.x)
        assert torch.equal(before.m[known], after.m[known])
        assert after.m[~known].isnan().all()
    trained = {tuple(row) for row in hidden.train.phi.tolist()}
    assert not trained & {tuple(row) for row in hidden.validation.phi.tolist()}


def test_the_same_seed_hides_the_same_properties(toy_triads):
    data = Batches.from_dataset(toy_triads)
    first, again, other = (data.hide_properties(40, seed).train.labelled for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("labelled", [9, 241])
def test_too_few_labels_or_more_than_there_are_are_refused(toy_triads, labelled):
    with pytest.raises(InputError, match=f"'labelled' is {labelled}"):
        Batches.from_dataset(toy_triads).hide_properties(labelled)


def test_other_rows_join_their_own_fold_without_their_properties(toy_triads):
    data = Batches.from_dataset(toy_triads)
    joined = data.with_pairs(data)
    for fold, both in ((data.train, joined.train), (data.validation, joined.validation)):
        n = len(fold)
        assert torch.equal(both.m[:n], fold.m)
        assert both.m[n:].isnan().all()
        assert torch.equal(both.x, torch.cat([fold.x, fold.x]))
        assert torch.equal(both.phi, torch.cat([fold.phi, fold.phi]))


@pytest.mark.parametrize("other", [{"row": slice(12)}, {"parameter": slice(1)}])
def test_pairs_of_another_size_are_refused(toy_triads, other):
    others = Batches.from_dataset(toy_triads.isel(other))
    with pytest.raises(InputError, match="'others' has microstructures"):
        Batches.from_dataset(toy_triads).with_pairs(others)


def mixed_rows(n=8, known=5):
    phi, x, m = triads(n)
    m[known:] = torch.nan
    return phi, x, m


def test_rows_with_properties_use_the_one_guide_and_bare_pairs_the_other():
    model, (phi, x, m) = plain_model(pair_encoder=TwoBranchEncoder()), mixed_rows()
    q, inner = model.latent_given(x, m, phi), model.standardise(phi)
    first = model.encoder(x[:5], m[:5], inner[:5])
    second = model.pair_encoder(x[5:], m[5:], inner[5:])
    assert torch.allclose(q.mean, torch.cat([first.mean, second.mean]))
    assert torch.allclose(q.stddev, torch.cat([first.stddev, second.stddev]))
    eta = {id(p) for p in model.param_groups()["eta"]}
    assert {id(p) for p in model.pair_encoder.parameters()} <= eta


def test_bare_pairs_without_a_guide_of_their_own_are_refused():
    model, (phi, x, m) = plain_model(), mixed_rows()
    with pytest.raises(InputError, match=r"NaN in 3 row\(s\).*pair_encoder=TwoBranchEncoder"):
        model.latent_given(x, m, phi)


def test_the_terms_of_a_mixed_batch_are_those_of_its_parts_with_the_same_noise(monkeypatch):
    """Eq. 18: triads and pairs add, and a pair adds nothing to the term of m."""
    model, (phi, x, m) = plain_model(pair_encoder=TwoBranchEncoder()), mixed_rows()
    noise, used = torch.randn(8, 6), []

    def same_noise(shape, dtype, device):
        start = sum(used)
        used.append(shape[0])
        return noise[start : start + shape[0]]

    monkeypatch.setattr("torch.distributions.normal._standard_normal", same_noise)
    whole = elbo_terms(model, phi, x, m).values()
    used.clear()
    known = elbo_terms(model, phi[:5], x[:5], m[:5]).values()
    bare = elbo_terms(model, phi[5:], x[5:], m[5:]).values()
    assert bare["m"] == 0.0
    for name, value in whole.items():
        assert 8 * value == pytest.approx(5 * known[name] + 3 * bare[name], rel=1e-12)


def test_bare_pairs_leave_every_gradient_finite():
    model, data = plain_model(pair_encoder=TwoBranchEncoder()), mixed_rows()
    loss = elbo_terms(model, *data).loss(1.0)
    slopes = torch.autograd.grad(loss, list(model.parameters()))
    assert all(slope.isfinite().all() for slope in slopes)


class ExactPairEncoder(nn.Module):
    """The posterior of a one-dimensional z0 given x and φ."""

    reads_m = False

    def __init__(self, model):
        super().__init__()
        self.model = (model,)

    def forward(self, x, m, phi):
        (model,) = self.model
        load, residual = pair_observation(model, phi, x)
        precision = 1 + (load / NOISE_X).square().sum()
        loc = residual @ load / NOISE_X**2 / precision
        return Normal(loc, precision.rsqrt().expand_as(loc)).to_event(1)


def pair_observation(model, phi, x):
    """The loading of x on z0, and x minus its mean at z0 = 0, for standardised settings."""
    weight = model.decoder_x.weight
    centre = model.process_map(phi) @ weight[:, 1:].T + model.decoder_x.bias
    return weight[:, :1], x.flatten(1) - centre


def log_pair_evidence(model, phi, x):
    load, residual = pair_observation(model, model.standardise(phi), x)
    covariance = load @ load.T + NOISE_X**2 * torch.eye(len(load))
    return MultivariateNormal(torch.zeros(len(load)), covariance).log_prob(residual)


def exact_pair_model():
    model = exact_model(latent=1)
    # the posterior of one number is a diagonal Gaussian
    exact = model.encoder
    model.encoder = Diagonal(exact)
    model.parts["pair_encoder"] = TwoBranchEncoder()
    model.pair_encoder = ExactPairEncoder(model)
    return model


class Diagonal(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x, m, phi):
        q = self.encoder(x, m, phi)
        return Normal(q.mean, q.stddev).to_event(1)


def test_the_bound_of_a_bare_pair_at_its_exact_guide_is_the_evidence_of_x():
    model, phi, x = exact_pair_model(), 2 * torch.rand(5, 2) - 1, torch.randn(5, 3, 3)
    evidence = log_pair_evidence(model, phi, x).sum().item()
    bare = torch.full((5, 2), torch.nan)
    for _ in range(3):
        elbo = -Trace_ELBO().loss(model.model, model.guide, phi, x, bare)
        assert elbo == pytest.approx(evidence, abs=1e-10)
    bound = ImportanceWeighted(3)(model, phi, x, bare).values()["bound"]
    assert 5 * bound == pytest.approx(evidence, abs=1e-10)


def test_the_bound_of_triads_and_bare_pairs_is_the_sum_of_their_evidences():
    model, phi, x = exact_pair_model(), 2 * torch.rand(6, 2) - 1, torch.randn(6, 3, 3)
    m = torch.randn(6, 2)
    evidence = log_evidence(model, phi[:2], x[:2], m[:2]).sum()
    evidence = (evidence + log_pair_evidence(model, phi[2:], x[2:]).sum()).item()
    m[2:] = torch.nan
    elbo = -Trace_ELBO().loss(model.model, model.guide, phi, x, m)
    assert elbo == pytest.approx(evidence, abs=1e-10)
