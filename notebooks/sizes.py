"""How much the essays compute: `full` made the outputs that are stored, the tests run `small`.

Nothing else in an essay depends on the size. What one essay makes in `WORK`, the next ones open.
"""

import os
from pathlib import Path
from typing import Any

SIZE = os.environ.get("PSPGEN_NOTEBOOK_SIZE", "full")
WORK = Path(os.environ.get("PSPGEN_NOTEBOOK_WORK", "work")) / SIZE
WORK.mkdir(parents=True, exist_ok=True)


def sized(small: Any, full: Any) -> Any:
    """The one of the two that the size asks for."""
    return {"small": small, "full": full}[SIZE]


# materials of the first essay; triads of Case 1 and processes that simulate them
COUNT = sized(10, 400)
SAMPLES = sized(120, 10_000)
WORKERS = sized(1, 2)
# points a side of a surface
GRID = sized(5, 20)
# settings along a line, materials at each
POINTS = sized(5, 9)
MATERIALS = sized(20, 300)

# simulations that check a design; materials a setting, settings, cells and trials that judge
FRESH = sized(20, 400)
REPLICATES = sized(2, 40)
SETTINGS = sized(40, 400)
CELLS = sized(4, 16)
TRIALS = sized(20, 400)

# images of the sixth essay, settings a side and materials a setting that judge its models
IMAGES = sized(120, 2000)
SIDE = sized(2, 5)
EACH = sized(4, 100)

# courses of the seventh essay, weeks of each, points that BoTorch's climbs start among and that
# it chooses among, and points an axis of the grid that knows the largest P
COURSES = sized(1, 5)
WEEKS = sized(1, 8)
RAW = sized(4, 64)
LOOKED = sized(500, 20_000)
AXES = sized((9, 9, 9), (81, 41, 29))

# how long training may take: 30 passes through Case 1, on other data what `fit` finds right
_SHORT = {"epochs": 2, "reader_steps": 10, "prior_steps": 50}
TRAINING = sized(_SHORT, {"epochs": 30})
BRIEF = sized(_SHORT, {})
SAMPLING = sized({"chains": 8, "draws": 60, "warmup": 60}, {"chains": 64})
