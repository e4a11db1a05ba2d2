"""Claims about the two commands' own set-up: what is missing is said in one sentence."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BOOTSTRAP = Path(__file__).parents[1] / "tools" / "bootstrap.sh"


@pytest.fixture
def machine(tmp_path):
    """A checkout's set-up script on a machine with a shell and nothing else."""
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "dirname", "rm"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    (tmp_path / "tools").mkdir()
    shutil.copy(BOOTSTRAP, tmp_path / "tools")
    return tmp_path


def set_up(machine):
    environment = {"PATH": str(machine / "bin"), "HOME": str(machine)}
    script = str(machine / "tools" / "bootstrap.sh")
    return subprocess.run(["sh", script], env=environment, capture_output=True, text=True)


def test_without_a_python_the_set_up_says_what_to_install(machine):
    result = set_up(machine)
    assert result.returncode == 1
    assert "no Python 3.12, 3.13 or 3.14 was found; install one" in result.stderr
    assert not (machine / ".venv").exists()


def test_an_older_python_is_passed_over(machine):
    older = machine / "bin" / "python3"
    older.write_text("#!/bin/sh\nexit 1\n")
    older.chmod(0o755)
    assert "no Python 3.12" in set_up(machine).stderr


def test_without_a_c_compiler_the_set_up_says_what_to_install(machine):
    (machine / "bin" / "python3.12").symlink_to(sys.executable)
    result = set_up(machine)
    assert result.returncode == 1
    assert "no C compiler was found" in result.stderr
    assert "install gcc" in result.stderr
    assert not (machine / ".venv").exists()
