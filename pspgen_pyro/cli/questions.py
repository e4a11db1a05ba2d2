"""What the commands that ask a run have in common: the run, and a simulator of one's own."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from ..runs import Run

__all__ = ["open_run", "simulator_from"]


def open_run(path: Path, member: int | None = None) -> Run:
    """The run, or one member of it."""
    from ..runs import load_run

    run = load_run(path)
    return run if member is None else run.member(member)


def simulator_from(text: str | None) -> Any:
    """The function or chain that "module:name" names; modules of this folder can be imported. A
    function without arguments is called, and returns one of the two.

    Raises:
        InputError: If the text is not of this form, or there is no such module or name.
    """
    if text is None:
        return None
    module, _, name = text.partition(":")
    if not module or not name:
        raise InputError(
            f"'simulator' is {text!r}; write module:function, for a file furnace.py here with a "
            "function simulate furnace:simulate."
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    _check_found(text, module, here)
    try:
        found = import_module(module)
    except Exception as error:
        raise InputError(
            f"'simulator' is {text!r}, whose module fails when it is imported: "
            f"{type(error).__name__}: {error}"
        ) from error
    if name not in vars(found):
        known = sorted(key for key, value in vars(found).items() if callable(value))
        raise InputError(
            f"'simulator' is {text!r}, but {module} has no {name!r}; it has "
            f"{', '.join(known) or 'no function at all'}."
        )
    named = vars(found)[name]
    # as `pspgen simulate --chain` takes them
    if isinstance(named, FunctionType) and not signature(named).parameters:
        return named()
    return named


def _check_found(text: str, module: str, here: str) -> None:
    try:
        missing = find_spec(module) is None
    except (ImportError, ValueError):
        missing = True
    if missing:
        raise InputError(
            f"'simulator' is {text!r}, but there is no module {module!r}, neither installed nor "
            f"in {here!r}."
        )
