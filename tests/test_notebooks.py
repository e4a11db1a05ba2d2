"""Tests for the notebooks: stored outputs of one whole run, and essays that still run and hold."""

import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = (
    "01_process_to_structure",
    "02_structure_to_property",
    "03_learn_the_chain",
    "04_inverse_design",
    "05_can_we_trust_it",
    "06_your_own_process",
    "07_eight_experiments_a_week",
)
LONG = ("03", "04", "05", "06", "07")
CLAIMS = {
    # the void fraction is 0.58 by construction, to the nearest of 1,296 pixels
    "01_process_to_structure": ("[before.min(), before.max()]", 0.58, 0.5 / 1296),
    # the element's discrete answer for a channel is known
    "02_structure_to_property": (
        "[(error * widths**2).min(), (error * widths**2).max()]",
        -1,
        1e-6,
    ),
    # the closed forms over a partition of property space add up
    "03_learn_the_chain": ("[total.min(), total.max()]", 1, 1e-5),
    # chains and grid are two roads to one posterior mean, whatever the model is worth
    "04_inverse_design": ("off", 0, 5),
    # the sampler's smallest p-value among four, whatever the model is worth
    "05_can_we_trust_it": ("[smallest]", 0.5005, 0.4995),
    # layers between plates conduct by the arithmetic and the harmonic mean
    "06_your_own_process": ("known", 1, 1e-9),
    # 2,000 prints of one setting, against the law that they are drawn from
    "07_eight_experiments_a_week": ("[counted - exact]", 0, 0.04),
}


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shows_a_figure(cell):
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def test_the_notebooks_are_those_of_the_folder():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_a_short_essay_whose_last_words_read_its_last_figure(name):
    notebook = read(name)
    cells = code_cells(notebook)
    assert 5 <= len(cells) <= 15
    assert shows_a_figure(cells[-1])
    assert [cell.cell_type for cell in notebook.cells[-2:]] == ["code", "markdown"]
    assert any(letter.isdigit() for letter in notebook.cells[-1].source)


@pytest.mark.parametrize("name", NAMES)
def test_stored_outputs_are_those_of_one_run_in_order_without_a_warning(name):
    cells = code_cells(read(name))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n[:2] in LONG else ()) for n in NAMES],
)
def test_a_notebook_runs_at_a_small_size_and_its_number_is_right(name, tmp_path, monkeypatch):
    """Its cells as one script: a kernel each would import everything anew."""
    for variable, value in {"SIZE": "small", "WORK": str(tmp_path)}.items():
        monkeypatch.setenv(f"PSPGEN_NOTEBOOK_{variable}", value)
    monkeypatch.delitem(sys.modules, "sizes", raising=False)
    monkeypatch.syspath_prepend(FOLDER)
    expression, value, tolerance = CLAIMS[name]
    script = tmp_path / f"{name}.py"
    cells = [cell.source for cell in code_cells(read(name))]
    script.write_text("\n".join([*cells, f"answer = {expression}"]), encoding="utf-8")
    answer = runpy.run_path(str(script))["answer"]
    plt.close("all")
    assert np.asarray(answer, dtype=float) == pytest.approx(value, abs=tolerance)
