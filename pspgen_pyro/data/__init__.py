"""Labelled triads (φ, x, m): simulate, save, open, verify.

The names below are loaded when first used, so that a worker that only simulates loads neither
xarray nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import generate
    from .store import Store, StoreReport, check_store
    from .triads import Triads

_HOME = {
    "Store": "store",
    "StoreReport": "store",
    "Triads": "triads",
    "check_store": "store",
    "generate": "engine",
}

__all__ = ["Store", "StoreReport", "Triads", "check_store", "generate"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
