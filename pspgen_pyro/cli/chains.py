"""A chain of one's own on the command line, as module:function."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from ..chain import Chain
from ..errors import InputError

__all__ = ["import_chain"]


def import_chain(text: str) -> Chain:
    """The chain that a function returns when it is called without arguments.

    Arguments:
        text: Where the function is, as module:function; the module may lie in the current folder.

    Raises:
        InputError: If there is no such function, or it returns no chain.
    """
    module, _, name = text.partition(":")
    if not module or not name:
        raise InputError(
            f"'chain' is {text!r}; write module:function, such as furnace:chain for the function "
            "`chain` in furnace.py."
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = vars(import_module(module)).get(name)
    except ImportError as error:
        raise InputError(
            f"'chain' is {text!r}, whose module cannot be imported from {here!r}: {error}."
        ) from error
    if not callable(found):
        raise InputError(
            f"'chain' is {text!r}, but {module} has no function {name!r}; name one that returns "
            "a Chain."
        )
    made = found()
    if not isinstance(made, Chain):
        raise InputError(
            f"'chain' is {text!r}, which returned {made!r:.80}; it must return a "
            "pspgen_pyro.Chain."
        )
    return made
