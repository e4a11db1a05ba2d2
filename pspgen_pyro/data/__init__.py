"""Labelled triads (φ, x, m): simulate, save, open, verify."""

from .engine import generate
from .opening import open_triads
from .store import Store, StoreReport, check_store
from .triads import Triads

__all__ = ["Store", "StoreReport", "Triads", "check_store", "generate", "open_triads"]
