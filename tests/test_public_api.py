"""Tests for what the package promises: every public name is on this list, and nothing else."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import pspgen_pyro

PUBLIC = {
    "pspgen_pyro": (
        "Alternating Batches Box Campaign Categorical Chain Cosine Design Fixed InputError "
        "Integer Joint Microstructure Ordinal PSPGen Plateau ProcessSpace Property Real Run "
        "Schema Triads case design_in_loop fit generate load_run maximise percolation "
        "permeability probability target verify"
    ),
    "campaign": "Campaign Receipt Status",
    "chain": (
        "Chain ChainSample EffectiveConductivity ElasticStiffness Permeability PropertyFunction "
        "PropertySimulator StructureFunction StructureSimulator percolating"
    ),
    "cli": "main",
    "data": "Store StoreReport Triads check_store generate",
    "design": (
        "Adam Bound Box Boxes Cautious Cheapest ClosedForm ClosedLoop Convergence "
        "Correction Cost Design DesignPosterior Discrepancy Draws Estimate Estimator "
        "Flow FullRank GridPosterior Guide KullbackLeibler LBFGS Least Materials "
        "MeanField Objective Optimiser Priced Probability Product RecordedNUTS "
        "Refinement Requirement Round SGD SLSQP ScoreFunction Simulator "
        "SimulatorFunction SquaredDistance Support Target Tolerance UniformInTarget "
        "Verification Window adapted antithetic cheapest design_in_loop fit_svi "
        "frequency log_probability maximise on_grid pareto parse_target plain "
        "probability property_law sample_hmc sample_nuts sobol sobol_normal "
        "target_from_json verify window"
    ),
    "diagnosis": (
        "Comparison Coverage Generated GuideCheck Partition PredictiveCheck "
        "Reconstruction ReferenceMaterials Reliability Scores TargetScore Trials Uniformity "
        "clustered_mean compare_probability decile_targets energy_distance energy_score "
        "generated_check guide_check latent_posterior model_table noise_and_law "
        "paired_differences "
        "plot_central_coverage plot_coverage plot_density_scores plot_generated plot_guide "
        "plot_latent_properties plot_probabilities plot_process_latent plot_ranks "
        "plot_reconstruction plot_reliability plot_scores predictive_check prior_sensitivity "
        "process_latent randomised_ranks reconstruction_check reliability sbc sbc_verdicts "
        "score sensitivity_table show_generated simulate_at simulate_trials simultaneous_band "
        "study_targets table_notes tarp to_datatree uniformity"
    ),
    "errors": (
        "DataError InputError MissingDependencyError SimulationError StorageError "
        "TrainingError WorkerError"
    ),
    "io": "",
    "model": (
        "BernoulliImage BottleneckReader CategoricalImage Dimensions Encoder Ensemble "
        "GreyImage ImageDecoder MixturePrior MixtureProperty PSPGen Part Prior PropertyDecoder "
        "PropertyItself ReadingEncoder ResidualMap StandardNormalPrior ThreeBranchEncoder"
    ),
    "plots": (
        "CYCLE PALETTE campaign_progress panel panels parameter_labels pareto_front "
        "probability_difference probability_slices probability_surface property_cloud "
        "property_labels show_microstructures simulated_cloud training_curves window_bars"
    ),
    "process": (
        "Categorical Fixed Integer Mirror Ordinal PeriodicShift Permutation ProcessSpace Real "
        "Reflection Setting Symmetry Transposition augment orbit"
    ),
    "properties": (
        "conductivity conductivity_tensor diffusivity elastic_moduli elastic_stiffness length "
        "millidarcy percolation permeability permeability_tensor tortuosity"
    ),
    "properties.simulators": "EffectiveConductivity ElasticStiffness Permeability",
    "report": (
        "Answer SolvedImages SurfaceError Verdict generate_images judge materials_at "
        "model_surface read_answer reference_surface summarise surface_error write_page"
    ),
    "rivals": (
        "ComparisonMethod EnsemblePredictor ForestWeights HeteroscedasticGaussian "
        "LogisticIndicator MixtureDensityNetwork PSPGenPredictor Predictor PseudoLabels RIVALS "
        "Rival SplineFlow StructureSizes"
    ),
    "runs": "Run chain_of described_data fit load_run training_data",
    "schema": "Microstructure Property Schema conversion",
    "simulators": "PropertyFunction PropertySimulator StructureFunction StructureSimulator",
    "structure": (
        "AS_STATED CALIBRATED GRADED_STEPS PRESETS PhaseSeparatedField Preset "
        "ThresholdedField cahn_hilliard five_mode_spectrum free_energy gaussian_random_field "
        "phase_names threshold threshold_phases two_mode_spectrum two_point_correlation "
        "void_fraction"
    ),
    "study": "CASES Case Region Split case run_study",
    "training": (
        "Alternating Cosine Descent ELBO Epochs History Joint Plateau PriorStage ReaderStage "
        "STAGES Stage evaluate fit_ensemble train"
    ),
}


def load(module):
    full = "pspgen_pyro" if module == "pspgen_pyro" else f"pspgen_pyro.{module}"
    return importlib.import_module(full)


def names_of(module):
    """The public names; `io` and its like hold what the package itself uses."""
    return getattr(load(module), "__all__", [])


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names_are_those_on_the_list(module):
    assert sorted(names_of(module)) == PUBLIC[module].split()


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_there(module):
    found = load(module)
    assert [name for name in names_of(module) if not hasattr(found, name)] == []


def test_one_name_means_one_thing_wherever_it_is_public():
    meanings = {}
    for module in PUBLIC:
        for name in names_of(module):
            meanings.setdefault(name, set()).add(id(getattr(load(module), name)))
    assert [name for name, things in meanings.items() if len(things) > 1] == []


def test_no_module_is_missing_from_the_list():
    modules = {found.name for found in pkgutil.iter_modules(pspgen_pyro.__path__)}
    assert modules - {"__main__"} == {name.split(".")[0] for name in PUBLIC} - {"pspgen_pyro"}


def test_a_process_that_only_simulates_never_loads_torch():
    script = "import sys, pspgen_pyro as p; p.case('case1'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_triads_are_opened_without_the_libraries_that_simulate_and_train():
    script = "import sys, pspgen_pyro as p; p.Triads; sys.exit(any(m in sys.modules for m in {}))"
    heavy = ("numba", "scipy.sparse", "torch")
    found = subprocess.run([sys.executable, "-c", script.format(heavy)], check=False)
    assert found.returncode == 0


def test_a_worker_that_simulates_loads_none_of_the_libraries_that_open_and_train():
    script = "import sys, pspgen_pyro.data.building; sys.exit(any(m in sys.modules for m in {}))"
    heavy = ("pandas", "pint", "torch", "xarray")
    found = subprocess.run([sys.executable, "-c", script.format(heavy)], check=False)
    assert found.returncode == 0


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="no_such_name"):
        pspgen_pyro.no_such_name  # noqa: B018
