"""Claims about the stages that learn the property code and its prior.

Their data: bars of void along both directions, whose number decides m.
"""

import copy
import math

import numpy as np
import pytest
import torch
from exact import double_precision
from pyro.distributions import Normal
from scipy.stats import binom
from test_bounds import plain_model
from test_training import Killed, quick
from torch import nn

from pspgen_pyro import Batches, Box, InputError, ProcessSpace, PSPGen, fit, probability
from pspgen_pyro.data.batches import TriadTensors
from pspgen_pyro.errors import TrainingError
from pspgen_pyro.model import (
    CodedProperty,
    ConnectivityEncoder,
    FlowPrior,
    GaussianPrior,
    MixturePrior,
    ResidualMap,
)
from pspgen_pyro.process.symmetries import Mirror, PeriodicShift, Reflection
from pspgen_pyro.runs import Run, load_run, save_run
from pspgen_pyro.training import _step
from pspgen_pyro.training.checkpoint import History
from pspgen_pyro.training.objective import ELBO, ImportanceWeighted
from pspgen_pyro.training.stages import (
    PriorStage,
    PropertyStage,
    code_of,
    fit_prior,
    has_code,
    learn_code,
)

SIZE = 8
SYMMETRIES = (PeriodicShift(), Reflection(), Mirror("phi1", (1, 0)))
PROCESS = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0), symmetries=SYMMETRIES)
BRIEF = {
    "property_stage": PropertyStage(steps=12, batch_size=20, refit=4),
    "prior_stage": PriorStage(steps=8, batch_size=40),
}


def shares(phi):
    """The probabilities that a row and a column are void; the mirror swaps the two."""
    rows = 0.1 + 0.5 * (phi[:, 0] - 1) / 8
    return rows, 0.7 - rows


def bars(n, seed=0):
    """x has void rows and void columns, and m is the logarithm of one more than their numbers."""
    g = torch.Generator().manual_seed(seed)
    low, high = torch.tensor(PROCESS.lower), torch.tensor(PROCESS.upper)
    phi = low + (high - low) * torch.rand(n, 2, generator=g)
    across, along = (torch.rand(n, SIZE, generator=g) < p[:, None] for p in shares(phi))
    x = across[:, :, None] | along[:, None, :]
    m = torch.stack([x.all(2).sum(1), x.all(1).sum(1)], -1).add(1).log()
    return phi, x.to(phi), m.to(phi)


LEAST = math.log(3.5)
MANY_ROWS_FEW_COLUMNS = Box((LEAST, -1.0), (4.0, LEAST))


def true_probability(phi):
    """Of at least three void rows and at most two void columns, by counting."""
    rows, columns = (binom(SIZE, p.numpy()[:, None]).pmf(np.arange(9)) for p in shares(phi))
    # eight void rows make every column void
    return rows[:, 3:SIZE].sum(1) * columns[:, :3].sum(1)


def code_model(**options):
    torch.manual_seed(0)
    parts = {
        "encoder": ConnectivityEncoder(channels=12, head=32, image=(16,), vector=(8,), joint=(8,)),
        "property_decoder": CodedProperty(components=2, hidden=(16,)),
        "prior": MixturePrior(6, 2, (32,)),
        "process_map": ResidualMap((8,)),
    }
    return PSPGen(PROCESS, (SIZE, SIZE), latent=6, process_latent=3, **(parts | options))


def bar_data(pairs=120, labels=60, seed=0):
    phi, x, m = bars(pairs, seed)
    m[labels:] = torch.nan
    return Batches(TriadTensors(phi, x, m), TriadTensors(*bars(40, seed + 100)))


def error_of_probability(data):
    model = code_model().float()
    fit(
        model,
        data,
        epochs=0,
        property_stage=PropertyStage(steps=350, batch_size=60, refit=100),
        prior_stage=PriorStage(steps=300),
        progress=False,
    )
    grid = torch.tensor(PROCESS.grid(7))
    found = probability(model, MANY_ROWS_FEW_COLUMNS, grid.numpy(), draws=256).value
    return np.sqrt(np.mean((found - true_probability(grid)) ** 2))


def test_bare_pairs_teach_the_probability_of_a_target_that_sixty_labels_do_not():
    """The root mean square error over the process space, where P runs from 0 to 0.9."""
    data = bar_data(pairs=1500)
    with_pairs, without = error_of_probability(data), error_of_probability(data.only_labelled())
    assert with_pairs < 0.05
    assert without > 1.5 * with_pairs


def test_the_true_probability_of_the_bars_is_their_frequency():
    phi = torch.tensor([[3.0, 1.0], [8.0, 1.0]])
    for one in phi:
        g = torch.Generator().manual_seed(1)
        p = [share.item() for share in shares(one[None])]
        across, along = (torch.rand(20_000, SIZE, generator=g) < q for q in p)
        x = across[:, :, None] | along[:, None, :]
        hit = (x.all(2).sum(1) >= 3) & (x.all(1).sum(1) <= 2)
        exact = true_probability(one[None])[0]
        assert abs(hit.double().mean() - exact) < 4 * (exact * (1 - exact) / 20_000) ** 0.5


def test_the_first_stage_moves_the_code_and_its_decoder_and_nothing_else():
    model, data = code_model(), bar_data()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    losses = learn_code(model, data.train, BRIEF["property_stage"])
    assert len(losses) == 12 + 4
    for name, p in model.named_parameters():
        moved = name.startswith(("encoder.code.", "decoder_m."))
        assert torch.equal(p, before[name]) != moved, name


def test_the_second_stage_moves_the_prior_and_nothing_else():
    model, data = code_model(), bar_data()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    fit_prior(model, data.train, BRIEF["prior_stage"])
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) != name.startswith("prior."), name


def test_the_first_stage_reads_labelled_rows_only():
    data, models = bar_data(), [code_model(), code_model()]
    for model, rows in zip(models, (data.train, data.train.only_labelled()), strict=True):
        learn_code(model, rows, BRIEF["property_stage"], symmetries=SYMMETRIES, seed=2)
    pairs = zip(*(model.parameters() for model in models), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_epochs_hold_fixed_what_the_stages_have_learned():
    data, models = bar_data(), [code_model(), code_model()]
    histories = [
        quick(model, data, epochs=epochs, **BRIEF)
        for model, epochs in zip(models, (0, 3), strict=True)
    ]
    for (name, a), b in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        held = name.startswith(("encoder.code.", "decoder_m.", "prior."))
        assert torch.equal(a, b) == held, name
    assert histories[0].stages == histories[1].stages
    assert (len(histories[0]), len(histories[1])) == (0, 3)


@pytest.mark.parametrize(
    "prior", [GaussianPrior(2, (8,)), FlowPrior(hidden=(8,)), MixturePrior(2, 2, (8,))]
)
def test_a_fitted_prior_has_the_moments_of_the_codes(prior):
    """The codes do not depend on φ here; the tolerance is over four standard errors."""
    model, n = code_model(prior=prior), 2000
    phi = bars(n)[0]
    codes = torch.tensor([0.7, -0.4]) + torch.tensor([0.5, 0.8]) * torch.randn(n, 2)

    class Told(nn.Module):
        code_size = 2

        def hidden_given(self, x):
            index = x[:, 0, 0].long()
            return Normal(codes[index], torch.full((len(x), 2), 0.1)).to_event(1)

    model.encoder = Told()
    x = torch.arange(n).double()[:, None, None].expand(n, SIZE, SIZE)
    rows = TriadTensors(phi, x, torch.full((n, 2), torch.nan))
    losses = fit_prior(model, rows, PriorStage(steps=1000, passes=125))
    assert len(losses) == 1000
    with torch.no_grad():
        drawn = model.prior(model.standardise(phi)).rsample()[:, :2]
    assert torch.allclose(drawn.mean(0), codes.mean(0), atol=0.1)
    assert torch.allclose(drawn.std(0), (codes.var(0) + 0.01).sqrt(), atol=0.1)


def test_few_pairs_are_passed_through_only_so_many_times():
    model, data = code_model(), bar_data(pairs=60)
    stage = PriorStage(steps=2500, passes=3, batch_size=25)
    assert len(fit_prior(model, data.train, stage)) == 3 * 3
    listed = fit_prior(model, data.train, stage, symmetries=SYMMETRIES)
    assert len(listed) == 3 * 5


def test_the_code_of_every_row_is_that_of_the_encoder():
    model, data = code_model(), bar_data()
    loc, scale = code_of(model, data.train)
    law = model.encoder.code_given(data.train.x)
    assert torch.allclose(loc, law.mean)
    assert torch.allclose(scale, law.stddev)
    assert not loc.requires_grad


@pytest.mark.parametrize("objective", [ELBO(), ImportanceWeighted(2)])
def test_a_resumed_run_with_stages_ends_with_the_bits_of_an_uninterrupted_one(
    objective, tmp_path, monkeypatch
):
    data, weights, histories = bar_data(), [], []
    options = {"epochs": 4, "batch_size": 40, "objective": objective, **BRIEF}
    for interrupted in (False, True):
        model = code_model(beta=1.0)
        options["checkpoint"] = tmp_path / str(interrupted)
        if interrupted:
            calls = []

            def dies(*args, calls=calls, **kwargs):
                calls.append(1)
                if len(calls) == 8:
                    raise Killed
                return _step(*args, **kwargs)

            with monkeypatch.context() as patch:
                patch.setattr("pspgen_pyro.training._step", dies)
                with pytest.raises(Killed):
                    quick(model, data, **options)
            model = code_model(beta=1.0)
            options["resume"] = True
        histories.append(quick(model, data, **options))
        weights.append(nn.utils.parameters_to_vector(model.parameters()))
    assert torch.equal(*weights)
    assert histories[0].stages == histories[1].stages


def test_the_same_seed_trains_the_same_weights_through_all_stages():
    weights = []
    for seed in (3, 3, 4):
        model = code_model()
        quick(model, bar_data(), epochs=1, seed=seed, **BRIEF)
        weights.append(nn.utils.parameters_to_vector(model.parameters()))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_stages_leave_the_callers_random_numbers_alone():
    model, data = code_model(), bar_data()
    torch.manual_seed(6)
    expected = torch.rand(2)
    torch.manual_seed(6)
    learn_code(model, data.train, BRIEF["property_stage"])
    fit_prior(model, data.train, BRIEF["prior_stage"])
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("layer", "stage"),
    [("encoder.code.head.0.bias", "property code"), ("prior.networks.0.0.affine.bias", "prior")],
)
def test_a_gradient_that_is_not_finite_stops_its_stage_by_name(layer, stage):
    model, data = code_model(), bar_data()
    weight = model.get_parameter(layer)
    weight.register_hook(lambda g: g * math.nan)
    before = weight.detach().clone()
    with pytest.raises(TrainingError, match=f"the {stage} had loss .* in step 0"):
        quick(model, data, **BRIEF)
    assert torch.equal(weight, before)


def test_images_that_are_not_finite_stop_the_first_stage():
    model, data = code_model(), bar_data()
    data.train.x[:] = torch.nan
    with pytest.raises(TrainingError, match="the property code had loss nan"):
        quick(model, data, **BRIEF)


def test_a_model_without_a_code_or_a_learned_prior_is_refused_by_its_stage():
    model, data = plain_model(), bar_data()
    assert not has_code(model)
    assert has_code(code_model())
    with pytest.raises(InputError, match="'model' has no property code"):
        learn_code(model, data.train, BRIEF["property_stage"])
    with pytest.raises(InputError, match="'model' has a prior without parameters"):
        fit_prior(model, data.train)


def test_rows_without_a_label_cannot_teach_a_code():
    rows = bar_data(labels=0).train
    with pytest.raises(InputError, match="'triads' has no row with properties"):
        learn_code(code_model(), rows, BRIEF["property_stage"])


@pytest.fixture(scope="module")
def staged():
    with double_precision():
        model = code_model()
        history = quick(model, bar_data(), epochs=1, **BRIEF)
    return model, history


def weights_of(model):
    return nn.utils.parameters_to_vector(model.parameters())


def test_a_copy_of_a_staged_model_has_its_weights_and_a_life_of_its_own(staged):
    model, _ = staged
    twin = copy.deepcopy(model)
    assert torch.equal(weights_of(model), weights_of(twin))
    assert twin.specification() == model.specification()
    before = weights_of(model).clone()
    quick(twin, bar_data(), epochs=1, seed=9, **BRIEF)
    assert torch.equal(weights_of(model), before)
    assert not torch.equal(weights_of(twin), before)


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_staged_model_survives_its_run_folder(epochs, staged, tmp_path):
    model, history = staged
    kept = history if epochs else History(stages=history.stages)
    save_run(Run(model, kept, {"case": "bars"}, {}), tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert torch.equal(weights_of(run.model), weights_of(model))
    assert run.history.stages == history.stages
    assert len(run.history) == epochs
    phi = PROCESS.grid(2)
    found = [
        probability(m, MANY_ROWS_FEW_COLUMNS, phi, draws=64).value for m in (model, run.model)
    ]
    assert np.array_equal(*found)


def test_without_epochs_the_probability_is_already_what_it_will_be():
    data, phi, found = bar_data(), PROCESS.grid(3), []
    for epochs in (0, 2):
        model = code_model()
        quick(model, data, epochs=epochs, **BRIEF)
        found.append(probability(model, MANY_ROWS_FEW_COLUMNS, phi, draws=64).value)
    assert np.array_equal(*found)
