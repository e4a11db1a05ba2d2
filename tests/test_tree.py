"""Claims about the sources: nothing in them executes text or data."""

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("pspgen_pyro", "benchmarks", "docs", "notebooks", "tests", "tools")
MODULES = {"builtins", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
CALLS = {"__import__", "compile", "eval", "exec"}
MEMBERS = {
    "pandas": {"eval", "read_pickle"},
    "torch": {"load", "save"},
    "yaml": {"full_load", "load", "unsafe_load"},
}
ALIASES = {"pd": "pandas"}


def sources():
    """Every Python source, and the code of every notebook."""
    for path in sorted(ROOT.glob("*.py")):
        yield path, path.read_text(encoding="utf-8")
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        yield path, "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


def faults(text):
    """What executes text or data, as `line: what`."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                found = {alias.name.split(".")[0] for alias in names} & MODULES
            case ast.ImportFrom(module=module, names=names, level=0):
                home = (module or "").split(".")[0]
                named = {alias.name for alias in names} & MEMBERS.get(module or "", set())
                found = named | {home} & MODULES
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                found = {name}
            case ast.Attribute(value=ast.Name(id=home), attr=name):
                found = {name} & MEMBERS.get(ALIASES.get(home, home), set())
            case ast.keyword(arg="allow_pickle", value=value):
                found = set() if ast.unparse(value) == "False" else {"allow_pickle"}
            case _:
                continue
        yield from (f"{node.lineno}: {name}" for name in sorted(found))


def test_no_source_executes_text_or_data():
    checked = list(sources())
    assert len(checked) > 300
    found = {str(path.relative_to(ROOT)): list(faults(text)) for path, text in checked}
    assert {path: what for path, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "text",
    [
        "eval('1')",
        "exec(code)",
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load(path)",
        "from torch import load",
        "import yaml\nyaml.load(text)",
        "import marshal as m",
        "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)",
    ],
)
def test_the_reading_finds_what_executes(text):
    assert len(list(faults(text))) == 1


@pytest.mark.parametrize("text", ["model.eval()", "re.compile('a')", "safetensors.torch.load(x)"])
def test_the_reading_passes_what_does_not(text):
    assert list(faults(text)) == []
