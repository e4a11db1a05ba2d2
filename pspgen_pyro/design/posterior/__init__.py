r"""The design posterior :math:`p(\varphi, z_0 \mid m \in \mathcal{M}_d)` and its samplers."""

from .density import DesignPosterior
from .draws import Convergence, Draws
from .grid import GridPosterior, on_grid
from .hmc import sample_hmc
from .nuts import RecordedNUTS, sample_nuts
from .sampling import counts_of
from .variational import Flow, FullRank, Guide, MeanField, fit_svi

__all__ = [
    "Convergence",
    "DesignPosterior",
    "Draws",
    "Flow",
    "FullRank",
    "GridPosterior",
    "Guide",
    "MeanField",
    "RecordedNUTS",
    "counts_of",
    "fit_svi",
    "on_grid",
    "sample_hmc",
    "sample_nuts",
]
