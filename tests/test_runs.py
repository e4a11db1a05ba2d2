"""Claims about run folders: what they restore, what they refuse, and that nothing in them runs."""

import errno
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.numpy import save_file
from test_model import small_model

from pspgen_pyro import InputError, PSPGen, load_run, save_run
from pspgen_pyro.design import Support
from pspgen_pyro.errors import DataError, StorageError
from pspgen_pyro.runs import Run
from pspgen_pyro.training.checkpoint import History

DATA = {"case": "case1", "preset": "calibrated", "formulation": "study"}


@pytest.fixture
def run():
    model = small_model()
    model.standardise_by(torch.randn(20, 2) - 7.0)
    history = History({"validation_loss": [2.0, 1.0]}, 1, "done")
    return Run(model, history, DATA, {"settings": {"epochs": 2}})


def test_a_run_comes_back_with_the_same_weights_history_and_story(run, tmp_path):
    save_run(run, tmp_path / "run")
    back = load_run(tmp_path / "run")
    theirs, ours = back.model.state_dict(), run.model.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)
    assert (back.history, back.data, back.training) == (run.history, run.data, run.training)
    assert not back.model.training


def test_a_models_description_survives_json(run):
    spec = json.loads(json.dumps(run.model.specification()))
    again = PSPGen.from_specification(spec).specification()
    assert json.loads(json.dumps(again)) == spec


def test_an_existing_folder_is_refused_and_left_alone(run, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="'out' is .* which exists"):
        save_run(run, tmp_path / "run")
    assert [p.name for p in tmp_path.rglob("*")] == ["run", "mine.txt"]


def test_a_failed_write_leaves_nothing_behind(run, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pspgen_pyro.runs.save_file", full)
    with pytest.raises(StorageError, match="No space left on device; nothing was kept"):
        save_run(run, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


class Hostile:
    def __reduce__(self):
        return (print, ("a run folder was executed",))


def test_a_pickle_in_place_of_the_weights_is_refused_and_not_executed(run, tmp_path, capsys):
    folder = save_run(run, tmp_path / "run")
    (folder / "model.safetensors").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(DataError, match="damaged"):
        load_run(folder)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("run.json", lambda text: text[:100]),
        ("run.json", lambda text: text.replace('"format": 1', '"format": 7')),
        ("run.json", lambda text: text.replace("ResidualMap", "os.system")),
        ("run.json", lambda text: text.replace('"latent": 6', '"latent": 7')),
        ("run.json", lambda text: text.replace('"latent": 6,', "")),
        ("history.json", lambda text: '{"surprise": 1}'),
    ],
)
def test_a_damaged_run_is_refused_in_one_sentence(run, tmp_path, name, damage):
    folder = save_run(run, tmp_path / "run")
    (folder / name).write_text(damage((folder / name).read_text()))
    with pytest.raises(DataError) as error:
        load_run(folder)
    assert "\n" not in str(error.value)


def test_a_run_remembers_the_training_properties_and_an_older_one_does_without(run, tmp_path):
    assert load_run(save_run(run, tmp_path / "old")).support is None
    m = np.random.default_rng(0).normal(size=(50, 2))
    kept = replace(run, support=Support(m))
    folder = save_run(kept, tmp_path / "run")
    assert load_run(folder).support.m == pytest.approx(m, abs=1e-6)


def test_of_many_training_properties_an_even_sample_of_known_ones_is_kept():
    m = np.random.default_rng(0).normal(size=(45_000, 2))
    m[7] = np.nan
    fold = np.zeros(len(m), dtype=int)
    fold[-5000:] = 1
    triads = xr.Dataset({"m": (("sample", "property"), m), "fold": ("sample", fold)})
    support = Support.from_dataset(triads)
    assert np.array_equal(support.m[4:], m[9:40_000:2])


@pytest.mark.parametrize(
    "content", [{"m": np.zeros((3, 5))}, {"other": np.zeros((3, 2))}, {"m": np.zeros((0, 2))}]
)
def test_a_damaged_support_is_refused(run, tmp_path, content):
    folder = save_run(run, tmp_path / "run")
    save_file(content, folder / "support.safetensors")
    with pytest.raises(DataError, match="damaged"):
        load_run(folder)


@pytest.mark.parametrize("missing", ["run.json", "history.json", "model.safetensors"])
def test_a_folder_without_one_of_its_files_is_no_run(run, tmp_path, missing):
    folder = save_run(run, tmp_path / "run")
    (folder / missing).unlink()
    with pytest.raises(DataError, match=f"no run folder \\({missing} is missing\\)"):
        load_run(folder)


def test_data_of_another_preset_or_size_do_not_belong_to_a_run(toy_run, toy_triads):
    run = load_run(toy_run)
    run.check_against(toy_triads)
    with pytest.raises(
        InputError, match="preset 'as_stated' but the run was trained on 'calibrated'"
    ):
        run.check_against(toy_triads.assign_attrs(preset="as_stated"))
    with pytest.raises(InputError, match="36×35 pixels"):
        run.check_against(toy_triads.isel(column=slice(35)))
