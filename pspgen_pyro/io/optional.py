"""Libraries that only some abilities need and the package does not require."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import MissingDependencyError

__all__ = ["optional"]


def optional(module: str, needed_by: str, extra: str) -> Any:
    """A module of an optional library.

    Arguments:
        module: Its name.
        needed_by: What needs it, for the sentence of an error.
        extra: The extra of this package that installs it.

    Raises:
        MissingDependencyError: If the library is missing.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{needed_by} needs {module.partition('.')[0]}, which is not installed; install it "
            f'with `pip install "pspgen-pyro[{extra}]"`, or do without.'
        ) from error
