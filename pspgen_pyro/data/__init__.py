"""Labelled triads (φ, x, m): simulate, save, open, verify."""

from .engine import generate
from .store import Store, StoreReport, check_store
from .triads import Triads

__all__ = ["Store", "StoreReport", "Triads", "check_store", "generate"]
