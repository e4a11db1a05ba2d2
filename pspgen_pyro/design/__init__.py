r"""Inverse design: which process settings reach the target, how surely, and does the physics
agree?

.. math:: \varphi^* = \arg\max_{\varphi \in U_\varphi} P(m \in \mathcal{M}_d \mid \varphi)

`target` says what is wanted, `probability` how likely it is, `ascent` finds :math:`\varphi^*`, and
`verification` simulates the chain afresh at :math:`\varphi^*`.
"""

from .ascent import Design, maximise
from .probability import Estimate, log_probability, probability, sobol_normal
from .target import Box
from .verification import Verification, frequency, verify

__all__ = [
    "Box",
    "Design",
    "Estimate",
    "Verification",
    "frequency",
    "log_probability",
    "maximise",
    "probability",
    "sobol_normal",
    "verify",
]
