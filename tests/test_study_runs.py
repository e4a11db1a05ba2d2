"""Tests for the study's runs: one folder from data to page, whatever happened in between."""

import json
import re
import xml.etree.ElementTree as ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pspgen_pyro import Box, ProcessSpace
from pspgen_pyro.cli import main
from pspgen_pyro.errors import InputError, MissingDependencyError, TrainingError
from pspgen_pyro.io import optional
from pspgen_pyro.rivals import Predictor
from pspgen_pyro.study import case, models, run_study
from pspgen_pyro.study import study as walk
from pspgen_pyro.study.answers import judged, mean_over_seeds, surface_of
from pspgen_pyro.study.models import best_setting
from pspgen_pyro.study.page import write_page
from pspgen_pyro.study.plan import STUDIES, sizes_of
from pspgen_pyro.study.published import PUBLISHED
from pspgen_pyro.study.steps import Folder

SMALL = {"scale": 0.002, "workers": 1, "seeds": 1, "models": ("default", "forest")}

# case, φ, target and per cent as the project's own account of the paper lists them
LISTED = [
    ("case1", (1, 2), "L", 81.2),
    ("case1", (4.789, 0.2), "M", 30.2),
    ("case1", (9, 1.905), "R", 83.8),
    ("case1", (1.883, 1.367), "L", 65.8),
    ("case1", (8.052, 1.406), "R", 63.4),
    ("case3", (2.095, 1.999), "L", 67.2),
    ("case3", (8.967, 1.11), "R", 62.4),
    ("case3", (5.373, 0.775), "M", 19.6),
    ("case1", (5.335, 0.395), "M", 27.4),
    ("case4", (1, 2), "L", 95.4),
    ("case4", (5.211, 0.2), "M", 61.4),
    ("case4", (9, 2), "R", 93.2),
    ("case4", (1.347, 1.292), "L", 81.6),
    ("case4", (6.803, 0.203), "M", 35.2),
    ("case4", (8.502, 1.213), "R", 77.6),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A whole study of Case 3, as small as it gets: its folder and its results."""
    out = tmp_path_factory.mktemp("study") / "case3"
    return out, run_study("case3", out, **SMALL)


def test_every_answer_stands_beside_its_truth_and_the_published_value(study):
    out, found = study
    told = found["problems"]["calibrated"]
    answered = {(row["model"], row["target"]) for row in told["rows"]}
    models = {row["model"] for row in told["rows"]}
    assert {*SMALL["models"], "the paper's φ_prop"} < models
    assert answered == {(model, target) for model in models for target in "LMR"}
    assert all(0 <= row["truth"] <= 1 and row["truth_error"] > 0 for row in told["rows"])
    page = (out / "index.html").read_text()
    for text in ("calibrated", "Table 2", "67.2", "PSP-GEN, default", "forest weights"):
        assert text in page
    assert json.loads((out / "study_results.json").read_text()) == json.loads(json.dumps(found))


def test_the_best_grid_point_has_no_regret_against_itself(study):
    rows = study[1]["problems"]["calibrated"]["rows"]
    own = [row["regret"] for row in rows if row["model"].startswith("brute force")]
    assert own == [0.0, 0.0, 0.0]


def test_every_figure_opens_and_has_the_axis_labels_its_caption_names(study):
    out, found = study
    assert {"figure8-calibrated", "promises-calibrated"} == set(found["figures"])
    for name, told in found["figures"].items():
        png = out / told["file"]
        assert plt.imread(png).shape[2] == 4
        assert png.stat().st_size <= 150_000
        tree = ElementTree.parse(out / "figures" / f"{name}.svg")
        texts = {"".join(one.itertext()) for one in tree.iter("{http://www.w3.org/2000/svg}text")}
        labels = re.findall("“(.*?)”", told["caption"])
        assert len(labels) >= 2
        assert set(labels) <= texts
        assert f'src="{told["file"]}"' in (out / "index.html").read_text()


@pytest.mark.slow
def test_a_study_killed_twice_ends_with_the_same_numbers(study, tmp_path, monkeypatch):
    """Killed after the first model, then after the fifth simulated φ*."""

    class Killed(BaseException):
        pass

    def fatal(function, calls):
        def killing(*args, **options):
            nonlocal calls
            calls -= 1
            if calls < 0:
                raise Killed
            return function(*args, **options)

        return killing

    out, learned = tmp_path / "case3", []
    for name, calls in (("learn", 1), ("simulate", 5)):
        with monkeypatch.context() as patch:
            patch.setattr(walk, name, fatal(getattr(walk, name), calls))
            with pytest.raises(Killed):
                run_study("case3", out, **SMALL, resume=out.exists())
        assert not (out / "study_results.json").exists()
        learned.append((out / "steps" / "case3-calibrated-default-0.json").stat().st_mtime_ns)
    resumed = run_study("case3", out, **SMALL, resume=True)
    assert learned[0] == learned[1]
    whole = dict(study[1])
    assert set(whole.pop("times")) == set(resumed.pop("times"))
    assert resumed == whole


def test_a_finished_study_is_answered_from_its_folder(study, monkeypatch):
    out, found = study
    monkeypatch.setattr(walk, "learn", None)
    monkeypatch.setattr(walk, "simulate", None)
    assert run_study("case3", out, **SMALL, resume=True) == found


def test_a_training_that_fails_is_told_and_takes_nothing_else_with_it(study, monkeypatch):
    def failing(*_):
        raise TrainingError("the loss became nan")

    monkeypatch.setitem(models._RECIPES, "mixture", failing)
    out, found = study
    problem = {"problem": ("case3", "calibrated"), "model": "mixture", "seed": 0}
    stores = {"train": "case3-calibrated-train.zarr", "settings": "case3-calibrated-reference"}
    sizes = found["sizes"]
    told = models.learn(Folder(out, out / "data"), name="x", sizes=sizes, **problem, **stores)
    assert told["points"] == []
    assert told["notes"] == {"failed": "the loss became nan"}
    one = dict(found["problems"]["calibrated"], notes={"x": told["notes"]})
    page = write_page(found | {"problems": {"calibrated": one}})
    assert "failed, so it has no row: the loss became nan" in page


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, "go on with 'resume'"),
        ({"scale": 0.004, "resume": True}, "a study whose scale is 0.002, not 0.004"),
        ({"name": "case2", "resume": True}, "a study whose name is 'case3', not 'case2'"),
        ({"models": ("forest",), "resume": True}, "a study whose models is"),
    ],
)
def test_a_folder_of_another_study_is_refused(study, changed, sentence):
    options = {"name": "case3", **SMALL, **changed}
    with pytest.raises(InputError, match=sentence):
        run_study(out=study[0], **options)


def test_a_folder_that_is_no_study_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="which exists and is no study"):
        run_study("case3", tmp_path, **SMALL, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"name": "case6"}, "'name' is 'case6'; choose one of case1, "),
        ({"scale": 0}, "'scale' is 0; give a number above 0 and at most 1"),
        ({"scale": 1.5}, "'scale' is 1.5; give"),
        ({"scale": float("nan")}, "'scale' is nan; give"),
        ({"models": ("oracle",)}, "'models' has 'oracle'; choose among published, "),
        ({"models": ()}, "'models' is empty"),
        ({"seeds": 0}, "'seeds' is 0; give a whole number"),
        ({"workers": 0}, "'workers' is 0"),
    ],
)
def test_bad_input_is_a_sentence_and_makes_no_folder(tmp_path, changed, sentence):
    options = {"name": "case3", **SMALL, **changed}
    with pytest.raises(InputError, match=re.escape(sentence)):
        run_study(out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_the_command_says_the_same(tmp_path, capsys):
    assert main(["study", "case1", "--scale", "1.5", "--out", str(tmp_path / "out")]) == 2
    assert "'scale' is 1.5" in capsys.readouterr().err


def test_without_gpytorch_one_sentence_names_the_extra(tmp_path, monkeypatch):
    def absent(module):
        raise ModuleNotFoundError(module)

    monkeypatch.setattr(optional, "import_module", absent)
    with pytest.raises(MissingDependencyError, match=r"pspgen-pyro\[study\]"):
        run_study("case1", tmp_path / "out", models=("comparison_tuned",))


@pytest.mark.parametrize(("name", "phi", "target", "percent"), LISTED)
def test_the_published_values_are_those_of_the_projects_account(name, phi, target, percent):
    found = {(p.phi, p.percent) for rows in PUBLISHED[name].values() for p in [rows[target]]}
    assert (tuple(map(float, phi)), percent) in found


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_printed_setting_is_one_of_the_case_and_of_its_targets(name):
    chosen = case(name)
    for rows in PUBLISHED[name].values():
        assert set(rows) == set(chosen.targets)
        chosen.process.check([point.phi for point in rows.values()])


class Hill(Predictor):
    """P is a cone over a place of the unit square."""

    name, property_names = "hill", ("m",)
    process = ProcessSpace(("a", "b"), (0.0, 0.0), (1.0, 1.0))

    def __init__(self, place):
        self.place = place

    def probability(self, target, phi):
        return 1 - np.linalg.norm(np.asarray(phi) - self.place, axis=-1) / 2

    log_density = sample = _like = None


@pytest.mark.parametrize("place", [(1.0, 0.0), (0.37, 0.91), (0.5, 1.0)])
def test_scattering_finds_the_top_of_a_hill_inside_and_on_the_bounds(place):
    phi, p = best_setting(Hill(place), Box((0,), (1,)), scouts=256)
    assert phi == pytest.approx(place, abs=2e-3)
    assert p == pytest.approx(1, abs=1e-3)


def test_regret_counts_the_same_materials_at_both_settings():
    """40 and 30 of 100 inside, all 30 among the 40: the difference is 10 points, and noise of
    materials that both share is not in it."""
    best, here = np.full((100, 1), 2.0), np.full((100, 1), 2.0)
    best[:40], here[:30] = 0.5, 0.5
    point = {"own": 0.5, "error": None, "phi": [0.0]}
    found = judged(point, Box((0,), (1,)), here, best)
    assert found["regret"] == pytest.approx(10.0)
    assert found["regret_error"] == pytest.approx(100 * np.sqrt(0.1 * 0.9 / 99))
    assert (found["truth"], found["gap"]) == pytest.approx((0.3, 0.2))


def test_a_mean_over_seeds_is_no_surer_than_the_simulations_they_share():
    rows = [{"phi": [0.0], "truth": 0.4, "truth_error": 0.02}] * 3
    found = mean_over_seeds(rows)
    assert (found["truth"], found["truth_error"]) == pytest.approx((0.4, 0.02))
    apart = [row | {"truth": value} for row, value in zip(rows, (0.3, 0.4, 0.5), strict=True)]
    assert mean_over_seeds(apart)["truth_error"] == pytest.approx(np.hypot(0.1 / 3**0.5, 0.02))


def test_the_error_of_a_surface_is_of_the_size_of_its_standard_error():
    rng, truth = np.random.default_rng(0), np.full(400, 0.3)
    found = [
        surface_of(truth + 0.1, rng.binomial(100, 0.3, 400) / 100, np.full(400, 100))
        for _ in range(200)
    ]
    rmse = np.array([one["rmse"] for one in found])
    assert rmse.mean() == pytest.approx(0.1, abs=0.002)
    assert rmse.std() == pytest.approx(np.mean([one["rmse_error"] for one in found]), rel=0.25)


@pytest.mark.parametrize("name", STUDIES[:5])
def test_sizes_grow_with_the_scale_up_to_the_papers(name):
    sizes = [sizes_of(name, scale) for scale in (0.001, 0.01, 0.1, 1.0)]
    for field in ("settings", "test", "points", "fresh", "epochs", "effort"):
        numbers = [getattr(one, field) for one in sizes]
        assert numbers == sorted(numbers)
    full, train = sizes[-1], case(name).splits["train"]
    assert (full.settings, full.replicates) == (train.points, train.replicates)
    assert full.points in (0, 20)
    assert full.each == (60 if name == "case4" else 500) or not full.points


@pytest.mark.slow
def test_two_workers_find_what_one_finds(study, tmp_path):
    found = run_study("case3", tmp_path / "case3", **SMALL | {"workers": 2})
    assert found["problems"] == study[1]["problems"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("case1", ["figure3", "figure4"]),
        ("case2", ["figure7"]),
        ("case5", ["figure11"]),
        ("latents", ["figure5", "figure6"]),
        ("beta", ["appendixB"]),
    ],
)
def test_the_other_parts_make_their_figures(tmp_path, name, figures):
    found = run_study(name, tmp_path / name, **SMALL)
    drawn = {one.partition("-")[0] for one in found["figures"]}
    assert set(figures) <= drawn
    for one in found["figures"]:
        tree = ElementTree.parse(tmp_path / name / "figures" / f"{one}.svg")
        texts = {"".join(t.itertext()) for t in tree.iter("{http://www.w3.org/2000/svg}text")}
        assert set(re.findall("“(.*?)”", found["figures"][one]["caption"])) <= texts
