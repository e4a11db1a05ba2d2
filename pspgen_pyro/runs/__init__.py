"""Trained models with their story: made from triads, asked, and kept as folders without pickle."""

from .fitting import fit, training_data
from .folder import load_run
from .provenance import chain_of, described_data
from .run import Run

__all__ = ["Run", "chain_of", "described_data", "fit", "load_run", "training_data"]
