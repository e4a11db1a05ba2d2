r"""Claims about the comparison method: each of its links against what is known in closed form.

The toy is linear and Gaussian: :math:`\alpha = A \varphi + 0.4\, \varepsilon` and
:math:`m = B \alpha + 0.3\, \varepsilon` with a rotation B, so that :math:`p(m \mid \varphi)` is
Gaussian with mean :math:`B A \varphi` and covariance :math:`0.25\, I`.
"""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from pspgen_pyro import Batches, Box, InputError, ProcessSpace
from pspgen_pyro.data.batches import Batch
from pspgen_pyro.errors import MissingDependencyError
from pspgen_pyro.rivals import RIVALS, ComparisonMethod
from pspgen_pyro.rivals.comparison import (
    Convergence,
    Matching,
    SparseGP,
    TwoPointScores,
    method,
)
from pspgen_pyro.rivals.comparison.features import two_point_maps
from pspgen_pyro.rivals.comparison.lmc import coregionalised, frozen, need_libraries
from pspgen_pyro.schema import Microstructure, Schema

PROCESS = ProcessSpace(("phi1", "phi2"), (-1.0, 2.0), (1.0, 6.0))
SCHEMA = Schema(
    process=PROCESS, microstructure=Microstructure(shape=(1, 2)), properties=("a", "b")
)
A = torch.tensor([[1.0, 0.3], [-0.4, 0.8]])
B = torch.tensor([[0.8, 0.6], [-0.6, 0.8]])
NOISE_ALPHA, NOISE_M, SPREAD = 0.4, 0.3, 0.5
BOX = Box((0.2, -0.4), (0.9, 0.3))
CORNER = Box((1.0, -0.6), (3.0, 0.2))


def unit(phi):
    return torch.stack([phi[:, 0], (phi[:, 1] - 4) / 2], dim=-1)


def rows(n, seed):
    torch.manual_seed(seed)
    phi = torch.stack([2 * torch.rand(n) - 1, 2 + 4 * torch.rand(n)], dim=-1).double()
    alpha = unit(phi) @ A.double().T + NOISE_ALPHA * torch.randn(n, 2).double()
    m = alpha @ B.double().T + NOISE_M * torch.randn(n, 2).double()
    return Batch(phi, alpha.unsqueeze(1), m)


def exact_mean(phi):
    return unit(torch.as_tensor(phi)) @ (B @ A).double().T


def exact_probability(box, phi):
    loc = exact_mean(phi).numpy()
    ends = [ndtr((np.array(end) - loc) / SPREAD) for end in (box.lower, box.upper)]
    return (ends[1] - ends[0]).prod(axis=-1)


@dataclasses.dataclass(frozen=True)
class Given:
    """Scores that are there already, in place of images."""

    scale: torch.Tensor

    @classmethod
    def fit(cls, x, *_):
        return cls(x.flatten(1).std(dim=0))

    def __len__(self):
        return len(self.scale)

    def __call__(self, x):
        return x.flatten(1) / self.scale


QUICK = {"steps": 160, "most_inducing": 20, "latents": 2, "rate": 0.08, "batch_size": 256}
FLOW = {"hidden": (128, 128), "steps": 2000, "batch_size": 512}


def small(rival, **sizes):
    sizes = {**QUICK, **sizes}
    return dataclasses.replace(
        rival,
        process_structure=tuple(
            dataclasses.replace(one, **sizes) for one in rival.process_structure[:1]
        ),
        structure_property=tuple(
            dataclasses.replace(one, **sizes) for one in rival.structure_property[:1]
        ),
        matching=dataclasses.replace(rival.matching, **FLOW),
        pool_size=20_000,
        draws=256,
    )


DATA = {}


def data():
    if not DATA:
        DATA["toy"] = Batches(rows(6000, 1), rows(1000, 2))
    return DATA["toy"]


@pytest.fixture(scope="module")
def stub():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(method, "TwoPointScores", Given)
        yield


@pytest.fixture(scope="module")
def tuned(stub):
    return small(ComparisonMethod.tuned()).fit(data(), schema=SCHEMA, seed=0)


@pytest.fixture(scope="module")
def raw(tuned):
    """The same processes under the flow of the published settings."""
    other = dataclasses.replace(tuned.matching, coordinates="raw")
    copy = dataclasses.replace(tuned, matching=other)
    vars(copy).update({k: v for k, v in vars(tuned).items() if k not in vars(copy)})
    vars(copy).pop("flow", None)
    return copy


def test_the_map_of_a_checkerboard_is_one_half_at_even_shifts_and_zero_at_odd_ones():
    rows, columns = np.indices((4, 6))
    board = (rows + columns) % 2
    found = two_point_maps(torch.tensor(board[None])).reshape(4, 6)
    assert found == pytest.approx(0.5 * (1 - board), abs=1e-12)


def test_the_maps_are_those_of_every_phase_but_the_first_by_brute_force():
    x = torch.randint(0, 3, (2, 3, 5))
    found = two_point_maps(x, 3).reshape(2, 2, 3, 5)
    for phase in (1, 2):
        v = (x == phase).double()
        for i in range(3):
            for j in range(5):
                pairs = (v * v.roll((-i, -j), dims=(1, 2))).mean(dim=(1, 2))
                assert found[:, phase - 1, i, j] == pytest.approx(pairs.numpy(), abs=1e-12)
        assert found[:, phase - 1, 0, 0] == pytest.approx(v.mean(dim=(1, 2)).numpy())


def striped(n, shape=(8, 6)):
    """Rows and columns of random widths, with a tenth of the pixels flipped."""
    i, j = (torch.arange(s, dtype=torch.float64) for s in shape)
    a, b = (torch.rand(n, 1) * 6 for _ in range(2))
    wave = torch.sin(a * i).unsqueeze(2) + torch.sin(b * j).unsqueeze(1)
    return ((wave > 0) ^ (torch.rand(n, *shape) < 0.1)).to(torch.uint8)


@pytest.mark.parametrize("long", [False, True])
def test_the_scores_explain_nine_tenths_of_the_variance_and_one_fewer_does_not(monkeypatch, long):
    if long:
        monkeypatch.setattr("pspgen_pyro.rivals.comparison.features._LONG", 10)
    x = striped(300)
    scores = TwoPointScores.fit(x)
    maps = two_point_maps(x).astype(float)
    maps -= maps.mean(axis=0)
    values = np.linalg.svd(maps, compute_uv=False) ** 2
    shares = values.cumsum() / values.sum()
    q = len(scores)
    assert q > 2
    assert shares[q - 1] >= 0.9 > shares[q - 2]
    assert scores.explained == pytest.approx(shares[:q], abs=2e-3)
    alpha = scores(x)
    assert alpha.shape == (300, q)
    assert alpha.mean(dim=0).numpy() == pytest.approx(np.zeros(q), abs=1e-5)
    assert alpha.T.cov(correction=0).numpy() == pytest.approx(
        np.eye(q), abs=2e-2 if long else 1e-9
    )


@pytest.mark.parametrize("natural", [True, False])
def test_the_frozen_law_is_what_gpytorch_predicts(natural):
    gp = need_libraries()
    x, y = torch.rand(40, 3), torch.randn(40, 2)
    model = coregionalised(torch.rand(4, 7, 3), 2, natural)
    likelihood = gp.likelihoods.MultitaskGaussianLikelihood(2, rank=0)
    objective = gp.mlls.VariationalELBO(likelihood, model, num_data=40)
    steps = torch.optim.Adam([*model.hyperparameters(), *likelihood.parameters()], lr=0.1)
    for _ in range(5):
        steps.zero_grad()
        (-objective(model(x), y)).backward()
        steps.step()
        if natural:
            with torch.no_grad():
                for p in model.variational_parameters():
                    p -= 4 * p.grad
    model.eval(), likelihood.eval()
    law = likelihood(model(x))
    mean, scale = frozen(model, likelihood).marginal(x)
    assert torch.allclose(mean, law.mean, atol=1e-4)
    assert torch.allclose(scale, law.variance.sqrt(), atol=1e-4)


def test_on_the_toy_the_chain_has_converged_and_knows_mean_and_spread(tuned):
    assert tuned.convergence.converged, str(tuned.convergence)
    phi = torch.tensor(PROCESS.grid(5))
    draws = torch.tensor(tuned.sample(phi, draws=20_000, seed=1))
    assert (draws.mean(dim=1) - exact_mean(phi)).abs().mean() < 0.06 * SPREAD
    assert (draws.std(dim=1) / SPREAD - 1).abs().max() < 0.06


def test_after_far_too_few_steps_it_says_that_it_has_not_converged(stub):
    rival = small(ComparisonMethod.published(), steps=15).fit(data(), schema=SCHEMA)
    assert not rival.convergence.converged
    assert "not converged" in str(rival.convergence)
    # the answer is still there
    assert 0 < rival.probability(BOX, [0.0, 4.0]) < 1


def test_a_share_that_is_unknown_has_not_converged():
    assert Convergence(1e-4, 0.9, 0.9).converged
    for one in (Convergence(1e-4, 0.9, np.nan), Convergence(np.nan, 0.9, 0.9)):
        assert not one.converged


def test_the_probability_is_the_exact_one_and_that_of_its_own_draws(tuned):
    phi = PROCESS.grid(3)
    p = tuned.probability(BOX, phi)
    assert p == pytest.approx(exact_probability(BOX, phi), abs=0.03)
    fraction = BOX.contains(tuned.sample(phi, draws=20_000, seed=3)).mean(axis=1)
    assert p == pytest.approx(fraction, abs=0.015)
    estimate, error = tuned.estimate(BOX, phi, 4000, seed=1)
    assert (abs(estimate - p) < 5 * error + 2e-3).all()


def test_the_surfaces_of_several_targets_in_one_pass_are_those_of_each(tuned):
    boxes, phi = [BOX, Box((-9.0, -0.5), (0.2, 9.0))], PROCESS.grid(3).reshape(3, 3, 2)
    wanted = [tuned.probability(box, phi) for box in boxes]
    np.testing.assert_allclose(tuned.probabilities(boxes, phi), wanted, atol=1e-12)


def test_the_density_is_the_exact_one(tuned):
    held_out = data().validation
    law = torch.distributions.Normal(exact_mean(held_out.phi), SPREAD)
    wanted = law.log_prob(held_out.m).sum(dim=-1).mean().item()
    found = tuned.log_density(held_out.phi, held_out.m)
    assert found.mean() == pytest.approx(wanted, abs=0.03)


def binned(phi):
    edges = [np.linspace(a, b, 11) for a, b in zip(PROCESS.lower, PROCESS.upper, strict=True)]
    counts, *_ = np.histogram2d(*phi.T, bins=edges)
    return counts / len(phi)


def truth(box):
    fine = [np.linspace(a, b, 101) for a, b in zip(PROCESS.lower, PROCESS.upper, strict=True)]
    middle = [(axis[1:] + axis[:-1]) / 2 for axis in fine]
    phi = np.stack(np.meshgrid(*middle, indexing="ij"), axis=-1).reshape(-1, 2)
    p = exact_probability(box, phi).reshape(10, 10, 10, 10).sum(axis=(1, 3))
    return p / p.sum()


@pytest.mark.parametrize(
    ("flow", "rule"),
    [
        pytest.param("tuned", "R1", marks=pytest.mark.slow),
        ("tuned", "R2"),
        ("tuned", "R5"),
        pytest.param("raw", "R2", marks=pytest.mark.slow),
        pytest.param("raw", "R5", marks=pytest.mark.slow),
    ],
)
def test_the_posterior_of_a_region_is_the_exact_one(request, flow, rule):
    """Total variation on 10 × 10 bins, some .05 of which is the noise of 8,000 draws."""
    rival = request.getfixturevalue(flow)
    drawn = rival.posterior(BOX, rule, draws=8000)
    assert (drawn.rule, drawn.note) == (rule, "")
    assert abs(binned(drawn.phi) - truth(BOX)).sum() / 2 < 0.17


@pytest.mark.parametrize("flow", ["tuned", pytest.param("raw", marks=pytest.mark.slow)])
def test_no_draw_falls_outside_the_process_space(request, flow):
    rival = request.getfixturevalue(flow)
    for rule in ("R1", "R2", "R3"):
        phi = rival.posterior(CORNER, rule, draws=3000, seed=2).phi
        assert not PROCESS.outside(phi).any()
        assert (phi >= PROCESS.lower).all()
        assert (phi <= PROCESS.upper).all()


@pytest.mark.parametrize("flow", ["tuned", pytest.param("raw", marks=pytest.mark.slow)])
def test_the_density_of_the_flow_integrates_to_one_over_the_process_space(request, flow):
    rival = request.getfixturevalue(flow)
    phi = torch.tensor(PROCESS.grid(81))
    m = rival.scaling.m(torch.tensor([[0.3, 0.1]])).expand(len(phi), -1)
    with torch.no_grad():
        density = rival.flow.log_density(phi, m).exp().reshape(81, 81)
    axes = [torch.linspace(a, b, 81) for a, b in zip(PROCESS.lower, PROCESS.upper, strict=True)]
    total = torch.trapezoid(torch.trapezoid(density, axes[1]), axes[0])
    # clipped draws have their mass beyond the bounds
    assert 0.95 < total < 1.03 if flow == "tuned" else 0.8 < total < 1.0


@pytest.fixture(scope="module")
def designs(tuned):
    return {box: tuned.design(box, draws=1000, seed=1) for box in (BOX, CORNER)}


@pytest.mark.parametrize("box", [BOX, CORNER])
def test_mode_and_argmax_are_where_the_exact_probability_is_largest(designs, box):
    """With a uniform prior the posterior is proportional to P; a setting is judged by the exact P
    there, since around its maximum P is flat."""
    grid = PROCESS.grid(41)
    best = exact_probability(box, grid).max()
    found = designs[box]
    reached = {name: exact_probability(box, one.phi[None])[0] for name, one in found.items()}
    assert reached["argmax"] > best - 0.02
    assert reached["best"] > best - 0.04
    assert reached["mode"] > best - 0.05
    for one in found.values():
        p = exact_probability(box, one.phi[None])[0]
        assert one.probability == pytest.approx(p, abs=0.05)
        assert 0 < one.standard_error < 0.01


def test_where_the_optimum_is_a_corner_the_mean_loses_to_the_mode(designs):
    phi = {name: one.phi[None] for name, one in designs[CORNER].items()}
    p = {name: exact_probability(CORNER, place)[0] for name, place in phi.items()}
    assert p["mean"] < p["mode"] - 0.03
    assert p["mean"] < p["argmax"] - 0.03


def test_fewer_than_two_hundred_pairs_in_the_region_are_said_and_m_is_uniform_instead(tuned):
    far = Box((2.2, 0.6), (3.0, np.inf))
    for rule, used in (("R1", "R2"), ("R5", "R5")):
        drawn = tuned.posterior(far, rule, draws=300)
        assert drawn.hits < 200
        assert (drawn.asked, drawn.rule) == (rule, used)
        assert f"only {drawn.hits} of 20000 pairs" in drawn.note
        assert drawn.phi.shape == (300, 2)
    uniform = tuned.posterior(far, "R1", draws=300).m
    assert far.contains(uniform).all()


def test_rows_without_properties_teach_the_scores_as_if_they_had_them(stub):
    train, held_out = data().train, data().validation
    m = train.m.clone()
    m[100:, 1] = torch.nan
    rival = small(ComparisonMethod.tuned(), steps=10)
    few, all_of_them = (
        rival.fit(Batches(Batch(train.phi, train.images, one), held_out), schema=SCHEMA)
        for one in (m, train.m)
    )
    assert torch.equal(few.to_scores.law.weights, all_of_them.to_scores.law.weights)
    assert few.to_m.law.inducing.shape[1] < all_of_them.to_m.law.inducing.shape[1]


def test_of_several_settings_the_best_on_the_validation_rows_is_trained(stub):
    """The scores of a material share an error, which independent noise cannot say."""
    folds = []
    for one in (data().train, data().validation):
        alpha = one.images + torch.randn(len(one), 1, 1)
        folds.append(Batch(one.phi, alpha, one.m))
    rival = small(ComparisonMethod.tuned(), steps=40)
    (first,) = rival.process_structure
    pair = (first, dataclasses.replace(first, correlated=True))
    fitted = dataclasses.replace(rival, process_structure=pair).fit(Batches(*folds), schema=SCHEMA)
    assert fitted.to_scores.settings.correlated
    law, x = fitted.to_scores.law, torch.zeros(20_000, 2)
    alpha = law.draw(x, torch.randn(20_000, 2))
    # 1 + 0.16 against 1 in the covariance of the scores
    assert alpha.T.corrcoef()[0, 1] == pytest.approx(1 / 1.16, abs=0.05)
    assert law.log_prob(x, alpha).mean() == pytest.approx(
        -alpha.T.cov().logdet().item() / 2 - 1 - np.log(2 * np.pi), abs=0.05
    )


def test_the_same_seed_gives_the_same_answers(stub):
    rival = small(ComparisonMethod.tuned(), steps=10)
    rival = dataclasses.replace(rival, matching=Matching(hidden=(8,), steps=10, batch_size=32))
    state = torch.get_rng_state()
    a, b = (rival.fit(data(), schema=SCHEMA, seed=4) for _ in range(2))
    assert a.probability(BOX, [0.0, 4.0]) == b.probability(BOX, [0.0, 4.0])
    assert (a.posterior(BOX, draws=20).phi == b.posterior(BOX, draws=20).phi).all()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["comparison", "comparison_published"])
def test_it_is_known_to_the_command_line_by_its_settings(name):
    rival = RIVALS[name]()
    (first, *_), (second, *_) = rival.process_structure, rival.structure_property
    if name == "comparison_published":
        assert first.inducing(9000) == 800
        assert second.inducing(10_000) == 200
        assert rival.matching.coordinates == "raw"
    else:
        assert {one.latents for one in rival.process_structure} == {5, 10, None}
        assert rival.matching.coordinates == "logit"


def test_what_it_cannot_use_is_refused_in_a_sentence(tuned):
    rival, grey = ComparisonMethod.tuned(), Microstructure(shape=(1, 2), phases="grey")
    bare = SCHEMA.without_microstructure()
    for schema, match in (
        (bare, "'schema' has no images; the comparison method needs images"),
        (SCHEMA.model_copy(update={"microstructure": grey}), "grey"),
    ):
        with pytest.raises(InputError, match=match):
            rival.fit(data(), schema=schema)
    for ask, match in (
        (lambda: tuned.posterior(BOX, "R7"), "'rule' is 'R7'; choose among R1, R2, R3, R5"),
        (lambda: tuned.posterior(Box((0.0,), (1.0,))), "1 interval"),
        (lambda: tuned.posterior(BOX, draws=0), "'draws' is 0"),
        (lambda: SparseGP(latents=0), "'latents' is 0"),
        (lambda: SparseGP(objective="best"), "choose 'elbo' or 'predictive'"),
        (lambda: SparseGP(objective="predictive", correlated=True), "take 'elbo'"),
        (lambda: Matching(coordinates="log"), "choose 'logit' or 'raw'"),
    ):
        with pytest.raises(InputError, match=match):
            ask()


@pytest.mark.parametrize("library", ["gpytorch", "sklearn.decomposition"])
def test_without_its_libraries_the_sentence_names_the_extra(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=r"pspgen-pyro\[study\]"):
        ComparisonMethod.tuned().fit(data(), schema=SCHEMA)
