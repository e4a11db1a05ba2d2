"""What commands have in common: the run they ask, and a chain or simulator of one's own."""

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
    from ..chain import Chain
    from ..runs import Run

__all__ = ["chain_from", "open_run", "simulator_from"]


def open_run(path: Path, member: int | None = None) -> Run:
    """The run, or one member of it."""
    from ..runs import load_run

    run = load_run(path)
    return run if member is None else run.member(member)


def chain_from(text: str) -> Chain:
    """The chain that "module:name" names.

    Raises:
        InputError: If the text is not of this form, there is no such name, or it is no chain.
    """
    from ..chain import Chain

    made = _imported(text, "chain")
    if not isinstance(made, Chain):
        raise InputError(
            f"'chain' is {text!r}, which returned {made!r:.80}; it must return a "
            "pspgen_pyro.Chain."
        )
    return made


def simulator_from(text: str | None) -> Any:
    """The function or chain that "module:name" names.

    Raises:
        InputError: If the text is not of this form, or there is no such module or name.
    """
    return None if text is None else _imported(text, "simulator")


def _imported(text: str, option: str) -> Any:
    """What "module:name" names; modules of this folder can be imported. A function without
    arguments is called."""
    module, _, name = text.partition(":")
    if not module or not name:
        raise InputError(
            f"'{option}' is {text!r}; write module:function, such as furnace:{option} for the "
            f"function `{option}` in furnace.py."
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        missing = find_spec(module) is None
    except (ImportError, ValueError):
        missing = True
    if missing:
        raise InputError(
            f"'{option}' is {text!r}, but there is no module {module!r}, neither installed nor "
            f"in {here!r}."
        )
    try:
        found = vars(import_module(module))
    except Exception as error:
        raise InputError(
            f"'{option}' is {text!r}, whose module fails when it is imported: "
            f"{type(error).__name__}: {error}"
        ) from error
    if name not in found:
        known = ", ".join(sorted(key for key, value in found.items() if callable(value)))
        raise InputError(
            f"'{option}' is {text!r}, but {module} has no {name!r}; it has "
            f"{known or 'no function at all'}."
        )
    named = found[name]
    plain = isinstance(named, FunctionType) and not signature(named).parameters
    return named() if plain else named
