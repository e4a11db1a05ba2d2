"""Labelled triads (φ, x, m) on disk: simulate, resume, open, verify."""

from .engine import generate
from .store import Report, Store, open_triads, verify
from .triads import Triads

__all__ = ["Report", "Store", "Triads", "generate", "open_triads", "verify"]
