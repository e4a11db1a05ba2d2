"""Labelled triads (φ, x, m): simulate, save, open, verify."""

from .engine import generate
from .opening import open_triads
from .store import Report, Store, verify
from .triads import Triads

__all__ = ["Report", "Store", "Triads", "generate", "open_triads", "verify"]
