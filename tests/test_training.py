"""Claims about training: what moves, what is kept, what is left alone, and what stops it."""

import copy
import math

import numpy as np
import pyro
import pytest
import torch
from exact import exact_model, log_evidence
from pyro.infer import Predictive
from small import PROCESS, SCHEMA, paper_model, schema, triads
from small import batches as some_batches

from pspgen_pyro import Alternating, Batches, Cosine, InputError, Joint, Microstructure, Plateau
from pspgen_pyro import PSPGen as Model
from pspgen_pyro.data import Triads
from pspgen_pyro.data.batches import Batch
from pspgen_pyro.errors import DataError, TrainingError
from pspgen_pyro.training import ELBO, Epochs, PriorStage, ReaderStage, train
from pspgen_pyro.training.checkpoint import History, TrainingState
from pspgen_pyro.training.epochs import _copy
from pspgen_pyro.training.stages import Training


def batches(n=64, of=SCHEMA):
    torch.manual_seed(1)
    return some_batches(n, of)


def quick(model, data, *, seed=0, checkpoint=None, resume=False, **options):
    stages = [Epochs(**{"epochs": 3, "batch_size": 16, **options})]
    return train(model, data, stages, seed=seed, checkpoint=checkpoint, resume=resume)


def state_of(model, **rates):
    optimisers = {
        name: torch.optim.Adam(group, lr=1e-2) for name, group in model.param_groups().items()
    }
    return TrainingState(model, optimisers, History(), _copy(model))


@pytest.mark.parametrize("group", ["theta", "eta"])
def test_a_half_step_moves_the_named_group_and_nothing_else(group):
    model, batch = paper_model(), triads(16)
    # unlabelled samples too: a network of the guide is for those alone
    batch.m[::2] = torch.nan
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    updates = Alternating()
    object.__setattr__(updates, "half_steps", ((group,),))
    Epochs(updates=updates)._step(state_of(model), batch, None)
    named = {id(p) for p in model.param_groups()[group]}
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) != (id(p) in named), name


def test_the_two_groups_are_all_parameters_and_share_none():
    model = paper_model()
    groups = model.param_groups()
    theta, eta = ({id(p) for p in groups[name]} for name in ("theta", "eta"))
    assert not theta & eta
    assert theta | eta == {id(p) for p in model.parameters()}


def test_a_half_steps_gradient_is_that_of_the_objective_with_the_other_group_fixed():
    model, batch = paper_model(), triads(16)
    batch.m[::2] = torch.nan
    state = state_of(model)
    torch.manual_seed(5)
    Epochs(clip=1e9)._step(state, batch, None)
    seen = [p.grad.clone() for p in model.param_groups()["eta"]]
    fresh = paper_model()
    fresh.load_state_dict(state.best)
    torch.manual_seed(5)
    loss = ELBO().loss(ELBO().terms(fresh, batch))
    exact = torch.autograd.grad(loss, fresh.param_groups()["eta"])
    assert all(
        torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(seen, exact, strict=True)
    )


@pytest.mark.parametrize("updates", [Alternating(), Joint()])
def test_training_raises_the_bound_on_data_with_something_to_learn(updates):
    data, model = batches(), paper_model()
    for part in (data.train, data.validation):
        part.x[:] = (part.phi[:, :1, None] > 5.0).to(part.x)
    history = quick(model, data, epochs=12, updates=updates)
    losses = history.epochs["train_loss"]
    assert losses[-1] < losses[0] - 10
    assert len(history) == 12


def test_the_model_half_step_climbs_to_the_evidence_under_the_exact_guide():
    """With q exact after every step, ascent in θ is ascent in log p(x, m | φ) itself."""
    truth = exact_model(seed=1)
    phi = 2 * torch.rand(128, 2) - 1
    with torch.no_grad():
        draw = Predictive(truth.model, num_samples=1)(phi)
    x, m = draw["x"][0], draw["m"][0]
    model = exact_model(seed=2)
    before = log_evidence(model, phi, x, m).mean().item()
    optimiser = torch.optim.Adam(model.param_groups()["theta"], lr=2e-2)
    objective = ELBO(beta=1.0)
    for _ in range(150):
        optimiser.zero_grad()
        terms = objective.terms(model, Batch(phi, x, m))
        objective.loss(terms).backward(inputs=model.param_groups()["theta"])
        optimiser.step()
    after = log_evidence(model, phi, x, m).mean().item()
    best = log_evidence(truth, phi, x, m).mean().item()
    assert before < best - 1.0
    assert after > best - 0.5


def test_the_same_seed_trains_the_same_weights_and_another_seed_others():
    data = batches()
    weights = []
    for seed in (3, 3, 4):
        torch.manual_seed(0)
        model = paper_model()
        quick(model, data, seed=seed)
        weights.append(torch.nn.utils.parameters_to_vector(model.parameters()))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_training_leaves_the_callers_random_numbers_and_pyros_store_alone():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    pyro.param("mine", torch.tensor(1.5))
    model = paper_model()
    torch.manual_seed(11)
    quick(model, batches_without_drawing(), epochs=1)
    assert torch.equal(torch.rand(3), expected)
    assert list(pyro.get_param_store().keys()) == ["mine"]


def batches_without_drawing():
    with torch.random.fork_rng(devices=[]):
        return batches()


def test_the_weights_kept_are_those_of_the_best_epoch():
    """A run that ends with its best epoch has the weights that a longer run goes back to."""
    data, runs = batches(), []
    for epochs in (16, None):
        torch.manual_seed(0)
        model = paper_model()
        epochs = epochs or runs[0][0].best_epoch + 1
        history = quick(model, data, epochs=epochs, learning_rate=5e-3, schedule=Plateau(1000))
        runs.append((history, torch.nn.utils.parameters_to_vector(model.parameters())))
    (long, kept), (short, last) = runs
    assert long.best_epoch == int(np.argmin(long.epochs["validation_loss"])) < 15
    assert short.best_epoch == len(short) - 1
    assert torch.equal(kept, last)


def test_training_stops_early_once_the_validation_loss_stops_falling():
    history = quick(paper_model(), batches(), epochs=200, learning_rate=3e-2, patience=3)
    assert len(history) < 200
    assert len(history) - 1 - history.best_epoch == 3
    assert "stopped early" in history.status


def direct(model, data, **options):
    """The epochs without the checks of the data before them."""
    Epochs(**{"epochs": 3, "batch_size": 16, **options}).run(Training(model, data))


def test_a_term_that_is_not_finite_stops_training_by_name_and_keeps_the_best_weights():
    data, model = batches(), paper_model()
    data.train.x[5] = torch.nan
    before = {name: p.clone() for name, p in model.state_dict().items() if "_loc" not in name}
    with pytest.raises(TrainingError, match="the term 'x' became (nan|-inf) in epoch 0"):
        direct(model, data, batch_size=64)
    after = model.state_dict()
    moved = [n for n in before if "m_scale" not in n and not torch.equal(before[n], after[n])]
    assert not moved


def test_a_plateau_divides_the_rate_by_three_after_twenty_epochs_without_improvement():
    losses = [5.0, 4.0] + [4.5] * 20
    assert Plateau().factor(22, 500, losses) == pytest.approx(1 / 3)
    assert Plateau().factor(21, 500, losses[:-1]) == 1.0


def test_a_cosine_starts_at_the_full_rate_and_ends_near_its_floor():
    schedule = Cosine(final=0.01)
    assert schedule.factor(0, 30, []) == 1.0
    assert schedule.factor(29, 30, []) < 0.02
    assert math.isclose(schedule.factor(15, 30, []), 0.505)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"epochs": -1}, "'epochs' is -1"),
        ({"batch_size": -1}, "'batch_size' is -1"),
        ({"clip": 0.0}, "'clip' is 0"),
        ({"patience": -1}, "'patience' is -1"),
    ],
)
def test_a_number_that_is_not_positive_is_refused(option, words):
    with pytest.raises(InputError, match=words):
        quick(paper_model(), batches(), **option)


def test_data_of_other_dimensions_are_refused():
    with pytest.raises(InputError, match="'data' has x of size"):
        quick(paper_model(), batches(of=schema(images=Microstructure(shape=(6, 6)))))


def test_data_without_a_fold_are_refused(toy_triads):
    data = toy_triads.data.isel(sample=toy_triads.data.fold.values == 0)
    with pytest.raises(InputError, match="no validation row"):
        Batches.from_triads(Triads(toy_triads.schema, data))


def test_no_phi_is_both_trained_and_validated_on(toy_triads):
    data = Batches.from_triads(toy_triads)
    train, validation = (
        {tuple(row) for row in part.phi.tolist()} for part in (data.train, data.validation)
    )
    assert train
    assert validation
    assert not train & validation
    assert PROCESS.names == tuple(toy_triads.data["parameter"].values)


class Killed(Exception):
    """Stands for a run that ends at once."""


@pytest.mark.parametrize("updates", [Alternating(), Joint()])
def test_a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(updates, tmp_path, monkeypatch):
    data, weights = batches(), []
    for interrupted in (False, True):
        torch.manual_seed(0)
        model = paper_model()
        options = {"epochs": 5, "updates": updates, "checkpoint": tmp_path / str(interrupted)}
        if interrupted:
            with monkeypatch.context() as patch:
                calls = []

                def dies(*args, calls=calls, step=Epochs._step):
                    calls.append(1)
                    if len(calls) == 11:
                        raise Killed
                    return step(*args)

                patch.setattr(Epochs, "_step", dies)
                with pytest.raises(Killed):
                    quick(model, data, **options)
            torch.manual_seed(99)
            model = paper_model()
            options["resume"] = True
        history = quick(model, data, **options)
        weights.append(torch.nn.utils.parameters_to_vector(model.parameters()))
        assert len(history) == 5
    assert torch.equal(*weights)


def test_a_run_of_all_stages_can_be_resumed(toy_triads, tmp_path):
    data = Batches.from_triads(toy_triads, torch.float64)
    stages = ReaderStage(steps=5), PriorStage(steps=5), Epochs(1)
    found = [
        train(Model(toy_triads.schema), data, stages, checkpoint=tmp_path / "c", resume=resume)
        for resume in (False, True)
    ]
    assert toy_triads.schema.symmetries
    assert found[0].epochs == found[1].epochs
    assert found[0].stages == found[1].stages


def test_resuming_with_other_settings_is_refused_by_name(tmp_path):
    data = batches()
    quick(paper_model(), data, checkpoint=tmp_path / "c")
    with pytest.raises(DataError, match="learning_rate 0.002, but this run has 0.001"):
        quick(paper_model(), data, checkpoint=tmp_path / "c", resume=True, learning_rate=1e-3)


def test_a_run_that_diverges_leaves_its_last_checkpoint_intact(tmp_path):
    data = batches()
    quick(paper_model(), data, epochs=2, checkpoint=tmp_path / "c", schedule=Plateau(1000))
    kept = {path.name: path.read_bytes() for path in (tmp_path / "c").iterdir()}
    data.train.x[:] = float("nan")
    stage = Epochs(4, batch_size=16, schedule=Plateau(1000))
    with pytest.raises(TrainingError, match="epoch"):
        stage.run(Training(paper_model(), data, checkpoint=tmp_path / "c"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "c").iterdir()} == kept


def test_a_gradient_that_is_not_finite_stops_training_before_it_moves_anything():
    model, data = paper_model(), batches()
    before = torch.nn.utils.parameters_to_vector(model.parameters()).clone()
    weight = next(iter(model.param_groups()["eta"]))
    weight.register_hook(lambda g: g * float("nan"))
    with pytest.raises(TrainingError, match="'gradient of eta' became nan in epoch 0, step 0"):
        quick(model, data)
    assert torch.equal(torch.nn.utils.parameters_to_vector(model.parameters()), before)


def test_data_in_single_precision_train_a_model_in_double_precision():
    data, model = batches(), paper_model()
    low, high = data.to(torch.zeros((), dtype=torch.float32)), data
    histories = [
        quick(copy.deepcopy(model), part, epochs=1).epochs["train_m"] for part in (low, high)
    ]
    assert histories[0] == pytest.approx(histories[1], rel=1e-5)
