"""Tests for the pspgen_pyro.report package: what the page says is what the numbers say."""

import html
import json
import re
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tyro
import xarray as xr

from pspgen_pyro import fit, generate
from pspgen_pyro.cli import main
from pspgen_pyro.cli.fit import Fit, options_of
from pspgen_pyro.data import Triads
from pspgen_pyro.design import Box, Estimate
from pspgen_pyro.diagnosis.surfaces import model_slices
from pspgen_pyro.errors import DataError, InputError
from pspgen_pyro.model import PSPGen
from pspgen_pyro.process import ProcessSpace
from pspgen_pyro.report import (
    Answer,
    SolvedImages,
    comparison,
    judge,
    materials_at,
    model_surface,
    read_answer,
    reference_surface,
    sections,
    summarise,
    surface_error,
    write_page,
)
from pspgen_pyro.report.sections import faithfulness
from pspgen_pyro.runs import Run, load_run
from pspgen_pyro.schema import Microstructure, Schema
from pspgen_pyro.training.checkpoint import History

BOX = Box((-10, -7), (-9, -5))


def estimate(value, error=0.02):
    return Estimate(np.array(value), np.array(error))


def answer(model, simulated=None, *, error=0.02, name="L"):
    checked = None if simulated is None else estimate(simulated, error)
    return Answer(name, BOX, np.array([5.0, 1.0]), estimate(model, error), checked)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store of triads, a run on it, and one verified answer, all small."""
    path = tmp_path_factory.mktemp("report")
    generate("case1", path / "triads.zarr", samples=80, seed=3)
    triads = Triads.open(path / "triads.zarr")
    few = {"epochs": 2, "reader_steps": 20, "prior_steps": 20, "latent": 4}
    fit(triads, **few, process_latent=2, progress=False).save(path / "run")
    code = main(
        ["design", str(path / "run"), "--target=-10:-9,-7:-5", "--verify", "10"]
        + ["--draws", "32", "--starts", "2", "--out", str(path / "design.json")]
    )
    assert code == 0
    return path


@pytest.fixture(autouse=True)
def _coarse(monkeypatch, few_candidates):
    """Pages with few points and images: their numbers are checked elsewhere."""
    coarse = {"points": 4, "draws": 16}
    monkeypatch.setattr(comparison, "model_surface", partial(model_surface, **coarse))
    monkeypatch.setattr(sections, "model_slices", partial(model_slices, **coarse))


@pytest.fixture
def run(folder):
    return load_run(folder / "run")


@pytest.fixture
def triads(folder):
    return Triads.open(folder / "triads.zarr")


def with_data(triads, data):
    return Triads(triads.schema, data)


def on_a_grid(triads, replicates=5):
    """Triads whose φ form a 4 × 4 grid."""
    part = triads.data.isel(sample=slice(0, 16 * replicates)).load()
    phi = triads.schema.process.grid(4)
    index = np.repeat(np.arange(16), replicates)
    part["phi"] = (("sample", "parameter"), phi[index])
    part["phi_index"] = ("sample", index)
    return with_data(triads, part)


@pytest.mark.parametrize(
    ("model", "simulated", "level", "words"),
    [
        (0.81, 0.80, "agree", "They agree"),
        (0.87, 0.80, "differ", "promises too much"),
        (0.60, 0.80, "differ much", "promises too little"),
    ],
)
def test_more_than_two_standard_errors_is_a_disagreement_and_the_words_say_which_way(
    model, simulated, level, words
):
    verdict = judge(answer(model, simulated))
    assert verdict.level == level
    assert words in verdict.sentence
    assert verdict.difference == pytest.approx(model - simulated)


def test_a_large_but_uncertain_difference_is_no_disagreement():
    assert judge(answer(0.5, 0.8, error=0.2)).level == "agree"


def test_an_answer_without_simulations_is_called_unchecked_and_never_agreeing():
    assert judge(answer(0.9)).level == "unchecked"
    assert "No answer was checked" in summarise([answer(0.9)])


def test_the_summary_names_every_answer_that_disagrees():
    words = summarise([answer(0.8, 0.8), answer(0.3, 0.8, name="R"), answer(0.9)])
    assert words.startswith("For 1 of 2 checked answers")
    assert "R (−0.500)" in words
    assert "1 answer(s) were not checked" in words


def test_noise_alone_gives_no_error_and_a_true_error_is_found():
    """A reference of n = 50 counts on 400 points: the truth scores below, a shift of 0.1 above."""
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.1, 0.9, 400)
    counted = rng.binomial(50, truth) / 50
    same, shifted = (surface_error(p, counted, 50) for p in (truth, truth - 0.1))
    assert same.rmse <= same.resolution < 0.05
    assert same.raw > 0.05
    assert shifted.rmse == pytest.approx(0.1, abs=0.02)


def test_noise_exceeds_the_resolution_about_once_in_forty():
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.1, 0.9, 200)
    errors = [surface_error(truth, rng.binomial(30, truth) / 30, 30) for _ in range(400)]
    assert 0.005 < np.mean([error.rmse > error.resolution for error in errors]) < 0.05


def test_one_material_a_point_cannot_have_its_noise_taken_off():
    with pytest.raises(InputError, match="'samples' is 1"):
        surface_error([0.5], [1.0], 1)


def test_the_reference_surface_counts_each_grid_point_whatever_the_order(triads):
    grid = on_a_grid(triads).data
    shuffled = grid.isel(sample=np.random.default_rng(0).permutation(80))
    one, two = (reference_surface(Triads(triads.schema, data), BOX) for data in (grid, shuffled))
    xr.testing.assert_equal(one, two)
    share = BOX.contains(grid["m"].values[:5]).mean()
    assert float(one["probability"][0, 0]) == share
    assert (one["samples"] == 5).all()


def test_a_failed_simulation_is_no_miss(triads):
    grid = on_a_grid(triads)
    grid.data["m"][0] = np.nan
    counted = reference_surface(grid, BOX)
    assert int(counted["samples"][0, 0]) == 4


def test_triads_without_a_grid_are_no_reference(triads):
    with pytest.raises(InputError, match="no full grid"):
        reference_surface(triads, BOX)


def test_the_model_surface_is_the_probability_at_its_coordinates(run):
    from pspgen_pyro.design import probability

    surface = model_surface(run.model, BOX, points=3, draws=16, replicates=2)
    phi = [float(surface["phi1"][2]), float(surface["phi2"][1])]
    alone = probability(run.model, BOX, phi, draws=16, replicates=2)
    assert float(surface["probability"][2, 1]) == pytest.approx(float(alone.value), rel=1e-4)


def test_simulated_and_generated_materials_are_judged_by_the_same_solver(run, triads):
    from pspgen_pyro import permeability

    for kind in materials_at(run, np.array([5.0, 1.0]), triads, count=3):
        assert kind.x.shape == (3, 36, 36)
        solvable = ~kind.x.all(axis=(1, 2))
        np.testing.assert_allclose(kind.m[solvable], np.log(permeability(kind.x[solvable])))
        assert np.isnan(kind.m[~solvable]).all()


def test_a_chain_of_ones_own_is_shown_by_its_nearest_training_triads(run, triads):
    own = replace(run, data=run.data | {"case": "mine"})
    phi = triads.data["phi"].values[7]
    real, generated = materials_at(own, phi, triads, count=4)
    assert real.source == "training triads nearest to φ*"
    assert any((image == triads.data["x"].values[7]).all() for image in real.x)
    assert np.isnan(generated.m).all()


def test_the_page_is_one_file_that_loads_nothing(folder, run, triads):
    answers = [read_answer(folder / "design.json", run)]
    page = write_page(run, triads, answers, materials=4)
    assert not re.search(r"<(script|link|iframe|img)\b|@import|src=|url\(http", page)
    assert set(re.findall(r'href="(#|data:|.*?")', page)) <= {"#", "data:"}
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))


def test_the_page_gives_the_numbers_the_verdict_and_their_story(folder, run, triads):
    found = read_answer(folder / "design.json", run)
    page = write_page(run, triads, [found], materials=4, commands=["pspgen fit triads.zarr"])
    for words in (
        str(found.model),
        f"{float(found.simulated.value):.3f} ±",
        judge(found).level,
        "data: preset",
        "calibrated",
        "data: formulation",
        "report: cores",
        "pspgen fit triads.zarr",
        "void percolates, horizontal",
    ):
        assert words in page


def test_the_page_with_a_reference_shows_both_surfaces_and_their_error(folder, run, triads):
    answers = [read_answer(folder / "design.json", run)]
    page = write_page(run, triads, answers, on_a_grid(triads), materials=4)
    assert "simulated 5 materials at each of 16 settings" in page
    assert "RMSE, noise taken off" in page


def test_the_page_says_when_the_triads_are_not_those_of_the_run(run, triads):
    other = with_data(triads, triads.data.assign_attrs(seed=99))
    assert "These are not the triads that the run was trained on" in write_page(run, other)
    assert "These are not the triads" not in write_page(run, triads)


def test_the_same_inputs_give_the_same_page(run, triads):
    assert write_page(run, triads) == write_page(run, triads)


def own_run(properties, parameters=2, images=None, count=60):
    """A run, its triads and an answer of data of one's own, untrained."""
    rng, names = np.random.default_rng(0), tuple(f"p{j}" for j in range(parameters))
    process = ProcessSpace(names, (0.0,) * parameters, (1.0,) * parameters, ("K",) * parameters)
    images = images or Microstructure(shape=(8, 6), periodic=False)
    schema = Schema(process=process, microstructure=images, properties=properties)
    m = rng.normal(size=(count, len(properties)))
    m[0, 0] = np.nan
    data = xr.Dataset(
        {
            "phi": (("sample", "parameter"), process.sample(count, rng)),
            "x": (("sample", "row", "column"), rng.integers(0, 2, (count, *images.shape))),
            "m": (("sample", "property"), m),
            "fold": ("sample", np.arange(count) % 5 == 0),
            "phi_index": ("sample", np.arange(count)),
        }
    )
    model = PSPGen.paper(schema, latent=4, process_latent=2).eval()
    target = Box((-1.0,) * len(properties), (1.0,) * len(properties), "as wanted")
    phi = np.full(parameters, 0.5)
    found = Answer("mine", target, phi, estimate(0.4), estimate(0.5), np.nan_to_num(m[:20]))
    triads = Triads(schema, data)
    return Run(model, [History()], {"samples": count}, {}), triads, found


@pytest.mark.parametrize(
    "properties",
    [("strength [MPa]",), ("k [m^2] log", "strength [MPa]", "porosity logit limits=0:1")],
)
def test_the_page_of_data_of_ones_own_says_nothing_of_the_study(properties):
    run, triads, found = own_run(properties)
    page = html.unescape(write_page(run, triads, [found], materials=4))
    for word in ("cell area", "percolates", "blocked", "formulation", "preset", "discretisation"):
        assert word not in page
    for words in ("as wanted", "strength [MPa]", "p0 = 0.5 K", f"{found.name}-cloud", "unknown"):
        assert words in page
    assert "<td>1 triads</td>" in page


def test_ten_parameters_are_shown_by_slices():
    run, triads, found = own_run(("a", "b"), parameters=10)
    page = write_page(run, triads, [found], materials=2)
    assert "along each process parameter" in page
    with pytest.raises(InputError, match="'reference' has 10 process parameters"):
        write_page(run, triads, [found], triads)


def test_triads_of_another_preset_are_refused(run, triads):
    other = with_data(triads, triads.data.assign_attrs(preset="as_stated"))
    with pytest.raises(InputError, match="'triads' was made with preset"):
        write_page(run, other)
    with pytest.raises(InputError, match="'reference' was made with preset"):
        write_page(run, triads, [], other)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"phi": 3}', "null", "not JSON"])
def test_a_file_that_is_no_answer_is_refused_in_one_sentence(tmp_path, run, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match="a.json"):
        read_answer(tmp_path / "a.json", run)


def test_a_missing_answer_is_refused(tmp_path, run):
    with pytest.raises(DataError, match="cannot be read"):
        read_answer(tmp_path / "none.json", run)


def test_an_answer_of_another_run_is_refused(folder, tmp_path, run):
    content = json.loads((folder / "design.json").read_text())
    content["data"]["seed"] = 77
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="an answer of a run on"):
        read_answer(tmp_path / "a.json", run)


def test_an_answer_of_another_model_on_the_same_data_is_refused(folder, tmp_path, run):
    content = json.loads((folder / "design.json").read_text())
    content["model"]["promised"] += 0.3
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="where this run's gives"):
        read_answer(tmp_path / "a.json", run)


def arguments(folder, out):
    return ["report", str(folder / "run"), "--triads", str(folder / "triads.zarr")] + [
        "--designs",
        str(folder / "design.json"),
        "--out",
        str(out),
    ]


def test_the_command_writes_the_page_with_the_commands_that_make_it_again(folder, tmp_path):
    assert main(arguments(folder, tmp_path / "report.html")) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    for words in ("pspgen simulate case1", "--samples 80", "--draws 32 --seed 0", "--epochs 2"):
        assert words in page


@pytest.mark.parametrize("bootstrap", [True, False])
def test_the_fit_command_of_the_page_asks_for_what_was_trained(folder, bootstrap):
    at, out = Path("t.zarr"), Path("run")
    asked = Fit(at, out, members=2, bootstrap=bootstrap, prior_steps=7, seed=3)
    run = replace(load_run(folder / "run"), training={"settings": asked.given()})
    words = ["t.zarr", *shlex.split(shlex.join(options_of(run))), "--out", "run"]
    assert tyro.cli(Fit, args=words, config=(tyro.conf.FlagCreatePairsOff,)) == asked


def test_the_command_never_writes_over_a_file(folder, tmp_path, capsys):
    (tmp_path / "report.html").write_text("mine")
    assert main(arguments(folder, tmp_path / "report.html")) == 2
    assert "'out'" in capsys.readouterr().err
    assert (tmp_path / "report.html").read_text() == "mine"


def test_generated_images_of_another_void_fraction_are_never_said_to_agree():
    """Both kinds meet the target equally often: P alone would not tell them apart."""
    rng = np.random.default_rng(0)
    m, images = rng.normal((-9.5, -6.0), 0.1, (100, 2)), Microstructure(shape=(12, 12))
    one, two, other = (
        SolvedImages(str(void), (rng.random((100, 12, 12)) < void).astype(np.uint8), m, images)
        for void in (0.6, 0.6, 0.8)
    )
    assert "agree with the real ones" in faithfulness(one, two, BOX)
    assert "disagree with the real ones in: void fraction" in faithfulness(one, other, BOX)


def test_a_target_with_open_sides_or_of_several_boxes_is_reported_like_any_other(folder, tmp_path):
    text = "ln horizontal<-9,vertical>9e-4;ln vertical in [-7, -5]"
    answer = tmp_path / "several.json"
    options = [f"--target={text}", "--verify", "6", "--out", str(answer)]
    assert main(["design", str(folder / "run"), *options]) == 0
    command = ["report", str(folder / "run"), "--triads", str(folder / "triads.zarr")]
    assert main([*command, "--designs", str(answer), "--out", str(tmp_path / "r.html")]) == 0
    page = html.unescape((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert text in page
    assert "ln horizontal < -9 and vertical > 9e-4 or ln vertical in [-7, -5]" in page
