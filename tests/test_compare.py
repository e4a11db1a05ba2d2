"""Claims about `pspgen compare`: one table of runs and rivals, from the same materials."""

import json

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from pspgen_pyro import InputError, ProcessSpace
from pspgen_pyro.cli import main
from pspgen_pyro.data.crossvalidation import folds_by_setting
from pspgen_pyro.data.triads import Triads
from pspgen_pyro.rivals import RIVALS
from pspgen_pyro.schema import Schema


def run(*args):
    try:
        return main([str(arg) for arg in args])
    except SystemExit as exit_:
        return exit_.code


@pytest.fixture
def _brisk(monkeypatch):
    """A short fit: what rivals are worth is checked elsewhere."""
    monkeypatch.setitem(RIVALS, "gaussian", lambda: _RIVALS["gaussian"](steps=20))
    yield
    plt.close("all")


_RIVALS = dict(RIVALS)


@pytest.mark.usefixtures("_brisk")
def test_runs_and_rivals_come_in_one_table_with_pictures(toy_run, toy_path, tmp_path, capsys):
    out = tmp_path / "cmp"
    models = ["--run", toy_run, "--rival", "gaussian", "--rival", "logistic"]
    options = ["--reference", toy_path, "--symmetries", "process", *models]
    assert run("compare", toy_path, *options, "--out", out) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split()[:2] == ["model", "RMSE"]
    assert [line.split()[0] for line in printed[1:4]] == ["run", "gaussian", "logistic"]
    content = json.loads((out / "compare.json").read_text())
    assert "settings of the reference are settings that rivals are fitted to" in printed[-3]
    assert content["reference"]["settings_in_triads_too"] > 0
    assert list(content["targets"]) == ["L", "M", "R"]
    run_, gaussian, logistic = content["models"]
    assert run_["cpu_seconds"] is None
    assert gaussian["cpu_seconds"] > 0
    assert gaussian["energy_score"]["standard_error"] > 0
    assert logistic["negative_log_likelihood"] is None
    assert content["minus_run"]["gaussian"].keys() == {"brier", "energy", "nll"}
    figures = {path.stem for path in out.glob("*.svg")}
    assert figures == {"scores", "reliability", "probabilities", "central_coverage", "ranks"}


def test_a_target_of_ones_own_and_a_json_file(toy_path, tmp_path):
    out = tmp_path / "cmp.json"
    options = ["--reference", toy_path, "--rival", "logistic", "--target=ln horizontal>-8"]
    assert run("compare", toy_path, *options, "--out", out) == 0
    (model,) = json.loads(out.read_text())["models"]
    assert list(model["targets"]) == ["target"]


FURNACE = Schema(
    process=ProcessSpace(("T", "t"), (900.0, 1.0), (1200.0, 8.0), ("K", "h")),
    properties=("k [m^2] log below=1e-16", "strength [MPa]", "porosity logit limits=0:1"),
)


def table(seed, settings=60, replicates=2):
    """Triads without images: a permeability with a detection limit, a strength, a porosity."""
    rng = np.random.default_rng(seed)
    phi = FURNACE.process.sample(settings, rng).repeat(replicates, axis=0)
    a, noise = (phi[:, 0] - 900) / 300, rng.standard_normal((len(phi), 3))
    k = 10 ** (-16 + 3 * a - 0.1 * phi[:, 1] + 0.3 * noise[:, 0])
    porosity = 1 / (1 + np.exp(-a - 0.2 * noise[:, 2]))
    value = np.stack([k, 300 + 50 * a + 9 * noise[:, 1], porosity], axis=-1)
    index = np.arange(settings).repeat(replicates)
    sample = "sample"
    variables = {
        "phi": ((sample, "parameter"), phi),
        "value": ((sample, "property"), value),
        "m": ((sample, "property"), FURNACE.scaled(value)),
        "phi_index": (sample, index),
        "replicate": (sample, np.tile(np.arange(replicates), settings)),
        "fold": (sample, (index % 10 == 0).astype(np.int8)),
    }
    return Triads(FURNACE, xr.Dataset(variables))


@pytest.mark.usefixtures("_brisk")
@pytest.mark.parametrize("replicates", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_tables_without_images_of_any_number_of_properties_are_compared(
    tmp_path, capsys, monkeypatch, replicates
):
    known = {"own": table(0), "other": table(1, replicates=replicates)}
    monkeypatch.chdir(tmp_path)
    for name, triads in known.items():
        triads.save(name)
    # pictures take longer than all else, so they are drawn once
    out = tmp_path / ("cmp" if replicates == 1 else "cmp.json")
    models = [part for name in ("forest", "gaussian", "logistic") for part in ("--rival", name)]
    assert run("compare", "own", "--reference", "other", *models, "--out", out) == 0
    head = capsys.readouterr().out.splitlines()[0]
    assert ("RMSE low k" in head) == (replicates > 1)
    assert all(f"inside 90 % {name}" in head for name in FURNACE.property_names)
    content = json.loads((out / "compare.json" if replicates == 1 else out).read_text())
    names = [f"{end} {name}" for name in FURNACE.property_names for end in ("low", "high")]
    assert list(content["targets"]) == names
    forest, _, logistic = content["models"]
    assert forest["negative_log_likelihood"] is None
    assert logistic["coverage"] == {}
    inside = forest["coverage"]["strength"]["0.9"]
    assert abs(inside["value"] - 0.9) < 4 * inside["standard_error"]
    # a tenth of the reference at least is beyond the detection limit, and all of that is one atom
    assert content["targets"]["low k"]["upper"][0] == FURNACE.ends[0, 0]
    brier = forest["targets"]["low k"]["brier"]["value"]
    assert brier < logistic["targets"]["low k"]["brier"]["value"] + 0.05
    assert len(list(out.glob("*.svg"))) == (5 if replicates == 1 else 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "at least one model"),
        (["--rival", "oracle"], "'rival' is 'oracle'; choose among"),
        (["--rival", "mdn", "--rival", "mdn"], "mdn twice"),
        (["--run", "nowhere"], "no run folder"),
        (["--rival", "logistic", "--target=-9:-10,-7:-5"], "'target' is inverted"),
    ],
)
def test_bad_options_end_in_one_sentence_and_write_nothing(
    toy_path, tmp_path, capsys, options, words
):
    out = tmp_path / "cmp"
    assert run("compare", toy_path, "--reference", toy_path, *options, "--out", out) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("pspgen: error: ")
    assert words in line
    assert not list(tmp_path.iterdir())


def test_data_of_another_preset_or_schema_are_not_compared(tmp_path, capsys, monkeypatch):
    own, other = table(0), table(1)
    wider = ProcessSpace(("T", "t"), (900.0, 1.0), (1200.0, 9.0), ("K", "h"))
    kelvin = FURNACE.model_copy(update={"process": wider})
    known = {
        "own": own,
        "preset": Triads(FURNACE, other.data.assign_attrs(preset="as_stated")),
        "process": Triads(kelvin, other.data),
    }
    monkeypatch.chdir(tmp_path)
    for name, triads in known.items():
        triads.save(name)
    for what in ("preset", "process"):
        options = ["--reference", what, "--rival", "logistic", "--out", tmp_path / "cmp"]
        assert run("compare", "own", *options) == 2
        words = capsys.readouterr().err
        assert f"another {what} than 'triads'" in words
        assert "must not be mixed" in words


def test_every_setting_is_held_out_once_with_all_its_replicates():
    triads = table(3, settings=23, replicates=3)
    seen = []
    for learn, judge in folds_by_setting(triads, 5, seed=1):
        ours, theirs = (set(part.data["phi_index"].values.tolist()) for part in (learn, judge))
        assert not ours & theirs
        assert len(judge) == 3 * len(theirs)
        seen += sorted(theirs)
    assert sorted(seen) == list(range(23))
    with pytest.raises(InputError, match="'k' is 24"):
        next(folds_by_setting(triads, 24))
