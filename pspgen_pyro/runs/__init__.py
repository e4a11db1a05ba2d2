"""Trained models with their story, in memory and as folders without pickle."""

from .folder import (
    EnsembleRun,
    Run,
    chain_of,
    describe,
    is_ensemble,
    load_ensemble,
    load_run,
    process_of,
    save_ensemble,
    save_run,
)

__all__ = [
    "EnsembleRun",
    "Run",
    "chain_of",
    "describe",
    "is_ensemble",
    "load_ensemble",
    "load_run",
    "process_of",
    "save_ensemble",
    "save_run",
]
