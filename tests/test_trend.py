"""Claims about the trend of the prior: a Gaussian process of few settings."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

import pspgen_pyro as psp
from pspgen_pyro.errors import InputError
from pspgen_pyro.model import MixturePrior, PSPGen
from pspgen_pyro.model.trend import Trend, _blocks
from pspgen_pyro.process import Permutation


def learned(rows=40, members=2, seed=0, replicates=1, entries=2, settings=100):
    """A trend of two inputs, and the rows that it learned from."""
    torch.manual_seed(seed)
    where = torch.rand(rows, 2, dtype=torch.float64).repeat(replicates, 1)
    means = torch.stack([torch.sin(3 * where[:, 0]), where.prod(-1)], dim=-1)[:, :entries]
    u = means + 0.1 * torch.randn_like(means)
    group = torch.arange(rows).repeat(replicates)
    half = (torch.arange(rows) % 2).repeat(replicates)
    weight = torch.stack([(half == k % 2) * 2.0 for k in range(members)])
    trend = Trend(members, 2, entries, settings).double()
    expected, spread = trend.learn(where, u, group, weight, afresh=True)
    return trend, where, u, group, weight, expected, spread


def test_the_mean_is_that_of_a_gaussian_process_of_the_members_own_settings():
    trend, where, u, _, weight, _, _ = learned()
    new = torch.rand(17, 2, dtype=torch.float64)
    found = trend(new)
    for j in range(2):
        scale, noise, level = trend.scales[j].tolist()
        kernel = ConstantKernel(scale) * Matern(trend.lengths[j].numpy(), nu=2.5)
        for k in range(2):
            own = weight[k] > 0
            process = GaussianProcessRegressor(kernel, alpha=noise + 1e-6, optimizer=None)
            process.fit(where[own].numpy(), u[own, j].numpy() - level)
            wanted = process.predict(new.numpy()) + level
            np.testing.assert_allclose(found[k, :, j], wanted, atol=1e-8)


@pytest.mark.parametrize("replicates", [1, 3])
def test_a_row_that_is_left_out_is_told_by_the_others_alone(replicates):
    """By the formula for blocks of the inverse, and by learning again without them."""
    trend, where, u, group, weight, expected, _ = learned(12, replicates=replicates)
    for row in (0, 5):
        others = group != group[row]
        again = Trend(2, 2, 2, 100).double()
        again.load_state_dict(trend.state_dict())
        again.learn(where[others], u[others], group[others], weight[:, others], afresh=False)
        np.testing.assert_allclose(expected[:, row], again(where[row]), atol=1e-8)


def test_images_of_a_setting_under_symmetries_are_left_out_with_it():
    trend, where, u, group, weight, _, _ = learned(12)
    where, u = torch.cat([where, where.flip(-1)]), torch.cat([u, u.flip(-1)])
    group, weight = group.repeat(2), weight.repeat(1, 2)
    expected, _ = trend.learn(where, u, group, weight, afresh=False)
    others = group != 3
    again = Trend(2, 2, 2, 100).double()
    again.load_state_dict(trend.state_dict())
    again.learn(where[others], u[others], group[others], weight[:, others], afresh=False)
    np.testing.assert_allclose(expected[:, group == 3], again(where[group == 3]), atol=1e-8)


def test_values_that_are_unknown_teach_nothing():
    trend, where, u, group, weight, _, _ = learned(30)
    known = torch.arange(30) % 3 > 0
    some = u.clone()
    some[~known, 1] = torch.nan
    trend.learn(where, some, group, weight, afresh=False)
    first = trend(where)[..., 1].clone()
    trend.learn(where[known], u[known], group[known], weight[:, known], afresh=False)
    np.testing.assert_allclose(first, trend(where)[..., 1], atol=1e-8)


def test_the_spread_is_that_of_what_the_trend_leaves():
    spread = learned(400, entries=1, settings=400)[-1]
    assert spread == pytest.approx([0.1], rel=0.15)


def test_of_more_settings_than_it_may_learn_from_it_says_nothing():
    trend, where, *_, expected, spread = learned(40, settings=39)
    assert int(trend.count) == 0
    assert not trend(where).any()
    assert not expected.any()
    assert spread.tolist() == [1, 1]


def test_told_of_more_settings_than_it_may_learn_from_it_keeps_some():
    trend, where, u, group, weight, _, _ = learned(40, settings=60)
    more = [torch.cat([one, one + 1], dim=0) for one in (where, u)]
    both = torch.cat([group, group + 40]), weight.repeat(1, 2)
    expected, _ = trend.learn(*more, *both, afresh=False)
    assert int(trend.count) == 60
    assert bool(expected.isfinite().all())


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_blocks_are_the_groups(group):
    found = [set(row.tolist()) for block in _blocks(torch.tensor(group)) for row in block]
    wanted = [{i for i, one in enumerate(group) if one == g} for g in set(group)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, wanted))


def test_a_setting_without_batch_dimensions_has_the_mean_of_a_row():
    trend, where, *_ = learned()
    np.testing.assert_allclose(trend(where[3]), trend(where)[:, 3], atol=1e-12)
    np.testing.assert_allclose(trend(where.reshape(4, 10, 2))[:, 1, 2], trend(where)[:, 12])


def test_under_a_symmetry_with_too_many_elements_what_was_learned_before_is_forgotten():
    process = psp.ProcessSpace(("a", "b"), (0.0, 0.0), (1.0, 1.0))
    rng = np.random.default_rng(0)
    phi = process.sample(40, rng)
    triads = psp.Triads.from_arrays(
        phi,
        None,
        phi[:, :1] + rng.normal(size=(40, 1)),
        process=process,
        properties="s",
        quiet=True,
    )
    run = psp.fit(triads, prior_steps=5, progress=False)
    assert int(run.model.prior.trend.count) > 0
    alike = [Permutation((("a",), ("b",)))]
    run = psp.fit(triads, model=run.model, symmetries=alike, prior_steps=5, progress=False)
    assert int(run.model.prior.trend.count) == 0


@pytest.mark.parametrize("trend", [-1, 2001, 2.5])
def test_a_number_of_settings_out_of_range_is_a_sentence(trend):
    with pytest.raises(InputError, match="'trend' is"):
        PSPGen(psp.case("case1").chain.schema, prior=MixturePrior(trend=trend))


@pytest.mark.slow
def test_a_smooth_law_is_learned_from_sixty_settings():
    """P over the process beside that of networks without a trend."""
    process = psp.ProcessSpace(("a", "b"), (0.0, 0.0), (1.0, 1.0))
    new = process.sample(400, np.random.default_rng(0))

    def law(phi):
        return np.sin(5 * phi[:, 0]) + (phi[:, 1] - 0.4) ** 2, 0.1 + 0.2 * phi[:, 1]

    mean, sd = law(new)
    wanted, off = norm.sf(0.5, mean, sd), {}
    phi = process.sample(60, np.random.default_rng(1))
    m = np.random.default_rng(2).normal(*law(phi))[:, None]
    triads = psp.Triads.from_arrays(
        phi, None, m, process=process, properties=["s [MPa] linear"], quiet=True
    )
    for name, prior in {"networks": MixturePrior(), "default": None}.items():
        model = PSPGen(triads.schema, prior=prior)
        run = psp.fit(triads, model=model, seed=1, progress=False, prior_steps=300)
        p = run.probability("s > 0.5 MPa", new).value
        off[name] = np.sqrt(np.mean((p - wanted) ** 2))
    assert off["default"] < 0.8 * off["networks"]
