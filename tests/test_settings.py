"""Settings of every kind, what binds them, and designs on them."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, kstest, norm

import pspgen_pyro as psp
from pspgen_pyro import (
    Box,
    Categorical,
    Fixed,
    Integer,
    Ordinal,
    ProcessSpace,
    PSPGen,
    Real,
    Schema,
)
from pspgen_pyro.design import (
    LBFGS,
    Adam,
    Cost,
    DesignPosterior,
    Least,
    cheapest,
    maximise,
    window,
)
from pspgen_pyro.design.chances import Probability
from pspgen_pyro.design.loop.discrepancy import Discrepancy
from pspgen_pyro.design.loop.search import Search
from pspgen_pyro.design.optimisers import Problem
from pspgen_pyro.design.posterior.coordinates import SliceCoordinates
from pspgen_pyro.errors import DataError, InputError
from pspgen_pyro.model import MixturePrior
from pspgen_pyro.plots import window_bars
from pspgen_pyro.process.constraints import parse_constraint
from pspgen_pyro.process.polytope import Polytope
from pspgen_pyro.process.settings import parse_setting
from pspgen_pyro.training import Descent, PriorStage

KILN = ProcessSpace.of(
    {
        "n": Integer(6, 12),
        "a": Real(0, 100, "%"),
        "b": Real(0, 100, "%"),
        "c": Real(0, 60, "%"),
        "t": Real(1, 100, "h", log=True),
        "sieve": Ordinal((125, 63, 90), "um"),
        "binder": Categorical(("clay", "resin", "wax")),
        "load": Fixed(3.0, "N"),
    },
    constraints=("a + b + c = 100", "a <= 2 b"),
)
BINDERS = ("clay", "resin", "wax")


def rng(seed=0):
    return np.random.default_rng(seed)


class TestKinds:
    def test_what_each_allows_is_said_in_words(self):
        said = [setting.describe() for setting in KILN.settings]
        assert said[0] == "whole numbers 6 to 12"
        assert said[4] == "1 to 100 h, by its logarithm"
        assert said[5] == "one of 63, 90, 125 um"
        assert said[6] == "one of clay, resin, wax"
        assert said[7] == "3 N always"

    @pytest.mark.parametrize(
        ("kind", "arguments", "words"),
        [
            (Real, (2, 1), "lower bound below"),
            (Real, (0, 1, "h", True), "above 0"),
            (Real, (np.nan, 1), "finite"),
            (Real, ("1", 2), "give a number"),
            (Integer, (0.5, 2), "whole"),
            (Integer, (0, 10**9), "apart"),
            (Ordinal, ((1, 1),), "each once"),
            (Ordinal, ("ab",), "numbers"),
            (Categorical, ("clay",), "at least two"),
            (Categorical, (("clay", "clay"),), "each once"),
            (Categorical, (("clay", ""),), "words"),
            (Fixed, (np.inf,), "finite"),
        ],
    )
    def test_a_setting_that_cannot_be_is_refused_in_a_sentence(self, kind, arguments, words):
        with pytest.raises(InputError, match=words):
            kind(*arguments)

    @pytest.mark.parametrize(
        ("text", "setting"),
        [
            ("T [K] real 900:1200", Real(900, 1200, "K")),
            ("T [h] real 1:100 log", Real(1, 100, "h", True)),
            ("T integer 6:12", Integer(6, 12)),
            ("T [um] levels 63|90|125", Ordinal((63, 90, 125), "um")),
            ("T names clay|resin", Categorical(("clay", "resin"))),
            ("T [N] fixed 3", Fixed(3, "N")),
        ],
    )
    def test_text_and_object_declare_the_same(self, text, setting):
        assert parse_setting(text) == ("T", setting)

    @pytest.mark.parametrize("text", ["T real 3", "T integer 1:b", "T real 1:2 ln", "T fixed x"])
    def test_text_that_does_not_fit_its_kind_is_refused(self, text):
        with pytest.raises(InputError, match="after the name"):
            parse_setting(text)

    def test_a_name_alone_declares_nothing(self):
        assert parse_setting("T [K]") is None


class TestConstraints:
    @pytest.mark.parametrize(
        ("text", "weights", "bound"),
        [
            ("a + b = 100", (1, 1), 100),
            ("a <= 2 b", (1, -2), 0),
            ("2*a - 0.5 b >= 3 + a", (-1, 0.5), -3),
            ("1e-3 a + b ≤ 4", (0.001, 1), 4),
        ],
    )
    def test_sums_are_read_as_they_are_written(self, text, weights, bound):
        found = parse_constraint(text, ("a", "b"))
        assert found.weights == pytest.approx(weights)
        assert found.bound == bound

    def test_a_longer_name_is_not_read_as_a_shorter_one(self):
        assert parse_constraint("Al2 + Al = 1", ("Al", "Al2")).names == ("Al2", "Al")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("a + b", "no relation"),
            ("a b = 3", "sign is missing"),
            ("a + q = 1", "'q' is no setting"),
            ("3 = 4", "binds no setting"),
            ("= 3", "empty"),
            ("at most 3 of a, b", "more of them"),
            ("at most 1 of a, q", "'q' is no setting"),
            (7, "write"),
        ],
    )
    def test_what_cannot_be_read_is_refused_in_a_sentence(self, text, words):
        with pytest.raises(InputError, match=words):
            parse_constraint(text, ("a", "b"))

    def test_contradictions_are_one_sentence_that_names_them(self):
        settings = {"a": Real(0, 1), "b": Real(0, 1)}
        with pytest.raises(InputError, match=r"'a \+ b = 3'.*'a <= b'"):
            ProcessSpace.of(settings, constraints=("a + b = 3", "a <= b"))

    def test_names_and_logarithms_are_not_added(self):
        settings = {"a": Real(1, 2, log=True), "k": Categorical(("x", "y")), "b": Real(0, 1)}
        with pytest.raises(InputError, match="stands for names"):
            ProcessSpace.of(settings, constraints="k + b <= 1")
        with pytest.raises(InputError, match="logarithm"):
            ProcessSpace.of(settings, constraints="a + b <= 2")

    def test_whole_numbers_without_a_solution_are_seen(self):
        with pytest.raises(InputError, match="no setting"):
            ProcessSpace.of({"i": Integer(0, 9), "j": Integer(0, 9)}, constraints="2 i + 2 j = 3")

    def test_two_opposed_inequalities_are_an_equality(self):
        space = ProcessSpace.of(
            {"a": Real(0, 1), "b": Real(0, 1)}, constraints=("a + b <= 1", "a + b >= 1")
        )
        drawn = space.sample(1000, rng())
        assert drawn.sum(axis=1) == pytest.approx(1, abs=1e-9)
        assert kstest(drawn[:, 0], "uniform").pvalue > 0.001


def violation(space, phi):
    """The largest amount by which some φ leave a space."""
    found = max((space.lower - phi).max(), (phi - space.upper).max())
    weights, bound, equal = space.feasible.linear
    off = phi @ weights.T - bound
    return max(found, np.where(equal, np.abs(off), off).max(initial=0.0))


@st.composite
def spaces(draw):
    """Spaces of real and whole numbers with a sum and perhaps more."""
    count = draw(st.integers(2, 5))
    names = [f"s{j}" for j in range(count)]
    whole = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    whole[0] = False
    kinds = {n: Integer(0, 4) if w else Real(0, 5) for n, w in zip(names, whole, strict=True)}
    total = draw(st.integers(2, 5))
    constraints = [" + ".join(names) + f" = {total}"]
    if draw(st.booleans()):
        constraints.append(f"{names[0]} <= 3 {names[1]} + 1")
    if count > 2 and draw(st.booleans()):
        constraints.append(f"at most 2 of {', '.join(names[:3])}")
    return ProcessSpace.of(kinds, constraints=constraints)


class TestSpace:
    @given(spaces(), st.integers(0, 2**32 - 1))
    @settings(max_examples=10, deadline=None)
    def test_draws_fulfil_every_constraint(self, space, seed):
        phi = space.sample(50, rng(seed))
        assert violation(space, phi) <= 1e-9
        assert not space.feasible.violated(phi).any()
        assert space.check(phi) == pytest.approx(phi, abs=1e-12)

    @given(spaces(), st.integers(0, 2**32 - 1))
    @settings(max_examples=8, deadline=None)
    def test_a_rounding_error_is_put_right(self, space, seed):
        draws = rng(seed)
        phi = space.sample(20, draws)
        near = phi + 1e-7 * draws.standard_normal(phi.shape) * (phi != 0)
        found = space.check(near.astype(np.float32))
        assert violation(space, found) <= 1e-9
        assert found == pytest.approx(phi, abs=1e-5)

    @given(spaces(), st.floats(0.001, 1), st.integers(0, 2**32 - 1))
    @settings(max_examples=8, deadline=None)
    def test_what_is_near_is_allowed_too(self, space, reach, seed):
        draws = rng(seed)
        phi = space.sample(50, draws)
        near = space.feasible.near(phi, np.full((50, 1), reach), draws)
        assert violation(space, near) <= 1e-9
        assert space.check(near) == pytest.approx(near, abs=1e-12)

    @given(spaces())
    @settings(max_examples=20, deadline=None)
    def test_a_space_survives_json(self, space):
        assert ProcessSpace.from_json(json.loads(json.dumps(space.to_json()))) == space

    def test_a_space_of_every_kind_survives_json(self):
        assert ProcessSpace.from_json(json.loads(json.dumps(KILN.to_json()))) == KILN

    def test_a_damaged_kind_is_a_sentence(self):
        told = KILN.to_json()
        told["settings"][0]["kind"] = "Whole"
        with pytest.raises(DataError, match="no setting"):
            ProcessSpace.from_json(told)

    def test_a_box_is_written_as_ever(self):
        box = ProcessSpace(("p",), (0.0,), (1.0,), ("K",))
        assert set(box.to_json()) == {"names", "lower", "upper", "units", "symmetries"}
        assert box == ProcessSpace.of({"p": Real(0, 1, "K")})

    def test_contents_that_sum_to_one_are_uniform_on_the_simplex(self):
        names = [f"c{j}" for j in range(5)]
        space = ProcessSpace.of(
            {n: Real(0, 1) for n in names}, constraints=" + ".join(names) + " = 1"
        )
        drawn = space.sample(3000, rng())
        p = [kstest(column, beta(1, 4).cdf).pvalue for column in drawn.T]
        assert min(p) > 0.001

    def test_a_thin_polytope_is_left_as_fast_as_a_round_one(self):
        # x <= y / 1000 within the unit square: y has the density 2 y
        walls = np.array([[1000.0, -1], [1, 0], [0, 1], [-1, 0], [0, -1]])
        thin = Polytope(np.zeros((0, 2)), np.zeros(0), walls, np.array([0.0, 1, 1, 0, 0]))
        drawn = thin.sample(3000, rng())
        assert kstest(drawn[:, 1], lambda y: y**2).pvalue > 0.001
        assert (1000 * drawn[:, 0] - drawn[:, 1]).max() <= 1e-9

    def test_each_kind_has_its_own_prior(self):
        phi = KILN.sample(3000, rng())
        assert kstest(np.log(phi[:, 4]) / np.log(100), "uniform").pvalue > 0.001
        for column, levels in ((0, 7), (5, 3), (6, 3)):
            counts = np.unique(phi[:, column], return_counts=True)[1]
            assert len(counts) == levels
            assert counts == pytest.approx(3000 / levels, rel=0.15)

    def test_at_most_two_means_at_most_two(self):
        space = ProcessSpace.of(
            {n: Real(0, 100) for n in "abcde"},
            constraints=("a + b + c + d + e = 100", "at most 2 of a, b, c"),
        )
        phi = space.sample(1000, rng())
        assert ((phi[:, :3] > 0).sum(axis=1) == 2).all()
        assert (phi[:, :3] == 0).mean(axis=0) == pytest.approx(1 / 3, abs=0.06)

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({0: 6.5}, "whole numbers 6 to 12"),
            ({1: 31}, "violates 'a \\+ b \\+ c = 100'"),
            ({1: 65, 2: 5, 3: 30}, "violates 'a <= 2 b'"),
            ({4: 0.5}, "outside"),
            ({5: 100}, "63, 90, 125"),
            ({6: 3}, "0 \\(clay\\), 1 \\(resin\\), 2 \\(wax\\)"),
            ({7: 4}, "3 N always"),
        ],
    )
    def test_what_is_not_allowed_is_refused_with_what_is(self, changed, words):
        phi = np.array([8, 30, 30, 40, 2, 90, 1, 3.0])
        assert KILN.check(phi).tolist() == phi.tolist()
        phi[[*changed]] = [*changed.values()]
        with pytest.raises(InputError, match=words):
            KILN.check(phi)

    def test_a_grid_has_the_levels_and_leaves_out_what_is_forbidden(self):
        space = ProcessSpace.of(
            {"a": Real(0, 4), "n": Integer(0, 9), "t": Real(1, 100, log=True)},
            constraints="a <= n",
        )
        grid = space.grid(5)
        assert np.unique(grid[:, 2]) == pytest.approx([1, 10**0.5, 10, 10**1.5, 100])
        assert set(np.unique(grid[:, 1])) <= set(range(10))
        assert (grid[:, 0] <= grid[:, 1]).all()
        with pytest.raises(InputError, match="draw settings"):
            ProcessSpace.of({"a": Real(0, 1), "b": Real(0, 1)}, constraints="a + b = 0.3").grid(3)

    def test_networks_see_values_logarithms_and_indicators(self):
        model = PSPGen(Schema(process=KILN, properties=("s [MPa]",)))
        phi = KILN.sample(4000, rng())
        seen = model.standardise(model.tensor(phi)).numpy()
        assert seen.shape == (4000, 9)
        free = [0, 4, 5, 6, 7, 8]
        assert seen[:, free].mean(axis=0) == pytest.approx(0, abs=0.1)
        assert seen[:, free].std(axis=0) == pytest.approx(1, abs=0.1)
        assert np.unique(seen[:, -3:] > 0, axis=0).sum(axis=1).tolist() == [1, 1, 1]
        near = KILN.coordinates(phi)
        assert near.min() >= 0
        assert near.max() <= 1

    def test_names_go_into_words_and_back(self):
        phi = KILN.check([8, 30, 30, 40, 2, 90, 1, 3])
        told = KILN.labelled(phi)
        assert told["binder"] == "resin"
        assert KILN.unlabelled(json.loads(json.dumps(told))).tolist() == phi.tolist()
        with pytest.raises(InputError, match="clay, resin, wax"):
            KILN.unlabelled(told | {"binder": "glue"})

    def test_a_symmetry_wants_settings_that_are_alike(self):
        from pspgen_pyro.process import Mirror, Permutation

        alike = Permutation((("a",), ("b",)))
        with pytest.raises(InputError, match="bounds differ"):
            ProcessSpace.of({"a": Integer(0, 9), "b": Real(0, 9)}, symmetries=(alike,))
        with pytest.raises(InputError, match="mirrored"):
            ProcessSpace.of({"a": Integer(0, 9)}, symmetries=(Mirror("a"),))


def strength(phi):
    """The mean strength of the kiln's bodies."""
    of_binder = np.array([0.0, 1.5, -1.0])[phi[:, 6].astype(int)]
    return (
        0.3 * (phi[:, 0] - 9)
        + 0.03 * phi[:, 1]
        - 0.02 * phi[:, 2]
        + 1.5 * np.log10(phi[:, 4])
        + 0.01 * (phi[:, 5] - 90)
        + of_binder
    )


def table(rows=500, seed=0):
    draws = rng(seed)
    phi = KILN.sample(rows, draws)
    frame = pd.DataFrame(phi, columns=KILN.names)
    frame["binder"] = [BINDERS[int(k)] for k in phi[:, 6]]
    frame[["a", "b", "c"]] = frame[["a", "b", "c"]].round(2)
    frame["strength"] = strength(phi) + 0.3 * draws.standard_normal(rows)
    return frame


def opened(frame, **options):
    options = {"process": KILN, "properties": "strength [MPa]", "quiet": True} | options
    return psp.Triads.from_arrays(frame[list(KILN.names)], None, frame[["strength"]], **options)


class TestDoor:
    def test_words_and_rounded_sums_are_understood(self, tmp_path):
        frame = table()
        frame.to_csv(tmp_path / "kiln.csv", index=False)
        process = [
            "n integer 6:12", "a [%] real 0:100", "b [%] real 0:100", "c [%] real 0:60",
            "t [h] real 1:100 log", "sieve [um] levels 63|90|125", "binder names clay|resin|wax",
            "load [N] fixed 3",
        ]  # fmt: skip
        triads = psp.Triads.from_table(
            tmp_path / "kiln.csv",
            process=process,
            constraints=KILN.constraints,
            properties="strength [MPa]",
            quiet=True,
        )
        assert triads.schema.process == KILN
        phi = triads.data["phi"].values
        assert violation(KILN, phi) <= 1e-9
        assert [BINDERS[int(k)] for k in phi[:, 6]] == frame["binder"].tolist()
        assert "one of clay, resin, wax, data at clay, resin, wax" in str(triads)

    @pytest.mark.parametrize(
        ("column", "value", "words"),
        [
            ("binder", "glue", "row 3, column 'binder', which is none of the declared"),
            ("n", 7.5, "row 3 n = 7.5, which is not allowed"),
            ("a", 99.0, "row 3 .* violates"),
            ("load", 4.0, "3 N always"),
            ("binder", None, "empty or NaN in row 3"),
        ],
    )
    def test_what_is_not_declared_is_refused_with_its_row(self, column, value, words):
        frame = table(40).astype({"n": float})
        frame.loc[2, column] = value
        with pytest.raises(InputError, match=words):
            opened(frame)

    def test_names_that_look_like_numbers_are_names(self):
        frame = pd.DataFrame({"a": rng().uniform(size=30), "alloy": [6061, 7075, 2024] * 10})
        triads = psp.Triads.from_arrays(
            frame,
            None,
            frame["a"].rename("s"),
            process={"a": (0, 1), "alloy": Categorical(("2024", "6061", "7075"))},
            properties="s [MPa]",
            quiet=True,
        )
        assert triads.data["phi"].values[:3, 1].tolist() == [1, 2, 0]

    def test_constraints_beside_a_whole_space_are_refused(self):
        with pytest.raises(InputError, match="has its own"):
            opened(table(40), constraints="a <= b")

    def test_a_sum_that_nobody_declared_is_told(self, capsys):
        frame = table(60)
        psp.Triads.from_arrays(
            frame[["a", "b", "c"]], None, frame[["strength"]], properties="strength [MPa]"
        )
        assert 'constraints="a + b + c = 100"' in " ".join(capsys.readouterr().out.split())

    def test_triads_keep_their_settings(self, tmp_path):
        opened(table(60)).save(tmp_path / "kiln.zarr")
        assert psp.Triads.open(tmp_path / "kiln.zarr").schema.process == KILN


def random_model(space, seed, members=2):
    """A model with some weights: its surface is as rough as networks make it."""
    torch.manual_seed(seed)
    prior = MixturePrior(components=2, hidden=(32, 32), members=members)
    model = PSPGen(Schema(process=space, properties=("s [MPa]",)), prior=prior)
    model.standardise_by(torch.randn(100, 1))
    with torch.no_grad():
        for weights in model.prior.parameters():
            weights.mul_(1.5)
    return model.eval()


TARGET = Box((0.5,), (1.0,))


def by_enumeration(model, starts=16):
    """The largest P over every slice, each climbed from many starts of its own."""
    space, best = model.process, 0.0
    problem = Problem(model, Probability(TARGET), torch.zeros(64, model.dims.latent))
    drawn = space.feasible.sample_each(starts, rng(7))
    for part in np.split(problem.unit(drawn), len(space.feasible.slices)):
        ends = LBFGS(100).climb(problem, part).unit
        best = max(best, float(np.exp(problem.score(ends)).max()))
    return best


def suggested(space, seed):
    """A hundred settings that a search asks for, half of them knowing how the others went."""
    model, draws = random_model(space, seed % 2**16), rng(seed)
    design = maximise(model, TARGET, starts=4, draws=16)
    search = Search(model, design, TARGET, Discrepancy(1.0), draws, 0)
    first = search.ask(50, draws)
    search.tell(first, np.ones(50, dtype=bool), draws.uniform(size=50) < 0.5)
    then = search.ask(50, draws, first[:8])
    return space.check(search.phi[np.concatenate([first, then])])


MIXED = ProcessSpace.of(
    {"n": Integer(0, 3), "k": Categorical(("u", "v")), "a": Real(0, 1), "t": Real(1, 9, log=True)}
)
BOUND = ProcessSpace.of(
    {"n": Integer(0, 2), "a": Real(0, 2), "b": Real(0, 2), "c": Real(0, 2)},
    constraints=("a + b + c + n = 3", "a <= 2 b"),
)


class TestPosterior:
    @pytest.mark.parametrize(
        "space", [MIXED, pytest.param(BOUND, marks=pytest.mark.slow)], ids=["mixed", "bound"]
    )
    def test_draws_are_those_of_weighted_draws_from_the_prior(self, space):
        model = random_model(space, 3)
        posterior = DesignPosterior(model, TARGET)
        draws = posterior.sample(chains=64, draws=40, warmup=40)
        phi = draws.phi.reshape(-1, len(space))
        assert violation(space, phi) <= 1e-9
        wide = space.sample(20_000, rng())
        weight = psp.probability(model, TARGET, wide).value
        exact, sd = np.average(wide, axis=0, weights=weight), wide.std(axis=0)
        assert np.abs(phi.mean(axis=0) - exact).max() / sd.max() < 0.06
        for column in np.flatnonzero(space.feasible.discrete):
            for level in space.settings[column].levels:
                share = np.average(wide[:, column] == level, weights=weight)
                assert (phi[:, column] == level).mean() == pytest.approx(share, abs=0.03)
        assert float(draws.evidence.value) == pytest.approx(weight.mean(), rel=0.05)

    def test_a_prior_by_its_log_density_weighs_levels_and_values(self):
        space = MIXED
        model, column = random_model(space, 3), space.names.index("a")

        def prior(phi):
            return phi[:, 0] - 3 * (phi[:, column] - 0.7) ** 2

        posterior = DesignPosterior(model, TARGET, prior)
        draws = posterior.sample(chains=64, draws=40, warmup=40)
        phi = draws.phi.reshape(-1, len(space))
        wide = space.sample(40_000, rng())
        tilt = prior(torch.tensor(wide)).exp().numpy()
        p = psp.probability(model, TARGET, wide).value
        exact, sd = np.average(wide, axis=0, weights=p * tilt), wide.std(axis=0)
        assert np.abs((phi.mean(axis=0) - exact) / sd).max() < 0.08
        plain = np.average(wide, axis=0, weights=p)
        assert abs(exact[0] - plain[0]) / sd[0] > 0.3
        assert float(draws.evidence.value) == pytest.approx(np.average(p, weights=tilt), rel=0.06)

    @pytest.mark.parametrize(
        ("prior", "named"),
        [
            (3.0, "pass a distribution, or a function"),
            (lambda phi: phi, "returned"),
            (lambda phi: 0.0, "returned float"),
            (lambda phi: phi[:, 0] * torch.nan, "NaN"),
            (torch.distributions.Uniform(0.0, 1.0), "pass a function"),
        ],
    )
    def test_a_prior_that_is_none_is_one_sentence(self, prior, named):
        with pytest.raises(InputError, match=named):
            DesignPosterior(random_model(MIXED, 0), TARGET, prior)

    @given(spaces(), st.integers(0, 2**32 - 1))
    @settings(max_examples=5, deadline=None)
    def test_weighted_coordinates_are_uniform_on_the_space(self, space, seed):
        coordinates = SliceCoordinates(space, torch.zeros((), dtype=torch.float64))
        generator = torch.Generator().manual_seed(seed)
        u = torch.randn(20_000, coordinates.size, generator=generator, dtype=torch.float64)
        phi, log_weight = coordinates.settings(u)
        weight = log_weight.exp().numpy()
        # the weights are those of a probability in every slice
        each = weight.mean(axis=0) * weight.shape[1]
        assert each == pytest.approx(1, abs=0.15)
        drawn, known = phi.numpy(), space.sample(4000, rng(seed))
        mean = (weight[..., None] * drawn).sum(axis=(0, 1)) / weight.sum()
        assert np.abs(mean - known.mean(axis=0)).max() < 0.12 * max(1, known.std(axis=0).max())
        assert violation(space, space.feasible.placed(drawn.reshape(-1, len(space)))) <= 1e-9

    def test_too_many_combinations_to_sum_over_are_told(self):
        space = ProcessSpace.of({f"n{j}": Integer(0, 9) for j in range(3)} | {"a": Real(0, 1)})
        with pytest.raises(InputError, match="more than 256"):
            DesignPosterior(random_model(space, 0), TARGET)


class TestDesign:
    @pytest.mark.parametrize("space", [MIXED, BOUND], ids=["mixed", "bound"])
    @pytest.mark.parametrize("seed", range(2))
    def test_the_optimum_is_that_of_enumeration(self, space, seed):
        model = random_model(space, seed)
        found = maximise(model, TARGET)
        assert float(found.value.promised) >= by_enumeration(model) - 1e-3
        assert violation(space, found.phi) <= 1e-9
        assert space.check(found.phi).tolist() == found.phi.tolist()

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(100))
    def test_the_optimum_is_that_of_enumeration_in_a_hundred_problems(self, seed):
        draws = rng(seed)
        kinds = {
            "n": Integer(0, int(draws.integers(1, 6))),
            "k": Categorical(("u", "v", "w")[: int(draws.integers(2, 4))]),
            **{name: Real(0, 1) for name in "abc"},
        }
        bound = ("a + b + c = 1", "a + 0.2 n <= 1", "at most 2 of a, b, c")
        space = ProcessSpace.of(kinds, constraints=bound[: int(draws.integers(0, 4))])
        model = random_model(space, seed)
        found = maximise(model, TARGET)
        assert float(found.value.promised) >= by_enumeration(model) - 1e-3
        assert violation(space, found.phi) <= 1e-9

    @given(spaces(), st.integers(0, 2**32 - 1))
    @settings(max_examples=2, deadline=None)
    def test_suggestions_of_a_search_fulfil_every_constraint(self, space, seed):
        assert violation(space, suggested(space, seed)) <= 1e-9

    @pytest.mark.slow
    @given(spaces(), st.integers(0, 2**32 - 1))
    @settings(max_examples=100, deadline=None)
    def test_ten_thousand_suggestions_fulfil_every_constraint(self, space, seed):
        assert violation(space, suggested(space, seed)) <= 1e-9

    @pytest.mark.parametrize(
        "space", [MIXED, pytest.param(BOUND, marks=pytest.mark.slow)], ids=["mixed", "bound"]
    )
    def test_the_least_of_two_targets_and_the_least_cost_are_no_worse_than_scattered(self, space):
        model, other, few = random_model(space, 1, 1), Box((-1.0,), (0.3,)), {"draws": 16}
        wide = space.sample(20_000, rng())
        p, q = (psp.probability(model, box, wide).value for box in (TARGET, other))
        both = maximise(model, Least((Probability(TARGET), Probability(other))), **few)
        assert float(both.value.value) >= np.minimum(p, q).max() - 1e-4
        spent, least = wide[:, space.names.index("a")] + wide[:, 0], 0.8 * p.max()
        cost = Cost.of(f"a + {space.names[0]}", space)
        found = cheapest(model, Probability(TARGET), cost, least, starts=4, **few)
        assert found.cost <= spent[p >= least].min() + 1e-4
        assert float(found.value.value) >= least - 1e-3
        for design in (both, found):
            assert violation(space, design.phi) <= 1e-9
            assert space.check(design.phi).tolist() == design.phi.tolist()

    def test_a_window_lets_real_settings_stray_and_holds_the_others(self):
        kinds = {
            "n": Integer(0, 3),
            "k": Categorical(("u", "v")),
            "f": Fixed(2.0),
            "a": Real(0, 1),
            "t": Real(1, 9, log=True),
        }
        space = ProcessSpace.of(kinds)
        model = random_model(space, 0, 1)
        phi = maximise(model, TARGET, draws=16).phi
        best = float(psp.probability(model, TARGET, phi[None]).value[0])
        found = window(model, Probability(TARGET), phi, 0.8 * best, draws=16)
        assert found.strays.tolist() == [False, False, False, True, True]
        assert np.array_equal(found.together[:3], np.repeat(phi[:3, None], 2, axis=1))
        low, high = found.together.T
        assert (low <= phi + 1e-9).all()
        assert (phi <= high + 1e-9).all()
        inside = low + rng().random((2000, 5)) * (high - low)
        assert psp.probability(model, TARGET, inside).value.min() >= 0.8 * best - 1e-3
        for j in (3, 4):
            for end, bound in zip(found.alone[j], space.settings[j].bounds, strict=True):
                beyond = phi.copy()
                beyond[j] = np.clip(end + 0.01 * np.sign(bound - end), *space.settings[j].bounds)
                p = float(psp.probability(model, TARGET, beyond[None]).value[0])
                assert end == bound or p < 0.8 * best
        assert f"k = {('u', 'v')[int(phi[1])]}, f = 2" in str(found)
        assert len(window_bars(found).get_yticks()) == 2

    def test_a_window_of_what_is_bound_or_has_no_width_is_refused(self):
        model, phi = random_model(BOUND, 0), BOUND.sample(1, rng())[0]
        with pytest.raises(InputError, match=r"bound by a \+ b"):
            window(model, Probability(TARGET), phi, 0.1)
        space = ProcessSpace.of({"n": Integer(0, 3)})
        with pytest.raises(InputError, match="discrete or fixed"):
            window(random_model(space, 0), Probability(TARGET), np.array([1.0]), 0.1)

    def test_more_combinations_than_can_be_listed_are_searched(self):
        space = ProcessSpace.of(
            {f"n{j}": Integer(0, 9) for j in range(4)}, constraints="n0 + n1 <= n2 + n3"
        )
        assert space.feasible.slices is None
        model = random_model(space, 1)
        every = space.grid(10)
        p = psp.probability(model, TARGET, every).value
        found = maximise(model, TARGET)
        assert float(found.value.promised) >= p.max() - 1e-6

    def test_an_optimiser_for_boxes_says_so(self):
        with pytest.raises(InputError, match="with LBFGS"):
            maximise(random_model(MIXED, 0), TARGET, optimiser=Adam())

    def test_an_inequality_that_holds_the_optimum_is_named(self):
        space = ProcessSpace.of({"a": Real(0, 1), "b": Real(0, 1)}, constraints="a + b <= 1")
        assert space.feasible.met(np.array([0.4, 0.6])) == ["a + b <= 1"]
        assert space.feasible.met(np.array([0.4, 0.5])) == []

    def test_a_line_through_a_sum_stays_on_it(self):
        phi = KILN.check([8, 30, 30, 40, 2, 90, 1, 3])
        line, allowed = KILN.feasible.along(phi, 1, np.linspace(0, 100, 11))
        assert violation(KILN, line[allowed]) <= 1e-9
        assert line[allowed][:, 1].max() == pytest.approx(60)

    @pytest.mark.slow
    def test_the_law_of_words_whole_numbers_and_sums_is_learned_and_designed_on(self, tmp_path):
        stages = (PriorStage(steps=300, descent=Descent(4e-3, 0.1)),)
        run = psp.fit(opened(table()), stages=stages, progress=False)
        phi = KILN.sample(200, rng(1))
        truth = norm.sf(3, strength(phi), 0.3)
        p = run.probability("strength > 3 MPa", phi)
        assert np.sqrt(np.mean((p.value - truth) ** 2)) < 0.06
        found = run.design("strength > 2 MPa, strength < 2.5 MPa")
        mean = strength(found.phi[None])
        # no law of this noise has more than 0.595 in so narrow a window
        assert norm.cdf(2.5, mean, 0.3) - norm.cdf(2, mean, 0.3) > 0.4
        run.save(tmp_path / "run")
        again = psp.load_run(tmp_path / "run").probability("strength > 3 MPa", phi)
        assert again.value.tolist() == p.value.tolist()
