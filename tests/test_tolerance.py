"""Claims about settings that are not held exactly, what they cost, and several targets at once."""

import json

import numpy as np
import pytest
import torch
from exact import PROCESS, exact_model, tilted
from scipy import stats

import pspgen_pyro as psp
from pspgen_pyro import Box, InputError, ProcessSpace, load_run, maximise, probability, verify
from pspgen_pyro.chain import ChainSample
from pspgen_pyro.cli import main
from pspgen_pyro.design import (
    LBFGS,
    Adam,
    Cautious,
    Cheapest,
    Cost,
    Least,
    Priced,
    Probability,
    Product,
    Tolerance,
    cheapest,
    log_probability,
    pareto,
    sobol_normal,
    window,
)
from pspgen_pyro.model.ensemble import Ensemble
from pspgen_pyro.plots import pareto_front, window_bars

BOX = Box((-0.6, -0.4), (0.7, 0.9))
OTHER = Box((-1.6, -1.5), (0.2, 0.5))
TILTED = Box((-0.3, -5.0), (1.3, 5.0))
FURNACE = ProcessSpace(("T", "t"), (900.0, 1.0), (1200.0, 9.0), ("K", "h"))


def three():
    return Ensemble(tuple(exact_model(seed=seed) for seed in range(3)))


def tilted_probability(phi1, slope=1.0):
    """P(m ∈ TILTED | φ1) of the one-dimensional normal law of `tilted`."""
    standard = phi1 / np.sqrt(1 / 3)
    law = stats.norm(0.5 + slope * standard, 0.4)
    return law.cdf(TILTED.upper[0]) - law.cdf(TILTED.lower[0])


def by_quadrature(phi1, reach, slope=1.0):
    """Its mean over φ1 ± reach, by Gauss–Legendre quadrature."""
    points, weights = np.polynomial.legendre.leggauss(64)
    values = tilted_probability(np.asarray(phi1)[..., None] + reach * points, slope)
    return values @ weights / 2


def surface(model, box, phi, draws=256):
    noise = sobol_normal(draws, 3, 0, torch.float64)
    with torch.no_grad():
        return log_probability(model, box, torch.tensor(phi), noise).exp().numpy()


# tolerance


def test_p_under_a_tolerance_is_the_mean_that_quadrature_gives():
    phi = np.array([[-0.4, 0.0], [0.1, 0.3], [0.6, -0.9]])
    ours = probability(tilted(1.0), TILTED, phi, tolerance={"phi1": 0.3})
    assert ours.value == pytest.approx(by_quadrature(phi[:, 0], 0.3), abs=3e-4)
    assert (np.abs(ours.value - by_quadrature(phi[:, 0], 0.3)) < 5 * ours.standard_error).all()


def test_a_percentage_is_one_of_the_value():
    phi = np.array([[-0.5, 0.0], [0.8, 0.3]])
    ours = probability(tilted(1.0), TILTED, phi, tolerance="phi1 = 20 %")
    exact = [by_quadrature(a, 0.2 * abs(a)) for a in phi[:, 0]]
    assert ours.value == pytest.approx(exact, abs=3e-4)


def test_no_tolerance_is_p_itself():
    model, phi = exact_model(), np.array([0.2, -0.3])
    exact, held = (probability(model, BOX, phi, tolerance=t) for t in (None, {"phi1": 0}))
    assert held.value == pytest.approx(exact.value, abs=2e-3)


def test_the_gradient_under_a_tolerance_is_exact_for_the_sample():
    model, held = exact_model(), Tolerance.of({"phi1": 0.1, "phi2": "10 %"}, PROCESS)
    chance = Probability(BOX, held)
    noise = chance.sample(model, 32, 0)
    phi = torch.tensor([[0.2, -0.3], [0.7, 0.1]], requires_grad=True)
    f = lambda p: chance.score(model, p, noise)  # noqa: E731
    assert torch.autograd.gradcheck(f, (phi,), eps=1e-6, atol=1e-7)


def test_a_robust_design_is_where_the_mean_over_the_tolerance_is_highest():
    design = maximise(tilted(2.0), Probability(TILTED, Tolerance.of("phi1=0.3", PROCESS)))
    line = np.linspace(-0.7, 0.7, 701)
    found = by_quadrature(line, 0.3, 2.0)
    assert by_quadrature(design.phi[0], 0.3, 2.0) == pytest.approx(found.max(), abs=1e-3)
    assert design.value.value == pytest.approx(found.max(), abs=2e-3)
    assert "phi1 ± 0.3" in str(design)


def test_a_robust_design_keeps_its_tolerance_inside_the_process_space():
    far = Box((2.0, -50.0), (60.0, 50.0))
    bold = maximise(tilted(1.0), far)
    held = maximise(tilted(1.0), Probability(far, Tolerance.of("phi1=0.25", PROCESS)))
    assert bold.phi[0] == pytest.approx(1.0)
    assert held.phi[0] == pytest.approx(0.75)
    assert held.active_bounds[0] == "phi1 = 0.75"
    assert (held.starts[:, 0] <= 0.75 + 1e-9).all()


@pytest.mark.parametrize(("low", "high"), [(1.0, 9.0), (-9.0, -1.0), (-4.0, 9.0)])
def test_the_narrowed_space_is_the_largest_whose_tolerance_stays_inside(low, high):
    process = ProcessSpace(("a", "b"), (low, 0.0), (high, 1.0))
    held = Tolerance.of({"a": "20 %"}, process)
    inside = held.narrowed(process)
    ends = np.array([inside.lower, inside.upper])
    reach = held.reach(ends)
    assert ends[0, 0] - reach[0, 0] == pytest.approx(low)
    assert ends[1, 0] + reach[1, 0] == pytest.approx(high)


def test_networks_have_their_own_means_so_the_interval_is_that_of_the_averaged_p():
    ensemble = Ensemble(tuple(tilted(slope) for slope in (0.8, 1.0, 1.3)))
    ours = probability(ensemble, TILTED, [0.4, 0.0], tolerance={"phi1": 0.3})
    exact = [by_quadrature(0.4, 0.3, slope) for slope in (0.8, 1.0, 1.3)]
    assert ours.members == pytest.approx(exact, abs=5e-4)
    assert ours.low < ours.value < ours.high
    design = maximise(ensemble, Probability(TILTED, Tolerance.of("phi1=0.3", PROCESS)))
    assert design.value.promised >= design.value.value


def test_a_design_under_a_tolerance_is_verified_at_settings_within_it():
    seen = []

    class Furnace:
        process = PROCESS

        def simulate(self, phi, seeds):
            seen.append(phi)
            m = np.zeros((len(phi), 2))
            ok = np.ones((len(phi), 2), bool)
            x = np.zeros((len(phi), 2, 2), dtype=np.uint8)
            return ChainSample(phi, x, np.exp(m), m, ok, {})

    verify(Furnace(), BOX, [0.5, 0.0], samples=200, tolerance={"phi1": 0.2})
    made = np.concatenate(seen)
    assert np.ptp(made[:, 0]) > 0.35
    assert (np.abs(made[:, 0] - 0.5) <= 0.2).all()
    assert (made[:, 1] == 0).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"Q": 1}, "'Q', which is no parameter; there are T, t"),
        ({"T": -5}, "not negative"),
        ({"T": "five"}, "a number in the parameter's unit"),
        ({"T": True}, "a number in the parameter's unit"),
        ({"T": float("nan")}, "a number in the parameter's unit"),
        ({"T": 150}, "wider than its range"),
        ({"t": "100 %"}, "below 100"),
        ("T 5", "write 'T=5, t=2 %'"),
        ("T=5, T=6", "each name once"),
        (5, "write 'T=5, t=2 %'"),
    ],
)
def test_a_tolerance_that_makes_no_sense_is_one_sentence(given, words):
    with pytest.raises(InputError, match=words):
        Tolerance.of(given, FURNACE)


def test_a_setting_whose_tolerance_leaves_the_process_space_is_refused_with_where_to_stay():
    with pytest.raises(InputError, match=r"choose it in \[-0.8, 0.8\]"):
        probability(exact_model(), BOX, [0.9, 0.0], tolerance={"phi1": 0.2})


# several targets


def several(kind):
    return kind((Probability(BOX), Probability(OTHER)))


def test_the_product_of_two_targets_is_highest_where_a_grid_says():
    model, grid = exact_model(), PROCESS.grid(61)
    design = maximise(model, several(Product), draws=256)
    found = surface(model, BOX, grid) * surface(model, OTHER, grid)
    there = surface(model, BOX, design.phi[None]) * surface(model, OTHER, design.phi[None])
    assert there[0] >= found.max() - 1e-6
    assert design.value.value == pytest.approx(found.max(), abs=5e-3)
    p, q = (float(part.value) for part in design.parts)
    assert p * q == pytest.approx(float(design.value.value), abs=1e-3)


@pytest.mark.parametrize("seed", range(2))
def test_the_least_of_two_targets_is_highest_where_a_grid_says(seed):
    model, grid = exact_model(seed=seed), PROCESS.grid(61)
    design = maximise(model, several(Least), draws=256, starts=4)
    found = np.minimum(surface(model, BOX, grid), surface(model, OTHER, grid))
    there = np.minimum(*(surface(model, box, design.phi[None]) for box in (BOX, OTHER)))
    assert there[0] >= found.max() - 1e-6
    assert design.status.startswith("converged")


def test_at_the_kink_of_the_least_both_targets_are_as_likely():
    left, right = Box((-5.0, -5.0), (0.0, 5.0)), Box((1.2, -5.0), (5.0, 5.0))
    several = Least((Probability(left), Probability(right)))
    design = maximise(tilted(1.0), several, draws=64, starts=2)
    p, q = (float(part.value) for part in design.parts)
    assert p == pytest.approx(q, abs=1e-3)
    assert float(design.value.value) == min(p, q)


def test_each_of_several_targets_has_its_interval_and_the_least_is_that_of_the_least():
    design = maximise(three(), several(Least), draws=32, starts=2)
    assert all(part.low < part.value < part.high for part in design.parts)
    assert design.value.value == min(part.value for part in design.parts)
    with pytest.raises(InputError, match="for 2 targets"):
        _ = design.target
    assert "; P(m ∈" in str(design)


def test_a_score_with_kinks_is_refused_to_an_optimiser_that_needs_none():
    for optimiser in (LBFGS(), Adam()):
        with pytest.raises(InputError, match="leave it out"):
            maximise(exact_model(), several(Least), optimiser=optimiser)


# cost


def test_a_price_moves_the_design_to_where_p_less_the_price_is_highest():
    model, grid = exact_model(), PROCESS.grid(61)
    cost = Cost.of("2 phi1 - 0.5*phi2", PROCESS)
    design = maximise(model, Priced(Probability(BOX), cost, 0.05), draws=256)
    wanted = surface(model, BOX, grid) - 0.05 * (2 * grid[:, 0] - 0.5 * grid[:, 1])
    p = surface(model, BOX, design.phi[None])[0]
    assert p - 0.05 * design.cost >= wanted.max() - 1e-6
    assert design.value.value == pytest.approx(p, abs=3e-3)
    assert design.cost == pytest.approx(2 * design.phi[0] - 0.5 * design.phi[1])


def test_a_free_setting_is_the_likeliest_one():
    model, cost = exact_model(), Cost.of({"phi1": 1.0}, PROCESS)
    free = maximise(model, Priced(Probability(BOX), cost, 0.0))
    assert free.phi == pytest.approx(maximise(model, BOX).phi, abs=5e-3)


@pytest.mark.parametrize("share", [pytest.param(0.5, marks=pytest.mark.slow), 0.9])
def test_the_cheapest_setting_of_a_p_is_the_cheapest_of_a_grid(share):
    model, grid = exact_model(), PROCESS.grid(121)
    found = surface(model, BOX, grid)
    least = share * found.max()
    spent = (grid[:, 0] + 0.3) ** 2 + grid[:, 1]
    cost = Cost.of(lambda phi: (phi[:, 0] + 0.3) ** 2 + phi[:, 1], PROCESS)
    design = cheapest(model, Probability(BOX), cost, least, draws=256, starts=2)
    assert design.cost <= spent[found >= least].min() + 1e-3
    assert float(design.value.value) >= least - 1e-3


def test_what_the_search_put_on_p_is_made_up_for_so_that_the_p_that_is_left_is_what_was_asked():
    ensemble = Ensemble(tuple(tilted(slope) for slope in (0.8, 1.0, 1.5)))
    cost, few = Cost.of("-phi1", PROCESS), {"draws": 32, "starts": 2}
    design = cheapest(ensemble, Probability(TILTED), cost, 0.5, **few)
    assert float(design.value.value) == pytest.approx(0.5, abs=2e-3)
    assert design.value.promised > 0.51
    assert design.cost == pytest.approx(-design.phi[0])


def test_a_p_that_no_setting_reaches_is_one_sentence_with_the_highest():
    with pytest.raises(InputError, match="the highest is 0."):
        cheapest(exact_model(), Probability(BOX), Cost.of("phi1", PROCESS), 0.99, starts=2)


def test_no_setting_of_a_front_is_beaten_by_another_and_it_ends_at_the_likeliest():
    model, few = exact_model(), {"draws": 64, "starts": 2}
    front = pareto(model, Probability(BOX), Cost.of("phi1 + phi2", PROCESS), 5, **few)
    assert (np.diff(front["cost"]) > 0).all()
    assert (np.diff(front["probability"]) > 0).all()
    assert 4 <= front.sizes["point"] <= 5
    top = maximise(model, BOX, **few)
    assert front["phi"][-1].values == pytest.approx(top.phi, abs=1e-6)
    grid = PROCESS.grid(61)
    found, spent = surface(model, BOX, grid), grid.sum(axis=1)
    for cost, p in zip(front["cost"].values, front["probability"].values, strict=True):
        assert found[spent <= cost].max() <= p + 1e-2
    assert pareto_front(front).get_xlabel() == "cost"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"Q": 1.0}, "no parameter; there are T, t"),
        ({"T": "much"}, "finite number"),
        ("0.02 T + 1.0 Q", "no setting here"),
        ("0.02 T 1.0 t", "sign is missing"),
        ("3", "names no setting"),
        ("", "is empty"),
        (3.0, "a function of φ in torch"),
        (lambda phi: phi, r"returned \(16, 2\)"),
        (lambda phi: 3.0, "returned float"),
        (lambda phi: phi[:, 0].detach(), "has no gradient"),
        (lambda phi: phi[:, 0] * float("nan"), "must be finite"),
        (lambda phi: (phi[:, 0] - 1200).sqrt(), "must be finite"),
        (lambda phi: phi.no_such_thing(), "fails at φ"),
    ],
)
def test_a_cost_that_is_none_is_one_sentence(given, words):
    with pytest.raises(InputError, match=words):
        Cost.of(given, FURNACE)


def test_a_tolerance_is_for_real_settings_that_nothing_binds():
    kinds = {"n": psp.Integer(2, 9), "a": psp.Real(0, 1), "b": psp.Real(0, 1)}
    mixed = psp.ProcessSpace.of(kinds)
    assert Tolerance.of({"a": 0.1}, mixed).narrowed(mixed).lower == (2.0, 0.1, 0.0)
    with pytest.raises(InputError, match="only a real number strays"):
        Tolerance.of({"n": 1}, mixed)
    with pytest.raises(InputError, match="constrained"):
        Tolerance.of({"a": 0.1}, psp.ProcessSpace.of(kinds, constraints="a + b = 1"))


@pytest.mark.parametrize("least", [0.0, 1.0, -0.1, float("nan"), "much"])
def test_a_least_p_is_between_zero_and_one(least):
    cost = Cost.of("phi1", PROCESS)
    with pytest.raises(InputError, match="a probability between 0 and 1"):
        Cheapest(Probability(BOX), cost, least)
    with pytest.raises(InputError, match="a probability between 0 and 1"):
        window(exact_model(), Probability(BOX), np.zeros(2), least)


@pytest.mark.parametrize("price", [-1.0, float("inf"), "much"])
def test_a_price_is_a_number_that_is_not_negative(price):
    with pytest.raises(InputError, match="not negative"):
        Priced(Probability(BOX), Cost.of("phi1", PROCESS), price)


# window


@pytest.fixture(params=range(2))
def windowed(request):
    """A model, a setting in its likelier part, and what P shall be."""
    model = exact_model(seed=request.param)
    phi = maximise(model, BOX, starts=2, draws=128).phi
    phi = np.clip(phi + [0.1, -0.15], -1, 1)
    return model, phi, 0.85 * surface(model, BOX, phi[None], 128)[0]


def test_p_is_large_enough_everywhere_in_a_window_and_too_low_just_outside(windowed):
    model, phi, least = windowed
    found = window(model, Probability(BOX), phi, least, draws=128)
    axes = [np.linspace(a, b, 101) for a, b in found.together]
    inside = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    assert surface(model, BOX, inside, 128).min() >= least
    assert (found.together[:, 0] <= phi).all()
    assert (phi <= found.together[:, 1]).all()
    assert (found.alone[:, 0] <= found.together[:, 0] + 1e-9).all()
    for j in range(2):
        line = np.tile(phi, (201, 1))
        line[:, j] = np.linspace(*found.alone[j], 201)
        assert surface(model, BOX, line, 128).min() >= least
        for end, out, bound in zip(found.alone[j], (-1e-4, 1e-4), (-1.0, 1.0), strict=True):
            beyond = phi.copy()
            beyond[j] = end + out
            assert end == bound or surface(model, BOX, beyond[None], 128)[0] < least


def test_the_box_of_all_is_as_large_as_the_largest_of_a_grid(windowed):
    model, phi, least = windowed
    found = window(model, Probability(BOX), phi, least, draws=128)
    axes = [np.unique(np.concatenate([np.linspace(-1, 1, 25), [p]])) for p in phi]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    ok = (surface(model, BOX, grid, 128) >= least).reshape(len(axes[0]), len(axes[1]))
    i, j = (int(np.flatnonzero(axis == p)[0]) for axis, p in zip(axes, phi, strict=True))
    best = max(
        (axes[0][b] - axes[0][a]) * (axes[1][d] - axes[1][c]) / 4
        for a in range(i + 1)
        for b in range(i, len(axes[0]))
        for c in range(j + 1)
        for d in range(j, len(axes[1]))
        if ok[a : b + 1, c : d + 1].all()
    )
    assert found.volume >= 0.97 * best


def test_the_window_of_a_straight_ridge_is_known():
    found = window(tilted(1.0), Probability(TILTED), np.zeros(2), 0.6)
    line = np.linspace(-1, 1, 200_001)
    exact = line[tilted_probability(line) >= 0.6]
    assert found.alone[0] == pytest.approx([exact.min(), exact.max()], abs=1e-3)
    assert found.together[1].tolist() == [-1.0, 1.0]
    assert "phi2 within −1/+1, to the lower and the upper bound" in str(found)
    told = json.loads(json.dumps(found.to_json()))
    assert told["together"]["phi2"] == [-1.0, 1.0]
    assert window_bars(found).get_xlim() == (0, 1)


def test_a_cautious_window_is_smaller():
    ensemble = Ensemble(tuple(tilted(slope) for slope in (0.9, 1.0, 1.1)))
    bold, careful = (
        window(ensemble, chance, np.zeros(2), 0.5, draws=32)
        for chance in (Probability(TILTED), Cautious(TILTED))
    )
    assert careful.volume < bold.volume
    low = probability(ensemble, TILTED, [careful.together[:, 0], careful.together[:, 1]]).low
    assert low.min() >= 0.5 - 0.01


def test_a_window_around_a_setting_that_is_not_good_enough_is_one_sentence():
    with pytest.raises(InputError, match="below 'least' 0.999"):
        window(tilted(1.0), Probability(TILTED), np.zeros(2), 0.999)


# the run and the command line


@pytest.mark.slow
def test_a_run_answers_every_one_of_these_questions(toy_run):
    run, target, other = load_run(toy_run), "-8:-6,-8:-6", "ln horizontal > -9"
    tolerance, few = {"phi1": 0.2, "phi2": "2 %"}, {"starts": 1, "draws": 64}
    held = run.design(target, tolerance=tolerance, **few)
    assert held.value.low < held.value.value < held.value.high
    assert 1.2 <= held.phi[0] <= 8.8
    assert run.probability(target, held.phi, tolerance=tolerance).value > 0
    both = run.design([target, other], combine="least", **few)
    assert len(both.parts) == 2
    assert run.unsure(both) is not None
    cost = {"phi1": 1.0, "phi2": 2.0}
    priced = run.design(target, cost=cost, price=0.1, **few)
    plain = run.design(target, **few)
    assert priced.cost < plain.phi @ [1.0, 2.0]
    least = 0.7 * float(held.value.value)
    cheap = run.cheapest(target, cost=cost, least=least, **few)
    assert float(cheap.value.value) >= least - 2e-3
    assert run.pareto(target, cost=cost, points=2, **few).sizes["parameter"] == 2
    around = run.window(plain, least=least)
    assert around.lowest >= least
    with pytest.raises(InputError, match="belong together"):
        run.design(target, cost=cost)
    with pytest.raises(InputError, match="choose 'product' or 'least'"):
        run.design([target, other], combine="most")
    with pytest.raises(InputError, match="is empty"):
        run.design([])
    with pytest.raises(InputError, match="'target' is missing"):
        run.window(held.phi)


def test_the_command_line_asks_them_too(toy_run, capsys):
    few = ["--starts", "2", "--draws", "64"]
    two = ["--target=-8:-6,-8:-6", "--target=ln horizontal>-9"]
    ask = ["design", str(toy_run), *two, "--tolerance", "phi1=0.2, phi2=2 %", *few]
    assert main([*ask, "--json"]) in (0, None)
    answer = json.loads(capsys.readouterr().out)
    assert answer["tolerance"] == "phi1 ± 0.2, phi2 ± 2 %"
    assert [one["model"]["probability"] > 0 for one in answer["targets"]] == [True, True]
    cost = ["--cost", "phi1 + 2 phi2"]
    assert main(["design", str(toy_run), two[0], *cost, "--price", "0.1", *few]) in (0, None)
    assert "cost       " in capsys.readouterr().out
    ask = ["design", str(toy_run), two[0], *cost, "--least", "0.05", "--window", "0.02", *few]
    assert main(ask) in (0, None)
    printed = capsys.readouterr().out
    assert "while all stray: hold phi1 within" in printed
    assert main(["design", str(toy_run), two[0], "--least", "0.5"]) == 2
    assert "give --cost with it" in capsys.readouterr().err
