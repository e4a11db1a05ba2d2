"""Claims about scores of predictions: an exact model passes, every fault shows where it must."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from scipy.stats import norm

from pspgen_pyro import Box, InputError, ProcessSpace
from pspgen_pyro.data.triads import Triads
from pspgen_pyro.design import Materials as RealMaterials
from pspgen_pyro.diagnosis import (
    ReferenceMaterials,
    clustered_mean,
    decile_targets,
    energy_distance,
    energy_score,
    generated_check,
    model_table,
    paired_differences,
    plot_central_coverage,
    plot_density_scores,
    plot_probabilities,
    plot_reliability,
    plot_scores,
    reconstruction_check,
    reliability,
    score,
    study_targets,
    table_notes,
)
from pspgen_pyro.diagnosis.generated import spread_settings
from pspgen_pyro.diagnosis.reference_materials import spread_rows
from pspgen_pyro.rivals import PSPGenPredictor
from pspgen_pyro.runs import load_run
from pspgen_pyro.schema import Schema

PROCESS = ProcessSpace(("a", "b"), (-1.0, -1.0), (1.0, 1.0))
NAMES = ("horizontal", "vertical")
SLOPE = np.array([[1.5, 0.2], [-0.3, 1.0]])
SCALE = np.array([0.5, 0.3])
SCHEMA = Schema(process=PROCESS, properties=NAMES)
TARGETS = {"low": Box((-np.inf, -np.inf), (0, 0)), "high": Box((0.2, -np.inf), (np.inf, 0.5))}


class Gaussian:
    """The law m ~ N(Aφ + shift, (width · scale)²), in closed form, asked like any predictor."""

    has_density = True
    has_draws = True

    def __init__(self, width=1.0, shift=0.0, name="exact"):
        self.name, self.process, self.property_names = name, PROCESS, NAMES
        self.scale, self.shift = width * SCALE, shift

    def mean(self, phi):
        return np.asarray(phi) @ SLOPE.T + self.shift

    def probability(self, target, phi):
        lower, upper = (
            norm.cdf((np.array(ends) - self.mean(phi)) / self.scale)
            for ends in (target.lower, target.upper)
        )
        return (upper - lower).prod(axis=-1)

    def log_density(self, phi, m):
        return norm.logpdf(m, self.mean(phi), self.scale).sum(axis=-1)

    def sample(self, phi, draws, seed):
        noise = np.random.default_rng(seed).standard_normal((len(phi), draws, 2))
        return self.mean(phi)[:, None] + self.scale * noise


class Indicator(Gaussian):
    """A model that knows probabilities alone."""

    has_density = False
    has_draws = False


class Draws(Gaussian):
    """A model that draws m and knows no density."""

    has_density = False


def triads(phi, replicates, seed=0, **attrs):
    """Materials of the exact law at the given settings."""
    index = np.repeat(np.arange(len(phi)), replicates)
    m = Gaussian().sample(phi[index], 1, seed)[:, 0]
    sample = ("sample",)
    data = xr.Dataset(
        {
            "phi": (("sample", "parameter"), phi[index]),
            "m": (("sample", "property"), m),
            "phi_index": (sample, index),
        },
        attrs=attrs,
    )
    return Triads(SCHEMA, data)


@pytest.fixture(scope="module")
def reference():
    return ReferenceMaterials.of(triads(PROCESS.grid(12), 60), rows=2000)


@pytest.fixture(scope="module")
def exact(reference):
    return score(Gaussian(), reference, TARGETS)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_the_exact_model_is_below_the_resolution_and_at_the_irreducible_brier_score(exact):
    for one in exact.targets.values():
        assert one.surface.rmse <= one.surface.resolution
        excess = one.brier.value - one.irreducible
        assert abs(excess) <= one.surface.resolution**2


def test_the_exact_model_has_uniform_ranks_and_nominal_coverage(exact):
    assert {u.verdict(1e-3) for u in exact.uniformity.values()} == {"uniform"}
    for levels in exact.coverage.values():
        for level, inside in levels.items():
            assert abs(inside.value - level) < 3.5 * inside.standard_error


def test_the_negative_log_likelihood_of_the_exact_model_is_the_entropy(exact):
    entropy = norm.entropy(scale=SCALE).sum()
    assert abs(exact.nll.value - entropy) < 3.5 * exact.nll.standard_error


@pytest.mark.parametrize(
    ("fault", "verdict", "sign"),
    [({"width": 1.4}, "timid", 1), ({"width": 0.7}, "overconfident", -1)],
)
def test_a_wrong_width_is_caught_by_every_score(reference, exact, fault, verdict, sign):
    wrong = score(Gaussian(**fault, name="wrong"), reference, TARGETS)
    assert {u.verdict(1e-3) for u in wrong.uniformity.values()} == {verdict}
    for levels in wrong.coverage.values():
        inside = levels[0.9]
        assert sign * (inside.value - 0.9) > 5 * inside.standard_error
    assert wrong.targets["low"].surface.rmse > 2 * wrong.targets["low"].surface.resolution
    for gap in paired_differences([exact, wrong], reference)["wrong"].values():
        assert gap.value > 3 * gap.standard_error


def test_a_shift_bends_the_reliability_curve_and_the_exact_curve_is_straight(reference, exact):
    wrong = score(Gaussian(shift=0.2), reference, TARGETS)
    straight, bent = (one.targets["low"].reliability for one in (exact, wrong))
    assert (abs(straight.observed - straight.predicted) < 4 * straight.standard_error).all()
    assert straight.error < 0.02 < bent.error
    assert (bent.observed > bent.predicted).all()


def test_the_standard_error_of_the_rmse_covers_the_exactly_known_error():
    settings_ = PROCESS.grid(10)
    truth, wrong = Gaussian(), Gaussian(shift=0.1)
    target = TARGETS["low"]
    error = (truth.probability(target, settings_) - wrong.probability(target, settings_)) ** 2
    known, z = error.mean() ** 0.5, []
    for seed in range(40):
        data = ReferenceMaterials.of(triads(settings_, 40, seed), rows=20)
        found = score(wrong, data, {"low": target}, draws=2).rmse
        z.append((found.value - known) / found.standard_error)
    assert abs(np.mean(z)) < 0.6
    assert 0.7 < np.std(z) < 1.4


def test_brier_is_the_noise_free_square_plus_what_no_model_avoids(reference, exact):
    for one in exact.targets.values():
        raw = one.surface.raw**2
        q = one.observed
        assert one.brier.value == pytest.approx(raw + (q * (1 - q)).mean(), rel=1e-9)


def test_a_reference_without_replicates_is_scored_but_for_the_surface():
    phi = PROCESS.sample(600, np.random.default_rng(2))
    known = ReferenceMaterials.of(triads(phi, 1))
    found = score(Gaussian(), known, TARGETS)
    assert found.rmse is None
    assert found.to_json()["targets"]["low"].keys() == {"brier", "reliability"}
    assert found.brier.standard_error > 0
    head, row = model_table([found]).splitlines()
    assert "RMSE" not in head
    assert f"{found.targets['high'].brier}" in row
    plot_probabilities([found], known)


def test_a_model_is_scored_by_what_it_can_be_asked(reference):
    drawing = score(Draws(), reference, TARGETS)
    assert drawing.nll is None
    assert drawing.coverage["vertical"][0.9].value == pytest.approx(0.9, abs=0.03)
    plot_density_scores(drawing, reference)
    found = score(Indicator(), reference, TARGETS)
    assert (found.energy, found.nll, found.pit) == (None, None, {})
    assert found.rmse.value < 0.02
    assert found.to_json()["energy_score"] is None


def test_failed_samples_are_left_out_and_settings_thinned():
    all_ = triads(PROCESS.grid(5), 8)
    data = all_.data
    data["m"][:4, 1] = np.nan
    assert len(ReferenceMaterials.of(all_).m) == 196
    few = ReferenceMaterials.of(all_, settings=10, rows=30)
    assert (len(few.phi), len(few.rows)) == (10, 30)
    np.testing.assert_array_equal(data["m"].values[few.index], few.m)
    np.testing.assert_array_equal(data["phi"].values[few.index], few.phi[few.group])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.assign(m=d["m"] * np.nan), "has 0 material"),
        (lambda d: d.assign(m=d["m"] - np.inf), "infinite m"),
    ],
)
def test_an_unusable_reference_is_refused_in_a_sentence(change, words):
    with pytest.raises(InputError, match=words):
        ReferenceMaterials.of(Triads(SCHEMA, change(triads(PROCESS.grid(3), 4).data)))


def test_a_model_of_other_properties_is_refused(reference):
    other = Gaussian()
    other.property_names = ("k", "l")
    with pytest.raises(InputError, match="own case"):
        score(other, reference, TARGETS)
    with pytest.raises(InputError, match="'draws' is 1"):
        score(Gaussian(), reference, {}, draws=1)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(1, 40))
def test_rows_are_spread_over_the_groups_as_evenly_as_their_sizes_allow(sizes, count):
    group = np.repeat(np.arange(len(sizes)), sizes)
    rows = spread_rows(group, count, np.random.default_rng(0))
    assert len(np.unique(rows)) == len(rows) == min(count, len(group))
    chosen = np.bincount(group[rows], minlength=len(sizes))
    short = chosen < np.array(sizes)
    assert not short.any() or chosen[short].min() >= chosen.max() - 1


def test_replicates_of_one_setting_count_as_one_in_a_standard_error():
    rng = np.random.default_rng(0)
    groups = rng.normal(size=(300, 40))
    each = clustered_mean(groups[:, 0], np.arange(300)).standard_error
    repeated = clustered_mean(np.repeat(groups[:, 0], 40), np.repeat(np.arange(300), 40))
    assert repeated.standard_error == pytest.approx(each)


def test_the_energy_score_is_that_of_a_normal_law():
    rng = np.random.default_rng(0)
    truth, draws = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 100, 1))
    # ½ E|m' − m''| = 1/√π for the standard normal law
    assert energy_score(draws, truth).mean() == pytest.approx(np.pi**-0.5, abs=0.02)


def test_a_bin_in_which_all_agree_keeps_a_standard_error():
    curve = reliability([0.0, 0.0], [0, 0], [50, 50])
    assert curve.standard_error[0] > 0.004
    assert curve.samples.tolist() == [100]


def test_every_picture_is_drawn_for_one_model_and_for_several(reference, exact):
    wide = score(Gaussian(1.4, name="wide"), reference, TARGETS)
    known = score(Indicator(name="indicator"), reference, TARGETS)
    several = [exact, wide, known]
    for scores in ([exact], several):
        assert len(plot_reliability(scores).axes) == 2
        plot_central_coverage(scores)
        plot_scores(scores)
    columns = 4
    assert sum(bool(ax.get_title()) for ax in plot_probabilities(several, reference).axes) == (
        2 * columns
    )
    plot_density_scores(exact, reference)
    table = model_table(several, {"wide": 1.25})
    assert [line.split()[0] for line in table.splitlines()] == [
        "model",
        "exact",
        "wide",
        "indicator",
    ]
    assert "1.2" in table.splitlines()[2]
    notes = table_notes(several, reference)
    assert "cannot be told from 0" in notes[0]
    assert notes[1].startswith("wide minus exact, paired: Brier +")


@pytest.mark.parametrize(
    "draw", [plot_reliability, plot_central_coverage, plot_scores, model_table]
)
def test_nothing_to_show_is_said(draw):
    with pytest.raises(InputError, match="'scores'"):
        draw([])


def test_the_energy_distance_tells_laws_apart_and_only_those():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 80, 2))
    assert energy_distance(a, b)[1] > 0.02
    assert energy_distance(a, 1.5 * b + 0.5)[1] < 0.01
    with pytest.raises(InputError, match="2 of each"):
        energy_distance(a, b[:1])


def test_settings_are_spread_from_the_middle_to_the_corners():
    found = spread_settings(PROCESS.grid(5), 5)
    assert found[0].tolist() == [0, 0]
    assert sorted(map(tuple, found[1:].tolist())) == [(-1, -1), (-1, 1), (1, -1), (1, 1)]


def test_the_targets_are_those_of_the_study(toy_triads):
    assert list(study_targets(toy_triads)) == ["L", "M", "R"]
    assert (
        study_targets(Triads(toy_triads.schema, toy_triads.data.assign_attrs(case="mine"))) == {}
    )


def test_the_deciles_of_a_reference_are_a_tenth_of_it_and_ties_belong_to_them(reference):
    found = decile_targets(reference)
    assert list(found) == ["low horizontal", "high horizontal", "low vertical", "high vertical"]
    for target in found.values():
        assert target.contains(reference.m).mean() == pytest.approx(0.1, abs=1e-3)
    tied = dataclasses.replace(reference, m=np.maximum(reference.m, [0.0, 9.0]))
    shares = {name: t.contains(tied.m).mean() for name, t in decile_targets(tied).items()}
    assert shares.keys() == {"low horizontal", "high horizontal"}
    assert shares["low horizontal"] == (reference.m[:, 0] <= 0).mean()


def test_the_unit_of_a_property_moves_no_energy_score(reference, exact):
    class Millimetres(Gaussian):
        def sample(self, *args):
            return super().sample(*args) * [1.0, 1e3]

        def log_density(self, phi, m):
            return super().log_density(phi, m / [1.0, 1e3])

    other = dataclasses.replace(reference, m=reference.m * [1.0, 1e3])
    assert score(Millimetres(), other, {}).energy.value == pytest.approx(exact.energy.value)


def test_reconstruction_counts_pixels_and_knows_the_majority(toy_run, toy_triads):
    model = load_run(toy_run).model
    part = toy_triads.data.isel(sample=slice(20))
    materials = RealMaterials(*(part[name].values for name in ("phi", "x", "m")))
    found = reconstruction_check(model, materials)
    right = [(a == b).mean() for a, b in zip(found.x, found.back, strict=True)]
    assert found.accuracy.value == pytest.approx(np.mean(right))
    share = part["x"].values.mean()
    assert found.majority == pytest.approx(max(share, 1 - share))


def test_real_images_beside_themselves_differ_in_nothing(toy_run, toy_triads, monkeypatch):
    from pspgen_pyro.diagnosis import generated
    from pspgen_pyro.report import SolvedImages, materials_at

    def twins(run, phi, data, *, count, seed):
        pair = (materials_at(run, phi, data, count=count, seed=s)[0] for s in (seed, seed + 50))
        return tuple(SolvedImages("twin", one.x, one.m, one.images) for one in pair)

    monkeypatch.setattr(generated, "materials_at", twins)
    (found,) = generated_check(load_run(toy_run), toy_triads, [[4.0, 1.0]], count=30)
    assert found.p_value > 0.01
    assert found.correlation < 3 * found.noise
    assert abs(found.void.value) < 4 * found.void.standard_error


def test_images_of_a_model_trained_for_a_moment_are_found_out(toy_run, toy_triads):
    (found,) = generated_check(load_run(toy_run), toy_triads, [[1.0, 2.0]], count=30)
    assert found.correlation > 3 * found.noise
    assert found.to_json()["materials"]["real"]["count"] == 30
    with pytest.raises(InputError, match="'count' is 3"):
        generated_check(load_run(toy_run), toy_triads, [[1.0, 2.0]], count=3)


def test_psp_gen_is_scored_like_any_other_model(toy_run, toy_triads):
    triads_ = toy_triads
    known = ReferenceMaterials.of(triads_)
    found = score(
        PSPGenPredictor(load_run(toy_run).model, draws=32), known, study_targets(triads_)
    )
    assert found.to_json().keys() >= {"targets", "energy_score", "coverage", "pit"}
    assert 0 < found.brier.value < 1


def test_a_foreign_reference_without_targets_or_grid_is_scored_on_m_alone(reference):
    found = score(Gaussian(), reference, {})
    assert (found.rmse, found.brier, found.targets) == (None, None, {})
    assert found.energy.value > 0
    assert model_table([found]).splitlines()[1].split()[:2] == ["exact", "–"]
    assert table_notes([found], reference) == []


def test_an_rmse_that_noise_hides_is_shown_as_zero_with_its_error():
    hidden = score(Gaussian(), ReferenceMaterials.of(triads(PROCESS.grid(6), 10, 3)), TARGETS)
    zeros = [one for one in hidden.targets.values() if one.rmse.value == 0]
    assert zeros
    assert "0.000 ± 0.0" in model_table([hidden])
