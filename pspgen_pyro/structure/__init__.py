"""Process → structure: spectra, random fields, phase separation, and statistics of the result."""

from .descriptors import phase_names, two_point_correlation, void_fraction
from .multiphase import ThresholdedField, threshold_phases
from .phase_field import GRADED_STEPS, cahn_hilliard, free_energy
from .phase_separation import AS_STATED, CALIBRATED, PRESETS, PhaseSeparatedField, Preset
from .random_field import five_mode_spectrum, gaussian_random_field, threshold, two_mode_spectrum

__all__ = [
    "AS_STATED",
    "CALIBRATED",
    "GRADED_STEPS",
    "PRESETS",
    "PhaseSeparatedField",
    "Preset",
    "ThresholdedField",
    "cahn_hilliard",
    "five_mode_spectrum",
    "free_energy",
    "gaussian_random_field",
    "phase_names",
    "threshold",
    "threshold_phases",
    "two_mode_spectrum",
    "two_point_correlation",
    "void_fraction",
]
