"""What a run remembers of its data, and where they came from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..process import ProcessSpace
from ..schema import Schema

if TYPE_CHECKING:
    from ..chain import Chain
    from ..data.triads import Triads
    from .run import Run

__all__ = ["chain_of", "check_schema", "check_trained_on", "described_data"]

_STUDY = ("case", "preset", "formulation", "solver", "seed", "split")


def described_data(triads: Triads) -> dict[str, Any]:
    """What a run remembers of its triads: what made them, how many, and a digest of φ and m."""
    attributes = triads.data.attrs
    made = {name: attributes[name] for name in _STUDY if name in attributes}
    digest = hashlib.sha256()
    for name in ("phi", "m"):
        digest.update(np.ascontiguousarray(triads.data[name].values, dtype="<f8").tobytes())
    return made | {"samples": len(triads), "digest": digest.hexdigest()[:16]}


def chain_of(run: Run) -> Chain | None:
    """The study's simulator that the run's data came from; None if they came from elsewhere."""
    from ..study import case

    data = run.data
    try:
        chosen = case(data["case"], data["preset"], data["formulation"])
    except (InputError, KeyError, TypeError):
        return None
    return chosen.chain if chosen.process == run.schema.process else None


def check_trained_on(
    data: dict[str, Any], training: dict[str, Any], triads: Triads, pairs: Triads | None
) -> None:
    """Says so if a run with these memories was trained on other triads, or with other unlabelled
    samples.

    Raises:
        InputError: If it was.
    """
    came = described_data(triads)
    if differing := [name for name, value in came.items() if data.get(name) != value]:
        raise InputError(
            f"'triads' differs in {' and '.join(differing)} from the triads that the run was "
            "trained on; give those."
        )
    told = training.get("settings", {}).get("pairs")
    if (told is None) != (pairs is None):
        raise InputError(
            "'pairs' is given but the run was trained without any; leave it out."
            if told is None
            else f"'pairs' is missing but the run was trained on {told} too; give them."
        )


def check_schema(ours: Schema, theirs: Schema) -> None:
    """Says in what the schema of a data set differs from a run's, if it does.

    Raises:
        InputError: If they differ.
    """
    for name in ("process", "microstructure", "properties"):
        came, wanted = getattr(theirs, name), getattr(ours, name)
        if came != wanted:
            raise InputError(
                f"'triads' has {name} {_shown(came)}, but the run was trained on "
                f"{_shown(wanted)}; take data of the run's own kind."
            )


def _shown(part: Any) -> str:
    if isinstance(part, tuple):
        return "; ".join(map(str, part))
    if isinstance(part, ProcessSpace):
        return f"{', '.join(part.names)} in {part.lower} to {part.upper}"
    return "none" if part is None else str(part)
