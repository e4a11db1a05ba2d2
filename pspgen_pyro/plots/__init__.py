"""Pictures of the chain, each from labelled data: structures, properties, probabilities, training.

A function with one panel takes `ax` and returns the Axes; one with several returns the Figure.
Text, ticks and backgrounds come from matplotlib's settings, so a style sheet changes them; the
data are in the Okabe-Ito colours, which stay apart under every common colour blindness.
"""

from .campaign import campaign_progress
from .choices import pareto_front, window_bars
from .clouds import property_cloud, simulated_cloud
from .microstructures import show_microstructures
from .style import CYCLE, PALETTE, panel, panels, parameter_labels, property_labels
from .surfaces import probability_difference, probability_slices, probability_surface
from .training import training_curves

__all__ = [
    "CYCLE",
    "PALETTE",
    "campaign_progress",
    "panel",
    "panels",
    "parameter_labels",
    "pareto_front",
    "probability_difference",
    "probability_slices",
    "probability_surface",
    "property_cloud",
    "property_labels",
    "show_microstructures",
    "simulated_cloud",
    "training_curves",
    "window_bars",
]
