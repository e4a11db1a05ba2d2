"""Learning the model and the guide: the objective, its blocks as stages, ensembles."""

from .checkpoint import History
from .descent import Descent
from .ensemble import fit_ensemble
from .epochs import Epochs, evaluate
from .objective import ELBO
from .stages import PriorStage, ReaderStage, Stage
from .train import STAGES, train
from .updates import Alternating, Cosine, Joint, Plateau

__all__ = [
    "ELBO",
    "STAGES",
    "Alternating",
    "Cosine",
    "Descent",
    "Epochs",
    "History",
    "Joint",
    "Plateau",
    "PriorStage",
    "ReaderStage",
    "Stage",
    "evaluate",
    "fit_ensemble",
    "train",
]
