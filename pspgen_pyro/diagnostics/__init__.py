"""Can we trust it? Answers as ArviZ trees, and checks of the design posterior by simulation and by
physics.

`datatree` turns draws and designs into one labelled `DataTree` that ArviZ reads as it comes;
`ranks` holds the probability integral transform and `uniformity` judges it. `trials` asks the
model questions whose answers are known, `sbc` and `coverage` grade the posteriors it gives;
`predictive` sets them beside fresh physics, `guides` compares the guide with the prior given φ,
`sensitivity` changes the prior on φ, and `latents` shows what z0 and z1 hold.
"""

from .coverage import Coverage, plot_coverage, tarp
from .datatree import to_datatree
from .guides import GuideCheck, guide_check, plot_guide
from .latents import latent_posterior, plot_latent_properties, plot_process_latent, process_latent
from .predictive import (
    Comparison,
    Materials,
    PredictiveCheck,
    compare_probability,
    predictive_check,
    simulate_at,
)
from .ranks import randomised_ranks
from .sbc import sbc, sbc_verdicts
from .sensitivity import prior_sensitivity, sensitivity_table
from .trials import Partition, Trials, simulate_trials
from .uniformity import Uniformity, plot_ranks, simultaneous_band, uniformity

__all__ = [
    "Comparison",
    "Coverage",
    "GuideCheck",
    "Materials",
    "Partition",
    "PredictiveCheck",
    "Trials",
    "Uniformity",
    "compare_probability",
    "guide_check",
    "latent_posterior",
    "plot_coverage",
    "plot_guide",
    "plot_latent_properties",
    "plot_process_latent",
    "plot_ranks",
    "predictive_check",
    "prior_sensitivity",
    "process_latent",
    "randomised_ranks",
    "sbc",
    "sbc_verdicts",
    "sensitivity_table",
    "simulate_at",
    "simulate_trials",
    "simultaneous_band",
    "tarp",
    "to_datatree",
    "uniformity",
]
