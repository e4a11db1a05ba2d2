r"""Inverse design: which process settings reach the target, how surely, and does the physics
agree?

.. math:: \varphi^* = \arg\max_{\varphi \in U_\varphi} P(m \in \mathcal{M}_d \mid \varphi)

`target` and `parsing` say what is wanted, `probability` how likely it is and `estimators` how else
that could be found out. `chances` are the objectives that are probabilities: `cautious`, of
`several` targets, under a `tolerance` of the settings, `priced` by a `cost`; `objectives` are the
others. `ascent` finds :math:`\varphi^*` with one of the `optimisers`, `cheapest` what a P costs,
`window` how far settings may stray, and `verification` simulates the chain afresh there.
`support` says whether the training data know anything about the target.
`posterior` keeps every setting that is consistent with the target: `nuts`, `hmc` and `variational`
draw from it, `draws` says how well, and `grid` checks them.
"""

from .ascent import Design, maximise
from .cautious import Cautious
from .chances import Probability
from .cheapest import cheapest, pareto
from .constrained import SLSQP
from .cost import Cost
from .estimates import Estimate
from .estimators import (
    ClosedForm,
    Estimator,
    ScoreFunction,
    UniformInTarget,
    antithetic,
    plain,
    sobol,
)
from .loop.closed_loop import ClosedLoop, Round, design_in_loop
from .loop.discrepancy import Correction, Discrepancy
from .loop.refinement import Refinement
from .objectives import KullbackLeibler, Objective, SquaredDistance
from .optimisers import LBFGS, SGD, Adam, Optimiser
from .parsing import Bound, Requirement, parse_target
from .posterior import DesignPosterior
from .posterior.draws import Convergence, Draws
from .posterior.grid import GridPosterior, on_grid
from .posterior.hmc import sample_hmc
from .posterior.nuts import RecordedNUTS, sample_nuts
from .posterior.variational import Flow, FullRank, Guide, MeanField, fit_svi
from .priced import Cheapest, Priced
from .probability import log_probability, property_law, sobol_normal
from .several import Least, Product
from .simulation import Materials, Simulator, SimulatorFunction, adapted
from .support import Support
from .surface import probability
from .target import Box, Boxes, Target, target_from_json
from .tolerance import Tolerance
from .verification import Verification, frequency, verify
from .window import Window, window

__all__ = [
    "Adam",
    "Bound",
    "Box",
    "Boxes",
    "Cautious",
    "Cheapest",
    "ClosedForm",
    "ClosedLoop",
    "Convergence",
    "Correction",
    "Cost",
    "Design",
    "DesignPosterior",
    "Discrepancy",
    "Draws",
    "Estimate",
    "Estimator",
    "Flow",
    "FullRank",
    "GridPosterior",
    "Guide",
    "KullbackLeibler",
    "LBFGS",
    "Least",
    "Materials",
    "MeanField",
    "Objective",
    "Optimiser",
    "Priced",
    "Probability",
    "Product",
    "RecordedNUTS",
    "Refinement",
    "Requirement",
    "Round",
    "SGD",
    "SLSQP",
    "ScoreFunction",
    "Simulator",
    "SimulatorFunction",
    "SquaredDistance",
    "Support",
    "Target",
    "Tolerance",
    "UniformInTarget",
    "Verification",
    "Window",
    "adapted",
    "antithetic",
    "cheapest",
    "design_in_loop",
    "fit_svi",
    "frequency",
    "log_probability",
    "maximise",
    "on_grid",
    "pareto",
    "parse_target",
    "plain",
    "probability",
    "property_law",
    "sample_hmc",
    "sample_nuts",
    "sobol",
    "sobol_normal",
    "target_from_json",
    "verify",
    "window",
]
