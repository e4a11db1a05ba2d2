r"""A study on disk, and its steps.

| name | content |
|---|---|
| `study.json` | what decides the numbers (name, scale, seeds, …), the command and the versions |
| `data/` | triads stores, each resumable by itself |
| `models/` | run folders and the checkpoints of training |
| `steps/` | one JSON a finished step, whole or absent |
| `times/` | what each step cost, CPU seconds |
| `figures/` | PNG and SVG |
| `study_results.json` | every number of the study; the costs under "times" alone |
| `index.html` | the page |

A step is a function of the folder and of arguments that are plain values; what it returns is its
JSON, but for the entry "times", which goes to the costs. A study that was killed loses the steps
that had not finished, and starts those again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..errors import DataError, InputError
from ..io.crews import Crew
from ..io.provenance import environment
from ..io.publish import write_file
from ..io.threads import threads

__all__ = ["Folder", "Step"]


@dataclass(frozen=True)
class Step:
    """One piece of work.

    Arguments:
        name: The name of its JSON.
        function: A function of a module, called with the folder and the arguments.
        arguments: Plain values.
    """

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Folder:
    """The folder of a study.

    Arguments:
        path: Where it is.
        data: Where its triads are; parts of one study share them.
    """

    path: Path
    data: Path

    @classmethod
    def opened(
        cls, path: Path, identity: dict[str, Any], *, resume: bool, data: Path | None = None
    ) -> Folder:
        """A new folder, or that of the same study.

        Raises:
            InputError: If the folder is of another study, or of something else, or it exists and
                `resume` is off.
            DataError: If its `study.json` is damaged.
        """
        told = path / "study.json"
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            if not told.exists():
                raise InputError(
                    f"'out' is {str(path)!r}, which exists and is no study; choose another name."
                )
            _check_same(told, identity)
            if not resume:
                raise InputError(
                    f"'out' is {str(path)!r}, which holds this study, finished or not; go on with "
                    "'resume' (on the command line --resume), or choose another name."
                )
        folder = cls(path, data or path / "data")
        for part in (*map(path.joinpath, ("models", "steps", "times", "figures")), folder.data):
            part.mkdir(parents=True, exist_ok=True)
        if not told.exists():
            folder.write("study.json", {"study": identity, "environment": environment()})
        return folder

    def write(self, name: str, content: Any) -> None:
        """Publishes a file: text and bytes as they are, anything else as JSON."""
        if not isinstance(content, str | bytes):
            content = json.dumps(content, indent=1, allow_nan=False) + "\n"
        raw = content.encode() if isinstance(content, str) else content
        write_file(self.path / name, raw, self.path, "finished steps are kept, so resume")

    def read(self, step: str) -> Any:
        """The JSON of a finished step."""
        return _json(self.path / "steps" / f"{step}.json")

    def costs(self) -> dict[str, dict[str, float]]:
        """What every finished step cost, CPU seconds, by its name."""
        files = sorted((self.path / "times").glob("*.json"))
        return {path.stem: _json(path) for path in files}

    def perform(
        self, steps: Sequence[Step], crew: Crew, progress: Callable[[str], object]
    ) -> dict[str, Any]:
        """Does the steps that are not done, side by side; returns the JSON of all by name.

        Raises:
            WorkerError: If worker processes keep dying.
        """
        rest = [i for i, one in enumerate(steps) if not self._done(one)]
        task = partial(_perform, self, tuple(steps))
        for i, _ in crew.perform(task, rest):
            progress(steps[i].name)
        return {one.name: self.read(one.name) for one in steps}

    def _done(self, step: Step) -> bool:
        return (self.path / "steps" / f"{step.name}.json").exists()


def _perform(folder: Folder, steps: tuple[Step, ...], i: int) -> None:
    """Does step i and publishes what it found: the task of a worker."""
    step, start = steps[i], time.process_time()
    with threads(1), _single_precision():
        found = step.function(folder, **step.arguments)
    own = found.pop("times", {})
    cost = {"step": time.process_time() - start, **own}
    folder.write(f"times/{step.name}.json", {name: round(s, 2) for name, s in cost.items()})
    folder.write(f"steps/{step.name}.json", found)


@contextmanager
def _single_precision() -> Iterator[None]:
    """A step computes alike in this process, whatever its caller has set, and in a worker."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _check_same(told: Path, identity: dict[str, Any]) -> None:
    found = _json(told).get("study", {})
    if found == json.loads(json.dumps(identity)):
        return
    differing = [key for key in identity if found.get(key) != identity[key]]
    key = differing[0] if differing else "study"
    raise InputError(
        f"'out' is {str(told.parent)!r}, which holds a study whose {key} is {found.get(key)!r}, "
        f"not {identity.get(key)!r}; choose another folder."
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(
            f"'{path.name}' in {str(path.parent)!r} is damaged; remove it and go on with 'resume'."
        ) from error
