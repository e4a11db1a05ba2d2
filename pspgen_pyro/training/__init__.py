"""Learning the model and the guide: objectives, stages, the alternating loop, ensembles."""

from .checkpoint import History
from .ensemble import fit_ensemble
from .fitting import evaluate, fit
from .objective import ELBO, ImportanceWeighted, MarginalProperty, Objective
from .stages import PriorStage, PropertyStage, fit_prior, learn_code
from .updates import Alternating, Cosine, Joint, Plateau

__all__ = [
    "ELBO",
    "Alternating",
    "Cosine",
    "History",
    "ImportanceWeighted",
    "Joint",
    "MarginalProperty",
    "Objective",
    "Plateau",
    "PriorStage",
    "PropertyStage",
    "evaluate",
    "fit",
    "fit_ensemble",
    "fit_prior",
    "learn_code",
]
