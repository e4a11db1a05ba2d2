"""Honest rivals: the models an engineer would use instead, behind one interface."""

from .base import Predictor, PSPGenPredictor, Rival

__all__ = ["PSPGenPredictor", "Predictor", "Rival"]
