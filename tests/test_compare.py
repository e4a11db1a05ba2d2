"""Claims about `pspgen compare`: one table of runs and rivals, from the same materials."""

import json

import pytest
from matplotlib import pyplot as plt

from pspgen_pyro.cli import main
from pspgen_pyro.rivals import RIVALS


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
    options = ["--reference", toy_path, "--rival", "logistic", "--target=horizontal>-8"]
    assert run("compare", toy_path, *options, "--out", out) == 0
    (model,) = json.loads(out.read_text())["models"]
    assert list(model["targets"]) == ["target"]


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


def test_data_of_another_preset_are_not_compared(toy_path, tmp_path, capsys, monkeypatch):
    import pspgen_pyro.data as data

    real = data.open_triads
    seen = []

    def altered(path):
        seen.append(path)
        return real(path) if len(seen) == 1 else real(path).assign_attrs(preset="as_stated")

    monkeypatch.setattr(data, "open_triads", altered)
    options = ["--reference", toy_path, "--rival", "logistic", "--out", tmp_path / "cmp"]
    assert run("compare", toy_path, *options) == 2
    assert "must not be mixed" in capsys.readouterr().err
