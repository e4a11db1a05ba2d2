"""Claims about kernels: whatever changes, no process runs the machine code of other sources."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pspgen_pyro
from pspgen_pyro.io.compiling import FOLDERS

PACKAGE = Path(pspgen_pyro.__file__).parent
HEAD = "from ..io.compiling import kernel\n"
CALLED = HEAD + "@kernel()\ndef called():\n    return {}\n"
CALLER = HEAD + "from .called import called\n@kernel()\ndef caller():\n    return called() + 1\n"
ASK = (
    "from pspgen_pyro.properties.caller import caller as c; "
    "print(c(), len(c.stats.cache_hits) if hasattr(c, 'stats') else 0)"
)


@pytest.fixture
def copy(tmp_path):
    """A copy of the package with two more kernels, one of which calls the other."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "pspgen_pyro", ignore=ignore)
    (tmp_path / "pspgen_pyro" / "properties" / "caller.py").write_text(CALLER)
    return tmp_path


def ask(copy, number, **settings):
    """What the caller returns once the called kernel returns `number`, and whether its machine
    code came from the disk."""
    (copy / "pspgen_pyro" / "properties" / "called.py").write_text(CALLED.format(number))
    environment = {key: text for key, text in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", **settings}
    command = [sys.executable, "-c", ASK]
    found = subprocess.run(
        command, cwd=copy, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return tuple(int(word) for word in found.stdout.split())


def test_a_kernel_whose_callee_changed_runs_the_new_code_and_the_old_is_found_again(copy):
    assert ask(copy, 1) == (2, 0)
    assert ask(copy, 20) == (21, 0)
    assert ask(copy, 1) == (2, 1)


def test_a_package_that_nobody_may_write_to_keeps_its_kernels_in_the_users_cache(copy):
    (copy / "pspgen_pyro" / "properties" / "__pycache__").touch()
    cache = copy / "cache"
    assert ask(copy, 1, XDG_CACHE_HOME=str(cache)) == (2, 0)
    assert len(list(cache.rglob("caller.*.nbi"))) == 1


def test_numbas_own_cache_folder_is_respected(copy):
    assert ask(copy, 1, NUMBA_CACHE_DIR=str(copy / "mine")) == (2, 0)
    assert len(list((copy / "mine").rglob("caller.*.nbi"))) == 1


def test_where_nothing_can_be_written_kernels_are_compiled_all_the_same(copy):
    (copy / "pspgen_pyro" / "properties" / "__pycache__").touch()
    (copy / "cache").touch()
    assert ask(copy, 1, XDG_CACHE_HOME=str(copy / "cache")) == (2, 0)


def kernels(tree):
    """The functions that `kernel` decorates."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = {n.id for d in node.decorator_list for n in ast.walk(d) if hasattr(n, "id")}
            if names & {"kernel", "njit", "jit", "vectorize", "guvectorize"}:
                yield node


def test_what_a_kernel_reads_is_in_the_sources_that_are_hashed():
    found = 0
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in kernels(tree):
            found += 1
            assert path.parent.name in FOLDERS, (path, function.name)
            read = {n.id for part in function.body for n in ast.walk(part) if hasattr(n, "id")}
            elsewhere = {
                alias.asname or alias.name
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom)
                and (node.level > 1 or (node.module or "").startswith("pspgen_pyro"))
                for alias in node.names
            }
            assert read & elsewhere == set(), (path, function.name)
    assert found > 40
