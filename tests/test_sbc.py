"""Claims about calibration and coverage: right draws pass, wrong ones fail as they must."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from exact import exact_model

from pspgen_pyro import Box, InputError
from pspgen_pyro.design import Boxes
from pspgen_pyro.diagnosis import (
    Partition,
    plot_coverage,
    plot_ranks,
    sbc,
    sbc_verdicts,
    simulate_trials,
    simultaneous_band,
    tarp,
    uniformity,
)
from pspgen_pyro.diagnosis.trials import _simulate, sample_hmc_trials

CELLS = Partition(((-1.0, 1.0), (0.0, 1.5)))
LEVEL = 1e-3


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        model = exact_model().double()
    model.m_scale.fill_(2.0)
    return model


def exactly(model, partition, cells, draws, seed):
    """Posterior draws by rejection: materials of the model that fell into the trial's own cell."""
    phi, z0, m = _simulate(model, 200_000, (seed, 99))
    pool, rng = partition.cell_of(m), np.random.default_rng(seed)
    index = np.stack([rng.choice(np.flatnonzero(pool == c), draws) for c in cells], axis=1)
    return phi[index], z0[index]


@pytest.fixture(scope="module")
def right(model):
    return simulate_trials(model, CELLS, simulations=600, draws=63, sampler=exactly, seed=4)


def scaled(trials, factor):
    """The same draws, narrower or wider about their mean."""
    phi, z0 = trials.drawn_phi, trials.drawn_z0
    wrong = [d.mean(axis=0) + factor * (d - d.mean(axis=0)) for d in (phi, z0)]
    return dataclasses.replace(trials, drawn_phi=wrong[0], drawn_z0=wrong[1])


def test_exact_posterior_draws_pass_every_check(right):
    for found in sbc_verdicts(sbc(right)).values():
        assert found.verdict(LEVEL) == "uniform"
        assert found.inside
    for of in ("phi", "phi and z0"):
        for reference in ("companion", "prior"):
            assert tarp(right, of=of, reference=reference).verdict(LEVEL) == "uniform"


@pytest.mark.parametrize(("factor", "word"), [(0.7, "overconfident"), (1.4, "timid")])
def test_too_narrow_and_too_wide_draws_fail_in_the_right_direction(right, factor, word):
    wrong = scaled(right, factor)
    verdicts = sbc_verdicts(sbc(wrong))
    for name in ("phi1", "phi2"):
        assert verdicts[name].verdict(LEVEL) == word
        assert not verdicts[name].inside
    for of in ("phi", "phi and z0"):
        for reference in ("companion", "prior"):
            assert tarp(wrong, of=of, reference=reference).verdict(LEVEL).startswith(word)


def test_draws_that_are_too_low_are_called_so(right):
    wrong = dataclasses.replace(right, drawn_phi=right.drawn_phi - 0.2)
    assert sbc_verdicts(sbc(wrong))["phi1"].verdict() == "draws too low"


def test_draws_that_ignore_the_datum_fool_phi_but_not_the_likelihood_nor_companions(model):
    def ignore(model, partition, cells, draws, seed):
        phi, z0, _ = _simulate(model, draws * len(cells), (seed, 98))
        return phi.reshape(draws, len(cells), -1), z0.reshape(draws, len(cells), -1)

    trials = simulate_trials(model, CELLS, simulations=600, draws=63, sampler=ignore, seed=4)
    verdicts = sbc_verdicts(sbc(trials))
    assert verdicts["phi1"].verdict(LEVEL) == "uniform"
    assert verdicts["log_likelihood"].p_value < 1e-6
    assert tarp(trials, reference="prior").verdict(LEVEL) == "uniform"
    assert tarp(trials, reference="companion").verdict(LEVEL) != "uniform"


def test_the_batched_sampler_is_calibrated_on_the_exact_chain(model):
    trials = simulate_trials(model, CELLS, simulations=300, draws=31, seed=1)
    for found in sbc_verdicts(sbc(trials)).values():
        assert found.verdict(LEVEL) == "uniform"
    assert tarp(trials, of="phi and z0").verdict(LEVEL) == "uniform"


def test_each_chain_samples_the_posterior_of_its_own_cell(model):
    cells = np.repeat(np.arange(CELLS.count), 40)
    ours = sample_hmc_trials(model, CELLS, cells, 10, 0, warmup=60)[0]
    theirs = exactly(model, CELLS, cells, 200, 0)[0]
    for c in range(CELLS.count):
        a, b = (draws[:, cells == c].reshape(-1, 2) for draws in (ours, theirs))
        error = np.hypot(a.std(axis=0) / 400**0.5, b.std(axis=0) / 2000**0.5)
        assert (abs(a.mean(axis=0) - b.mean(axis=0)) < 4.5 * error).all()


def test_the_same_seed_gives_the_same_trials(model):
    short = partial(sample_hmc_trials, warmup=20)
    runs = [
        simulate_trials(model, CELLS, simulations=10, draws=3, sampler=short, seed=7)
        for _ in range(2)
    ]
    ranks = [sbc(trials)["prior_sbc"].to_dataset() for trials in runs]
    assert ranks[0].equals(ranks[1])


def test_the_likelihoods_of_all_cells_sum_to_one(model, right):
    total = sum(
        np.exp(
            dataclasses.replace(right, cell=np.full(len(right), c)).log_likelihood(
                right.phi, right.z0
            )
        )
        for c in range(CELLS.count)
    )
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_a_target_is_a_union_of_the_cells_it_makes():
    target = Boxes((Box((0, 0), (2, np.inf)), Box((1, -1), (3, 1))))
    partition = Partition.of(target)
    m = np.random.default_rng(0).uniform(-2, 4, (5000, 2))
    inside, cell = target.contains(m), partition.cell_of(m)
    for c in range(partition.count):
        assert len(set(inside[cell == c])) == 1
        assert partition.boxes[c].contains(m[cell == c]).all()


def test_quantile_cells_are_equally_probable_in_each_property(model):
    partition = Partition.quantiles(model, 4)
    m = _simulate(model, 20_000, 5)[2]
    for j, edges in enumerate(partition.edges):
        share = np.bincount(np.searchsorted(edges, m[:, j])) / len(m)
        np.testing.assert_allclose(share, 0.25, atol=0.02)


def test_uniform_ranks_raise_one_alarm_in_a_hundred():
    rng = np.random.default_rng(1)
    found = [uniformity(rng.random(200)) for _ in range(1000)]
    assert sum(f.p_value < 0.01 for f in found) <= 25
    assert sum(not f.inside for f in found) <= 25


def test_the_band_holds_the_uniform_distribution_and_narrows_with_the_count():
    widths = []
    for count in (101, 1001):
        points, lower, upper = simultaneous_band(count)
        assert ((lower < points) & (points < upper)).all()
        widths.append((upper - lower).max())
    assert widths[0] / widths[1] == pytest.approx(10**0.5, rel=0.1)


def test_arviz_draws_the_tree_as_it_comes(right):
    import matplotlib.pyplot as plt
    from arviz_plots import plot_ecdf_pit

    tree = sbc(right)
    assert dict(tree["prior_sbc"].sizes) == {"sample": 600}
    assert plot_ecdf_pit(tree) is not None
    figure = plot_ranks({k: v.values for k, v in tree["prior_sbc"].to_dataset().items()})
    assert len(figure.axes) == 4
    assert plot_coverage(tarp(right)).get_xlabel() == "credibility"
    plt.close("all")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda m: Partition(((), ())), "at least one finite edge"),
        (lambda m: Partition(((1.0, 0.0), ())), "must ascend"),
        (lambda m: Partition.quantiles(m, 1), "'parts' is 1"),
        (lambda m: simulate_trials(m, CELLS, simulations=5), "'simulations' is 5"),
        (lambda m: simulate_trials(m, Partition(((0.0,),))), "edges for 1 properties"),
        (lambda m: uniformity([0.5, 2.0]), "'ranks' holds 2 values"),
        (lambda m: plot_ranks({}), "'ranks' is empty"),
    ],
)
def test_bad_questions_are_refused_in_a_sentence(model, ask, words):
    with pytest.raises(InputError, match=words):
        ask(model)


def test_an_unknown_distance_is_refused(right):
    with pytest.raises(InputError, match="'of' is 'm'"):
        tarp(right, of="m")
