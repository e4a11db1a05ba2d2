"""Can we trust it? Answers as ArviZ trees, and checks of the design posterior by simulation and by
physics.

`datatree` turns draws and designs into one labelled `DataTree` that ArviZ reads as it comes;
`ranks` holds the probability integral transform and `uniformity` judges it. `trials` asks the
model questions whose answers are known, `sbc` and `coverage` grade the posteriors it gives;
`predictive` sets them beside fresh physics, `guides` compares the guide with the prior given φ,
`sensitivity` changes the prior on φ, and `latents` shows what z0 and z1 hold. `calibration` scores
the predictions of any model against reference materials, `model_table` sets several models side by
side, and `generated` compares the microstructures with real ones.
"""

from .calibration import Scores, TargetScore, clustered_mean, energy_score, score
from .calibration_plots import (
    plot_central_coverage,
    plot_density_scores,
    plot_probabilities,
    plot_reliability,
    plot_scores,
)
from .coverage import Coverage, plot_coverage, tarp
from .datatree import to_datatree
from .generated import (
    Generated,
    Reconstruction,
    energy_distance,
    generated_check,
    reconstruction_check,
)
from .generated_plots import plot_generated, plot_reconstruction, show_generated
from .guides import GuideCheck, guide_check, plot_guide
from .latents import latent_posterior, plot_latent_properties, plot_process_latent, process_latent
from .model_table import model_table, paired_differences, table_notes
from .predictive import (
    Comparison,
    PredictiveCheck,
    compare_probability,
    predictive_check,
    simulate_at,
)
from .ranks import randomised_ranks
from .reference_materials import ReferenceMaterials, decile_targets, study_targets
from .reliability import Reliability, reliability
from .replicates import noise_and_law
from .sbc import sbc, sbc_verdicts
from .sensitivity import prior_sensitivity, sensitivity_table
from .trials import Partition, Trials, simulate_trials
from .uniformity import Uniformity, plot_ranks, simultaneous_band, uniformity

__all__ = [
    "Comparison",
    "Coverage",
    "Generated",
    "GuideCheck",
    "Partition",
    "PredictiveCheck",
    "Reconstruction",
    "ReferenceMaterials",
    "Reliability",
    "Scores",
    "TargetScore",
    "Trials",
    "Uniformity",
    "clustered_mean",
    "compare_probability",
    "decile_targets",
    "energy_distance",
    "energy_score",
    "generated_check",
    "guide_check",
    "latent_posterior",
    "model_table",
    "noise_and_law",
    "paired_differences",
    "plot_central_coverage",
    "plot_coverage",
    "plot_density_scores",
    "plot_generated",
    "plot_guide",
    "plot_latent_properties",
    "plot_probabilities",
    "plot_process_latent",
    "plot_ranks",
    "plot_reconstruction",
    "plot_reliability",
    "plot_scores",
    "predictive_check",
    "prior_sensitivity",
    "process_latent",
    "randomised_ranks",
    "reconstruction_check",
    "reliability",
    "sbc",
    "sbc_verdicts",
    "score",
    "sensitivity_table",
    "show_generated",
    "simulate_at",
    "simulate_trials",
    "simultaneous_band",
    "study_targets",
    "table_notes",
    "tarp",
    "to_datatree",
    "uniformity",
]
