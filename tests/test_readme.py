"""Tests for README.md and docs: the examples run, and the links lead somewhere."""

import contextlib
import io
import re
import runpy
import shlex
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch

import pspgen_pyro
from pspgen_pyro.cli import Command, main
from pspgen_pyro.cli.parsing import parsed

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALLER = {"samples=2_000": "samples=40", "samples=400": "samples=3"}
SHORT = {"epochs": 1, "reader_steps": 20, "prior_steps": 20, "progress": False}
PAGES_SMALLER = {
    "hide_properties(100)": "hide_properties(20)",
    "reader_steps=500, prior_steps=1000": "reader_steps=20, prior_steps=20",
    "members=5, workers=2": "members=2",
    'combine="least")': 'combine="least", starts=1)',
    "price=0.02)": "price=0.02, starts=1)",
    "cost=cost, least=": "cost=cost, starts=1, least=",
    "cost=cost, points=5": "cost=cost, starts=1, points=2",
    "budget=500": "budget=20",
    "budget=300": "budget=20",
    "chains=4, draws=250": "chains=4, draws=20, warmup=20",
    "simulations=1000": "simulations=20",
    '.sample("hmc")': '.sample("hmc", chains=4, draws=20, warmup=20)',
}
PAGES = (
    "quickstart",
    "which_model",
    "data",
    "chain",
    "model",
    "training",
    "design",
    "closed_loop",
    "posterior",
    "report",
    "ensembles",
    "how_sure",
    "solver",
    "conduction",
    "estimators",
    "diagnosis",
    "coming_from",
)
OWN_DATA = ("your_data", "campaign")
ELSEWHERE = {
    "calibration": ("test_compare.py", "it needs many materials at each setting"),
    "reference_solver": ("test_properties.py", "DOLFINx is an extra and compiles its forms"),
    "rivals": ("test_rivals.py", "five rivals are trained"),
    "sharp_bits": ("test_faults.py", "a script must start it"),
    "study": ("test_study_runs.py", "it is a study"),
}
"""The pages whose examples do not run here: where the same is tested, and why."""


def blocks(text):
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def code():
    (block,) = blocks(README)
    return block


def smaller(text):
    for large, small in (SMALLER | PAGES_SMALLER).items():
        text = text.replace(large, small)
    return text


def run(block, space):
    """Runs a block, at a small size, among the names of `space`, and adds what it defines."""
    Path("block.py").write_text(smaller(block), encoding="utf-8")
    space.update(runpy.run_path("block.py", space))


def test_the_twenty_lines_are_about_twenty():
    lines = [line for line in code().splitlines() if line.strip() and line[0] != "#"]
    assert len(lines) <= 20


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder in which the twenty lines ran, what they defined, and what they printed."""
    folder, space, printed = tmp_path_factory.mktemp("readme"), {}, io.StringIO()
    short = partial(pspgen_pyro.fit, **SHORT)
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(printed),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(pspgen_pyro, "fit", short, raising=False)
        run(code(), space)
    return folder, space, printed.getvalue()


def test_the_twenty_lines_run_at_a_small_size(ran):
    assert [large for large in SMALLER if large not in code()] == []
    assert "simulated:" in ran[2]


@pytest.mark.usefixtures("few_candidates", "short_refinement")
def test_every_example_of_the_pages_on_the_chain_runs(ran, monkeypatch):
    """In the order of the site, each with what the pages before it made."""
    folder, space, _ = ran
    monkeypatch.chdir(folder)
    torch.set_default_dtype(torch.float32)
    monkeypatch.setattr(pspgen_pyro, "fit", partial(pspgen_pyro.fit, **SHORT), raising=False)
    space["run"].save("run")
    arguments = ["--target=-10:-9,-7:-5", "--draws", "16", "--starts", "1", "--out", "a.json"]
    assert main(["design", "run", *arguments]) == 0
    space["x"] = space["triads"].data["x"].values[:2]
    for page in PAGES:
        for block in blocks((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")):
            run(block, space)
    plt.close("all")
    assert space["page"].startswith("<!doctype html>")


@pytest.mark.usefixtures("short_refinement")
def test_every_example_of_your_own_data_runs(tmp_path, monkeypatch):
    """A newcomer's folder: the furnace, its table, the tour from top to bottom, and a campaign."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    torch.set_default_dtype(torch.float32)
    monkeypatch.setattr(pspgen_pyro, "fit", partial(pspgen_pyro.fit, **SHORT), raising=False)
    page = (ROOT / "docs" / "your_data.md").read_text(encoding="utf-8")
    furnace, *others = blocks(page.partition("## The same in a shell")[0])
    Path("furnace.py").write_text(furnace, encoding="utf-8")
    space = {}
    campaign = blocks((ROOT / "docs" / "campaign.md").read_text(encoding="utf-8"))
    for block in [*others, *campaign]:
        run(block, space)
    plt.close("all")
    assert Path("filters.csv").exists()


def pages():
    return {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}


def test_every_page_with_examples_runs_or_says_why_not():
    with_examples = {page for page, text in pages().items() if blocks(text)}
    assert with_examples == {*PAGES, *OWN_DATA, *ELSEWHERE}
    assert [test for test, _ in ELSEWHERE.values() if not (ROOT / "tests" / test).exists()] == []


def shell_lines():
    """The lines of every shell block that call `pspgen`."""
    for page, text in {**pages(), "README": README}.items():
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", text, flags=re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words[:1] == ["pspgen"]:
                    yield pytest.param(words[1:], id=f"{page}: {' '.join(words[1:3])}")


@pytest.mark.parametrize("words", list(shell_lines()))
def test_every_line_of_the_shell_is_a_command_with_its_options(words):
    assert parsed(Command, "", words) is not None


def test_every_file_that_the_readme_links_is_there():
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", README) if "://" not in t]
    assert len(targets) >= 5
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_readme_names_every_module_of_the_package():
    folder = Path(pspgen_pyro.__file__).parent
    found = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    ours = {name for name in found if not name.startswith("_")} - {"templates"}
    helpers = {"errors", "io"}
    named = set(re.findall(r"`(\w+)`", README))
    assert ours - helpers - named == set()
