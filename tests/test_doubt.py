"""Claims about how sure P is: exact posteriors, the optimism of a search, what is said of it."""

import dataclasses

import numpy as np
import pytest
import torch
from exact import exact_model, tilted
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expit, logit
from scipy.stats import binom, norm

import pspgen_pyro as psp
from pspgen_pyro import Box, InputError, ProcessSpace, maximise
from pspgen_pyro.design import Cautious, Estimate, Support
from pspgen_pyro.design.estimates import EnsembleEstimate, ends_of
from pspgen_pyro.design.optimism import combined, sobered
from pspgen_pyro.design.unsure import reasons
from pspgen_pyro.model import MixturePrior, PSPGen
from pspgen_pyro.model.ensemble import Ensemble
from pspgen_pyro.process import Categorical, Permutation, Real
from pspgen_pyro.schema import Schema
from pspgen_pyro.training import PriorStage

TEN = ProcessSpace(tuple(f"u{j}" for j in range(10)), (0.0,) * 10, (1.0,) * 10)


def fitted(process, phi, m, **options):
    triads = psp.Triads.from_arrays(
        phi, None, m[:, None], process=process, properties=["m [1] linear"], quiet=True
    )
    return psp.fit(triads, progress=False, **options)


def test_the_interval_is_about_as_wide_as_the_posterior_of_a_linear_gaussian_chain():
    """m = 2 φ + noise of variance 1: P(m > 1.5) is Φ of a Gaussian, exactly, but for its noise."""
    process, ratios = ProcessSpace(("u",), (0.0,), (1.0,)), []
    at = np.array([[0.2], [0.5], [0.8]])
    for seed in range(2):
        rng = np.random.default_rng(seed)
        phi = rng.random((300, 1))
        run = fitted(
            process, phi, 2 * phi[:, 0] + rng.normal(size=300), seed=seed, prior_steps=250
        )
        p = run.probability(Box((1.5,), (np.inf,)), at)
        design = np.column_stack([np.ones(300), phi])
        features = np.column_stack([np.ones(3), at])
        spread = np.sqrt((features @ np.linalg.inv(design.T @ design) * features).sum(1))
        mean = 2 * at[:, 0] - 1.5
        width = norm.cdf(mean + 1.645 * spread) - norm.cdf(mean - 1.645 * spread)
        ratios.append((p.high - p.low) / width)
    # the networks do not know that the law is linear; 1.4 is the allowance for what they share
    assert 0.7 < np.mean(ratios) / 1.4 < 2.5


@pytest.mark.slow
def test_where_nothing_depends_on_ten_settings_the_search_finds_nothing_and_says_so():
    """P is 0.159 everywhere; the surface promises far more somewhere."""
    truth, promised, values, inside = norm.sf(1), [], [], []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        run = fitted(TEN, rng.random((300, 10)), rng.normal(size=300), seed=seed, prior_steps=150)
        for cautious in (False, True):
            p = run.design(Box((1.0,), (np.inf,)), cautious=cautious).probability
            promised.append(float(p.promised))
            values.append(float(p.value))
            inside.append(p.low <= truth <= p.high)
    assert np.mean(promised) > truth + 0.1
    assert abs(np.mean(values) - truth) < 0.5 * abs(np.mean(promised) - truth)
    assert np.mean(inside) >= 0.75


def test_one_overconfident_member_is_found_out():
    """Three members see P = 0.11 everywhere, one promises 1 at a corner."""
    ensemble, above = Ensemble((*(tilted(0.0),) * 3, tilted(2.0))), Box((1.0, -50.0), (50.0, 50.0))
    p = maximise(ensemble, above).probability
    there = norm.sf(0.5 / 0.4)
    assert p.members[:3] == pytest.approx(there, abs=0.01)
    assert p.members[3] > 0.9
    assert p.value < p.promised
    assert p.low < there < p.high


def test_members_that_agree_leave_nothing_to_take_off():
    model = exact_model()
    p = maximise(Ensemble((model,) * 4), Box((-0.6, -0.4), (0.7, 0.9))).probability
    assert p.value == pytest.approx(p.promised, abs=1e-6)
    assert p.high - p.low < 1e-6


def estimate(members, **told):
    p = np.asarray(members, dtype=float)
    given_ = {
        "members": p,
        "target": Box((0.0,), (1.0,)),
        "phi": np.zeros(1),
        "typical": 0.0,
        **told,
    }
    return EnsembleEstimate(p.mean(), np.zeros(()), *ends_of(p, 0.0), **given_)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.floats(-1, 8))
def test_what_is_left_is_less_than_promised_and_inside_its_interval(members, optimism):
    found = sobered(estimate(members), optimism)
    assert found.promised == np.mean(members)
    assert found.value <= found.promised + 1e-9
    assert 0 <= found.low <= found.value + 1e-9
    assert found.value <= found.high + 1e-9 <= 1 + 2e-9


@pytest.mark.parametrize(("hits", "samples"), [(0, 10), (3, 10), (140, 200), (400, 400)])
def test_model_and_simulations_together_are_bayes_rule(hits, samples):
    model = Estimate(np.array(0.8), np.array(0.0), np.array(0.6), np.array(0.92))
    low, high = logit(0.6), logit(0.92)
    prior = norm((low + high) / 2, (high - low) / (2 * 1.645))

    def height(h):
        return prior.pdf(h) * binom.pmf(hits, samples, expit(h))

    total = quad(height, -8, 10, limit=200)[0]
    mean = quad(lambda h: expit(h) * height(h), -8, 10, limit=200)[0] / total
    found = combined(model, hits, samples)
    assert found.value == pytest.approx(mean, abs=1e-4)
    below = quad(height, -8, logit(float(found.low)), limit=200)[0] / total
    assert below == pytest.approx(0.05, abs=2e-3)


def test_a_p_without_an_interval_is_not_weighed():
    with pytest.raises(InputError, match="no interval"):
        combined(Estimate(np.array(0.8), np.array(0.01)), 3, 10)


def test_an_interval_at_another_level_is_nested_and_at_its_own_the_same():
    found = estimate([0.5, 0.6, 0.65])
    assert found.interval() == pytest.approx((found.low, found.high))
    inner, outer = found.interval(0.5), found.interval(0.99)
    assert outer[0] < found.low < inner[0] < found.value < inner[1] < found.high < outer[1]
    counted = Estimate(np.array(0.8), np.array(0.02)).interval(0.95)
    assert counted == pytest.approx((0.8 - 1.96 * 0.02, 0.8 + 1.96 * 0.02), abs=1e-4)


@pytest.mark.parametrize("level", [0, 1, -0.5, 90, float("nan")])
def test_a_level_outside_0_and_1_is_refused(level):
    with pytest.raises(InputError, match="'level' is"):
        estimate([0.5, 0.6]).interval(level)


def test_zero_is_never_printed_as_an_error():
    assert str(Estimate(np.array(0.593), np.array(0.0))) == "0.593"
    assert str(estimate([0.5, 0.6])).startswith("0.550 (90 %: ")


def permuted(names=("T1", "t1", "T2", "t2")):
    return ProcessSpace(names, (900.0, 1.0) * 2, (1200.0, 8.0) * 2)


def test_a_permutation_moves_groups_and_nothing_else():
    process, alike = permuted(), Permutation((("T1", "t1"), ("T2", "t2")))
    phi = torch.tensor([[900.0, 1.0, 1200.0, 8.0]] * 200)
    moved, x, m = alike(process, phi, None, torch.zeros(200, 1))
    assert x is None
    assert (m == 0).all()
    swapped = (moved == phi.roll(2, 1)).all(1)
    assert ((moved == phi).all(1) | swapped).all()
    assert 60 < int(swapped.sum()) < 140


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ((("T1", "t1"), ("T2",)), "same number"),
        ((("T1", "t1"),), "at least two groups"),
        ((("T1",), ("T1",)), "twice"),
        ((("T1",), ("t1",)), "bounds differ"),
        ((("T1",), ("T3",)), "'T3'"),
    ],
)
def test_a_permutation_that_does_not_map_the_process_onto_itself_is_refused(groups, words):
    with pytest.raises(InputError, match=words):
        dataclasses.replace(permuted(), symmetries=(Permutation(groups),))


@pytest.mark.slow
def test_a_declared_permutation_is_learned():
    """m depends on the larger of two settings; rows show one order alone."""
    process = ProcessSpace(("a", "b"), (0.0, 0.0), (1.0, 1.0))
    alike = dataclasses.replace(process, symmetries=(Permutation((("a",), ("b",))),))
    rng = np.random.default_rng(0)
    phi = np.sort(rng.random((400, 2)), axis=1)
    run = fitted(alike, phi, 3 * phi[:, 1] + 0.3 * rng.normal(size=400), prior_steps=350)
    p = run.probability(Box((1.8,), (np.inf,)), [[0.2, 0.8], [0.8, 0.2]]).value
    assert p[0] == pytest.approx(p[1], abs=0.05)
    assert p[1] > 0.9


def test_a_setting_far_from_the_data_is_known_as_such():
    rng = np.random.default_rng(0)
    phi = rng.uniform(0.0, [0.5, 1000.0], (500, 2))
    process = ProcessSpace(("a", "b"), (0.0, 0.0), (1.0, 2000.0))
    support = Support(rng.normal(size=(500, 1)), phi)
    assert support.remoteness(np.array([0.25, 500.0]), process) < 0.95
    assert support.remoteness(np.array([1.0, 2000.0]), process) == 1.0
    assert Support(support.m).remoteness(np.zeros(2), process) is None
    assert not support.outside(np.array([0.5, 1000.0]), process)
    assert "outside the data" in support.outside(np.array([1.0, 2000.0]), process)
    with pytest.raises(InputError, match="one setting a row"):
        Support(support.m, phi[:3])


@pytest.mark.parametrize(
    ("size", "count"), [(1, 100), (2, 40), (2, 2500), (2, 12_000), (5, 200), (10, 2500)]
)
def test_corners_of_uniform_settings_are_not_outside_the_data(size, count):
    rng = np.random.default_rng(size)
    process = ProcessSpace(tuple("abcdefghij")[:size], (0.0,) * size, (1.0,) * size)
    support = Support(rng.normal(size=(count, 1)), rng.uniform(size=(count, size)))
    corners = rng.integers(0, 2, (20, size)).astype(float)
    assert not any(support.outside(phi, process) for phi in corners)


def test_names_are_apart_whatever_their_order():
    process = ProcessSpace.of({"t": Real(0, 1), "oven": Categorical(("x", "y", "z"))})
    rng = np.random.default_rng(0)
    phi = np.stack([rng.uniform(size=200), rng.integers(0, 2, 200)], axis=-1)
    support = Support(rng.normal(size=(200, 1)), phi)
    assert "outside the data" in support.outside(np.array([0.5, 2.0]), process)
    assert not support.outside(np.array([0.5, 1.0]), process)


@pytest.mark.parametrize("trend", [0, 200])
def test_networks_design_a_mixture_taken_for_a_box_outside_the_data_and_a_trend_does_not(trend):
    rng = np.random.default_rng(0)
    phi = rng.dirichlet((2.0, 2.0, 2.0), 200)
    box = ProcessSpace(("a", "b", "c"), (0.0,) * 3, (1.0,) * 3)
    model = PSPGen(
        Schema(process=box, properties=["m [1] linear"]), prior=MixturePrior(trend=trend)
    )
    m = phi[:, 0] + phi[:, 1] + 0.1 * rng.normal(size=200)
    design = fitted(box, phi, m, model=model, prior_steps=100).design(Box((0.95,), (np.inf,)))
    outside = design.status.startswith("converged, but outside the data: φ* is ")
    assert outside == (trend == 0)
    assert outside or design.phi.sum() < 1.1


def test_the_reasons_name_what_is_wrong_and_what_helps():
    ensemble, above = Ensemble((*(tilted(0.0),) * 3, tilted(2.0))), Box((1.0, -50.0), (50.0, 50.0))
    design = maximise(ensemble, above)
    phi = ensemble.process.sample(300, np.random.default_rng(0)) * 0.5
    support = Support(np.random.default_rng(1).normal(size=(300, 2)) - 2, phi)
    said = reasons(design, ensemble.process, support)
    for words in (
        "halves of the settings say",
        "few materials",
        "far from the data",
        "few replicates: 0 of 300 settings",
        "helps most",
        "beyond the 300 of the training",
    ):
        assert any(words in sentence for sentence in said), words
    assert reasons(maximise(exact_model(), Box((-0.6, -0.4), (0.7, 0.9))), ensemble.process)[
        0
    ].startswith("one network")
    assert "unlabelled images" not in said[-1]
    assert "unlabelled images" in reasons(design, ensemble.process, support, images=True)[-1]
    often = Support(support.m, phi[:60].repeat(5, axis=0))
    assert not any(
        "replicates" in sentence for sentence in reasons(design, ensemble.process, often)
    )
    alike = maximise(Ensemble((exact_model(),) * 3), Box((-0.6, -0.4), (0.7, 0.9)))
    assert reasons(alike, ensemble.process) == []


def test_caution_needs_several_networks():
    with pytest.raises(InputError, match="one network"):
        maximise(exact_model(), Cautious(Box((-0.6, -0.4), (0.7, 0.9))))


def repeated(each=4, settings_=150, noise=0.5, reading=0.0, seed=0):
    """m = 3 φ + noise, read with an error; φ, m and the true property."""
    rng = np.random.default_rng(seed)
    phi = rng.random((settings_, 1)).repeat(each, axis=0)
    true = 3 * phi[:, 0] + noise * rng.normal(size=len(phi))
    return phi, true + reading * rng.normal(size=len(phi)), true


def test_replicates_tell_the_noise_from_the_error_of_the_law():
    process = ProcessSpace(("u",), (0.0,), (1.0,))
    phi, m, _ = repeated()
    run = fitted(process, phi, m, prior_steps=350)
    new, fresh, _ = repeated(each=3, seed=1)
    triads = psp.Triads.from_arrays(
        new, None, fresh[:, None], process=process, properties=["m [1] linear"], quiet=True
    )
    right = run.noise(triads)
    assert right["noise"].item() == pytest.approx(0.5, abs=0.05)
    assert right["predicted"].item() == pytest.approx(0.5, abs=0.07)
    assert right["law"].item() < 0.15
    moved = psp.Triads.from_arrays(
        new, None, fresh[:, None] + 1, process=process, properties=["m [1] linear"], quiet=True
    )
    wrong = run.noise(moved)
    assert wrong["noise"].item() == pytest.approx(right["noise"].item())
    assert wrong["law"].item() == pytest.approx(1.0, abs=0.15)
    alone = psp.Triads.from_arrays(
        new[::3], None, fresh[::3, None], process=process, properties=["m [1] linear"], quiet=True
    )
    with pytest.raises(InputError, match="give replicates"):
        run.noise(alone)


@pytest.mark.slow
def test_a_declared_error_of_measurement_is_taken_out_where_asked(tmp_path):
    process, box = ProcessSpace(("u",), (0.0,), (1.0,)), Box((2.5,), (np.inf,))
    phi, m, _ = repeated(each=1, settings_=1500, noise=0.4, reading=0.6)
    triads = psp.Triads.from_arrays(
        phi, None, m[:, None], process=process, properties=["m [1] linear error=0.6"], quiet=True
    )
    run = psp.fit(triads, progress=False, prior_steps=400)
    true = run.without_errors()
    for level in (0.5, 0.7, 0.9):
        read = norm.sf((2.5 - 3 * level) / np.hypot(0.4, 0.6))
        assert run.probability(box, [level]).value == pytest.approx(read, abs=0.04)
        exact = norm.sf((2.5 - 3 * level) / 0.4)
        assert true.probability(box, [level]).value == pytest.approx(exact, abs=0.06)
    again = psp.load_run(true.save(tmp_path / "run"))
    assert again.probability(box, [0.7]).value == true.probability(box, [0.7]).value
    plain = fitted(process, phi, m, prior_steps=20)
    with pytest.raises(InputError, match="error=2"):
        plain.without_errors()


def test_without_a_row_to_judge_by_training_takes_the_middle_length():
    process = ProcessSpace(("u",), (0.0,), (1.0,))
    rng = np.random.default_rng(0)
    triads = psp.Triads.from_arrays(
        rng.random((60, 1)),
        None,
        rng.normal(size=(60, 1)),
        process=process,
        properties=["m [1] linear"],
        quiet=True,
    )
    model = psp.PSPGen(triads.schema, prior=MixturePrior(members=1)).float()
    stage = PriorStage(passes=(4, 6, 8), settling=0.0)
    run = psp.fit(triads, model=model, stages=[stage], progress=False)
    assert len(run.histories[0].stages["prior"]) == 6
