"""Claims about the command line: the whole chain at toy size, and one sentence for every bad
input."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import zarr

from pspgen_pyro.cli import main
from pspgen_pyro.data import Triads
from pspgen_pyro.runs.folder import seal


def run(*args):
    try:
        return main([str(arg) for arg in args])
    except SystemExit as exit_:
        return exit_.code


def refused(capsys, *args):
    """The one sentence on standard error of a command that must exit with 2."""
    assert run(*args) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = [li for li in captured.err.splitlines() if li.startswith("pspgen: error: ")]
    return line


@pytest.mark.usefixtures("few_candidates")
def test_the_demo_runs_end_to_end_at_toy_size(tmp_path, capsys, monkeypatch):
    from pspgen_pyro.training import Epochs, PriorStage, ReaderStage

    stages = (ReaderStage(steps=20), PriorStage(steps=20), Epochs())
    monkeypatch.setattr("pspgen_pyro.runs.fitting.STAGES", stages)
    out = tmp_path / "demo"
    options = ["--samples", 200, "--epochs", 2, "--verify", 12, "--reference", 0, "--workers", 1]
    assert run("demo", "--out", out, *options) == 0
    printed = capsys.readouterr().out
    for name in "LMR":
        answer = json.loads((out / f"design_{name}.json").read_text())
        assert answer["simulated"]["samples"] == 12
        assert np.shape(answer["simulated_m"]) == (12, 2)
        assert f"--out {out / f'design_{name}.json'}" in printed
    html = (out / "report.html").read_text()
    assert "data:image" in html
    assert "http-equiv" not in html
    assert printed.count("$ pspgen") == 6


def test_design_prints_one_json_object_with_standard_errors(toy_run, capsys):
    assert run("design", toy_run, "--target=-10:-9,-7:-5", "--verify", 8, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer.keys() >= {"phi", "model", "simulated", "difference", "status"}
    for part in ("model", "simulated"):
        assert 0 <= answer[part]["probability"] <= 1
    # the default model integrates exactly, a count never does
    assert answer["model"]["standard_error"] == 0 < answer["simulated"]["standard_error"]
    assert 1 <= answer["phi"]["phi1"] <= 9


def test_the_same_seed_gives_the_same_answer(toy_run, capsys):
    answers = []
    for _ in range(2):
        run("design", toy_run, "--target=-10:-9,-7:-5", "--verify", 4, "--json", "--seed", 5)
        answer = json.loads(capsys.readouterr().out)
        answers.append({k: v for k, v in answer.items() if k != "cpu_seconds"})
    assert answers[0] == answers[1]


def test_design_speaks_in_sentences_for_people(toy_run, capsys):
    assert run("design", toy_run, "--target=-10:-9,-7:-5", "--verify", 4) == 0
    words = capsys.readouterr().out
    assert "m ∈ [-10, -9] × [-7, -5]" in words
    assert "(4 fresh simulations)" in words
    assert "verdict" in words


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("-9:-10,-7:-5", "'target' is inverted"),
        ("-9:-9,-7:-5", "'target' has zero volume"),
        ("", "'target' is ''"),
        ("-10:-9", "'target' has 1 interval"),
        ("nan:-9,-7:-5", "'target' has NaN"),
        ("low:high,-7:-5", "one interval of m a property"),
        ("horizontal>-7", "write ln horizontal for a bound on m"),
        ("k_horizontal>1e-3", "'k_horizontal' is no property here"),
    ],
)
def test_a_bad_target_ends_with_one_sentence_and_code_2(toy_run, capsys, target, words):
    assert words in refused(capsys, "design", toy_run, f"--target={target}")


def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    line = refused(capsys, "design", tmp_path, "--target=-10:-9,-7:-5")
    assert "'run' is" in line
    assert "no run folder" in line


def test_design_refuses_to_overwrite_before_it_computes(toy_run, tmp_path, capsys):
    (tmp_path / "a.json").write_text("mine")
    line = refused(
        capsys, "design", toy_run, "--target=-10:-9,-7:-5", "--out", tmp_path / "a.json"
    )
    assert "which exists" in line
    assert (tmp_path / "a.json").read_text() == "mine"


@pytest.mark.parametrize("option", ["--verify=-1", "--starts=0", "--draws=0"])
def test_design_refuses_a_number_out_of_range(toy_run, capsys, option):
    name = option.strip("-").split("=")[0]
    assert f"'{name}'" in refused(capsys, "design", toy_run, "--target=-10:-9,-7:-5", option)


def test_fit_refuses_an_existing_folder_and_leaves_it_alone(toy_path, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    assert "'out' is" in refused(capsys, "fit", toy_path, "--out", tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_fit_refuses_a_zarr_store_that_is_not_a_triads_set(tmp_path, capsys):
    zarr.create_group(tmp_path / "other.zarr").create_array("a", shape=(3,), dtype="f8")
    line = refused(capsys, "fit", tmp_path / "other.zarr", "--out", tmp_path / "run")
    assert "not a triads" in line
    assert [p.name for p in tmp_path.iterdir()] == ["other.zarr"]


def test_fit_refuses_numbers_that_are_not_positive_and_writes_nothing(toy_path, tmp_path, capsys):
    for option in (
        "--epochs=-1",
        "--batch-size=0",
        "--latent=0",
        "--learning-rate=0",
        "--members=0",
        "--workers=2",
    ):
        assert "'" in refused(capsys, "fit", toy_path, "--out", tmp_path / "run", option)
    assert list(tmp_path.iterdir()) == []


def test_simulate_refuses_an_existing_store_and_a_number_that_is_not_positive(
    toy_path, tmp_path, capsys
):
    assert "exist" in refused(capsys, "simulate", "case1", "--samples", 4, "--out", toy_path)
    refused(capsys, "simulate", "case1", "--samples", 0, "--out", tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_case_is_refused_with_code_2(tmp_path, capsys):
    assert run("simulate", "case9", "--out", tmp_path / "a.zarr") == 2
    assert "case9" in capsys.readouterr().err


def test_an_interrupted_fit_goes_on_only_when_asked_to(toy_path, tmp_path, capsys, monkeypatch):
    from pspgen_pyro.training import Epochs

    options = ["fit", toy_path, "--out", tmp_path / "run", "--epochs", 3, "--latent", 8]
    options += ["--reader-steps", 20, "--prior-steps", 20]
    calls = []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args)

    original = Epochs._step
    with monkeypatch.context() as patch:
        patch.setattr(Epochs, "_step", interrupted)
        assert run(*options) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["run.partial"]
    capsys.readouterr()
    assert "add --resume" in refused(capsys, *options)
    assert run(*options, "--resume") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def quickly_fitted(triads, folder, *options, reader=5):
    """The run that `pspgen fit` writes after hardly any steps and no epoch."""
    from pspgen_pyro import load_run

    few = ["--reader-steps", reader, "--prior-steps", 5, "--epochs", 0]
    assert run("fit", triads, "--out", folder, *few, *options) == 0
    return load_run(folder)


def weights(module):
    return torch.cat([parameter.flatten() for parameter in module.parameters()])


@pytest.mark.slow
def test_fit_learns_the_reader_from_the_labels_alone_and_the_prior_from_the_pairs_too(
    toy_path, toy_triads, tmp_path
):
    from pspgen_pyro import generate

    generate("case1", tmp_path / "pairs.zarr", samples=40, seed=4)
    labels, pairs = ["--labels", 100], ["--pairs", tmp_path / "pairs.zarr"]
    alone = quickly_fitted(toy_path, tmp_path / "a", *labels, reader=100)
    found = quickly_fitted(toy_path, tmp_path / "b", *labels, *pairs, reader=100)
    assert found.histories[0].read == ["horizontal", "vertical"]
    assert found.training["settings"]["pairs"]["samples"] == 40
    readers = [run.model.encoder.reader for run in (alone, found)]
    assert torch.equal(*map(weights, readers))
    assert not torch.equal(weights(found.model.prior), weights(alone.model.prior))


def test_the_command_and_the_call_make_the_same_run(toy_path, toy_triads, tmp_path):
    from pspgen_pyro import fit

    torch.set_default_dtype(torch.float32)
    few = {"reader_steps": 5, "prior_steps": 5, "epochs": 0}
    quickly_fitted(toy_path, tmp_path / "command")
    fit(toy_triads, progress=False, **few).save(tmp_path / "call")
    for name in ("model-1.safetensors", "support.safetensors"):
        assert (tmp_path / "command" / name).read_bytes() == (
            tmp_path / "call" / name
        ).read_bytes()
    one, other = (json.loads((tmp_path / p / "run.json").read_text()) for p in ("command", "call"))
    for story in (one, other):
        del story["training"]["environment"]
    assert one == other


SIMULATOR = """
import numpy as np

def pores(phi, seeds):
    draws = [np.random.default_rng(seed).normal(size=2) for seed in seeds]
    x = np.zeros((len(phi), 36, 36), dtype=int)
    return x, np.exp(np.array(draws) - 7)

def one_value(phi, seeds):
    return phi[:, :1]

def chain():
    from pspgen_pyro import case

    return case("case1").chain

broken = 1
"""


@pytest.fixture
def simulator(tmp_path, monkeypatch):
    """A module of the working folder, under a name that no other test has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"furnace_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(SIMULATOR)
    (tmp_path / f"{name}_fails.py").write_text("1 / 0")
    return name


@pytest.mark.usefixtures("short_refinement")
def test_design_and_loop_ask_a_function_of_ones_own(toy_run, toy_path, simulator, capsys):
    ask = ["--target=horizontal>1e-4", "--simulator", f"{simulator}:pores", "--json"]
    assert run("design", toy_run, *ask, "--verify", 30) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["target"]["words"] == "horizontal > 1e-4"
    assert answer["simulated"]["probability"] > 0.9
    assert run("loop", toy_run, "--triads", toy_path, *ask, "--budget", 20) == 0
    assert json.loads(capsys.readouterr().out)["calls"] == 20


def test_a_function_that_returns_a_chain_is_that_chain(toy_run, simulator, capsys):
    ask = ["design", toy_run, "--target=horizontal>1e-4", "--verify", 2, "--json", "--starts", 1]
    answers = []
    for options in ([], ["--simulator", f"{simulator}:chain"]):
        assert run(*ask, *options) == 0
        answers.append(json.loads(capsys.readouterr().out)["simulated"])
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pores", "write module:function"),
        ("no_such_module:pores", "no module 'no_such_module'"),
        ("{}:nothing", "has no 'nothing'; it has chain, one_value, pores"),
        ("{}:broken", "is 'int'; give a chain, or a function"),
        ("{}:one_value", "returned values of shape (4, 1) for 4 settings"),
        ("{}_fails:pores", "fails when it is imported: ZeroDivisionError"),
    ],
)
def test_a_simulator_that_cannot_be_asked_ends_with_one_sentence(
    toy_run, simulator, capsys, text, words
):
    options = ["--verify", 4, "--simulator", text.format(simulator)]
    assert words in refused(capsys, "design", toy_run, "--target=horizontal>1e-4", *options)


def test_pairs_of_another_case_are_refused(toy_path, tmp_path, capsys):
    from pspgen_pyro import generate

    generate("case3", tmp_path / "pairs.zarr", samples=20, seed=4)
    options = ["--pairs", tmp_path / "pairs.zarr", "--out", tmp_path / "run"]
    assert "'pairs' was made with case 'case3'" in refused(capsys, "fit", toy_path, *options)


def test_a_reader_that_leaves_early_sees_no_traceback(toy_path):
    command = f"{sys.executable} -m pspgen_pyro data info {toy_path} | head -1"
    seen = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert seen.stderr == ""
    assert "240 triads" in seen.stdout


@pytest.mark.usefixtures("short_refinement")
def test_the_loop_spends_its_budget_and_keeps_what_it_simulated(
    toy_run, toy_path, tmp_path, capsys
):
    out, refined = tmp_path / "loop.json", tmp_path / "refined"
    target = "--target=-10:-9,-7:-5"
    options = ["--budget", 20, "--precision", 0.001, "--out", out, "--refined", refined]
    assert run("loop", toy_run, "--triads", toy_path, target, *options) == 0
    words = capsys.readouterr().out
    assert "m ∈ [-10, -9] × [-7, -5]" in words
    assert "by the model and the simulations together" in words
    answer = json.loads(out.read_text())
    assert answer["calls"] == 20
    assert answer["rounds"][-1]["phi"] == list(answer["phi"].values())
    assert np.shape(answer["simulations"]["phi"]) == (20 - answer["failed"], 2)
    assert 0 < answer["probability"]["standard_error"] < 0.5
    assert answer["status"].startswith("budget spent")
    assert run("design", refined, target, "--json") == 0
    assert json.loads(capsys.readouterr().out)["phi"].keys() == answer["phi"].keys()


def test_the_loop_refuses_triads_that_the_run_was_not_trained_on(toy_run, tmp_path, capsys):
    other = tmp_path / "other.zarr"
    assert run("simulate", "case1", "--samples", 20, "--seed", 9, "--out", other) == 0
    capsys.readouterr()
    line = refused(capsys, "loop", toy_run, "--triads", other, "--target=-10:-9,-7:-5")
    assert "differs in seed and samples and digest" in line


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--budget=0", "'budget' is 0"),
        ("--precision=0", "'precision' is 0"),
        ("--pairs={}", "trained without any; leave it out"),
        ("--refined=.", "'refined' is '.', which exists"),
    ],
)
def test_the_loop_refuses_what_it_cannot_do(toy_run, toy_path, capsys, option, words):
    asked = ["loop", toy_run, "--triads", toy_path, "--target=-10:-9,-7:-5"]
    assert words in refused(capsys, *asked, option.format(toy_path))


@pytest.mark.parametrize("command", ["design", "loop"])
def test_a_run_of_a_chain_of_ones_own_is_not_simulated_by_another(
    toy_run, toy_triads, tmp_path, capsys, command
):
    own = tmp_path / "run"
    shutil.copytree(toy_run, own)
    story = json.loads((own / "run.json").read_text())
    story["data"]["case"] = "mine"
    (own / "run.json").write_text(json.dumps(story))
    seal(own)
    triads = tmp_path / "triads.zarr"
    data = toy_triads.data.assign_attrs(case="mine")
    Triads(toy_triads.schema, data).save(triads)
    options = ["--verify", 4] if command == "design" else ["--triads", triads]
    line = refused(capsys, command, own, "--target=-10:-9,-7:-5", *options)
    assert "'simulator' is missing" in line
