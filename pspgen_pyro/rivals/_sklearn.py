"""scikit-learn, which only some rivals need and the package does not require."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import MissingDependencyError

__all__ = ["sklearn"]


def sklearn(module: str) -> Any:
    """A module of scikit-learn.

    Raises:
        MissingDependencyError: If scikit-learn is missing.

    Example:
        >>> sklearn("ensemble").ExtraTreesRegressor(n_estimators=7).n_estimators
        7
    """
    try:
        return import_module(f"sklearn.{module}")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "The rivals 'forest' and 'logistic' need scikit-learn; install it with "
            '`pip install "pspgen-pyro[rivals]"`, or use another rival.'
        ) from error
