"""Claims about what earlier versions wrote: this one opens it and finds the same numbers."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from golden_files import GOLDEN, numbers

import pspgen_pyro

ROOT = Path(__file__).parents[1]
EACH = sorted(path for path in GOLDEN.iterdir())
COMPUTED = 2e-3
"""P is an integral by draws, which another torch may draw otherwise; the rest is read."""


@pytest.mark.parametrize("folder", EACH, ids=lambda folder: folder.name)
def test_golden_files_hold_the_numbers_that_their_version_found(folder):
    wanted = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    found = numbers(folder)
    assert found["run"].pop("P") == pytest.approx(wanted["run"].pop("P"), abs=COMPUTED)
    for part in ("triads", "run", "posterior"):
        assert found[part].keys() == wanted[part].keys()
        for name, value in wanted[part].items():
            np.testing.assert_allclose(found[part][name], value, rtol=1e-6, err_msg=name)


def test_this_version_has_golden_files_and_the_files_that_cannot_ask_the_package_name_it():
    version = pspgen_pyro.__version__
    assert version in [folder.name for folder in EACH]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    dated = re.findall(r"^## (\d[\d.]*)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert dated[0] == version
