r"""A laboratory that prints crossed barrels: an emulator of 1,800 real tests.

A crossed barrel has n hollow struts of radius r and wall t, twisted by θ; its toughness is the
work in J that crushes it (Gongora and others, Science Advances 6, 2020, eaaz1708: 600 settings,
three prints each). Some break early and others do not, so the law is a mixture,

.. math:: \ln m \mid \varphi \sim (1 - q)\, N(a, s_a^2) + q\, N(b, s_b^2),

with q = 1 / (1 + exp(-e)), where e, a and b are quadratic and ln s linear in the settings, each
from -1 to 1 over its range. The coefficients were fitted to those tests once, by maximum
likelihood.
"""

import itertools

import numpy as np
from scipy.special import expit
from scipy.stats import norm

LOW, HIGH = np.array([6, 0, 1.5, 0.7]), np.array([12, 200, 2.5, 1.4])
"""The smallest and the largest n, θ in degrees, r and t in mm."""


def _terms(phi, degree):
    """The monomials of the settings, in the order of the coefficients below."""
    u = 2 * (np.asarray(phi, dtype=float) - LOW) / (HIGH - LOW) - 1
    powers = [p for p in itertools.product(range(degree + 1), repeat=4) if sum(p) <= degree]
    return np.stack([np.prod(u ** np.array(p), axis=-1) for p in powers], axis=-1)


# fmt: off
_TOUGH = [2.38, 0.0, -0.4, 1.52, -1.03, -1.55, 4.61, -0.97, -2.86, -2.28,
          1.08, -1.23, -2.26, -2.08, -1.03]
_MEANS = ([1.41, -0.17, -0.01, 0.33, -0.34, -0.52, -0.15, 0.2, -0.03, 0.09,
           0.13, -0.17, -0.54, 0.34, -0.2],
          [3.04, 0.03, -0.01, 0.39, -0.14, -0.08, 0.22, -0.11, -0.37, -0.03,
           0.27, -0.08, -0.05, -0.13, -0.08])
_SPREADS = ([-0.4, -0.09, 0.21, 0.11, -0.05], [-1.57, 0.39, -0.19, -0.17, 0.3])
# fmt: on


def _law(phi):
    """q, the two means and the two standard deviations of ln m, with a last axis of 2."""
    q = expit(_terms(phi, 2) @ _TOUGH)
    means = np.stack([_terms(phi, 2) @ c for c in _MEANS], axis=-1)
    return q, means, np.exp(np.stack([_terms(phi, 1) @ c for c in _SPREADS], axis=-1))


def crushed(phi, seeds):
    """The toughness in J of one print at each setting, with shape `(N,)`."""
    q, means, spreads = _law(phi)
    draws = [np.random.default_rng(seed) for seed in seeds]
    tough = np.array([rng.random() for rng in draws]) < q
    kind = np.arange(len(q)), tough.astype(int)
    return np.exp(means[kind] + spreads[kind] * [rng.normal() for rng in draws])


def share_above(limit, phi):
    """The exact P(m > limit | φ)."""
    q, means, spreads = _law(phi)
    above = norm.sf(np.log(limit), means, spreads)
    return (1 - q) * above[..., 0] + q * above[..., 1]
