"""Two problems with an exactly known P(m in the target | φ), for `benchmarks/campaign.py`.

The property, on its scale, is normal given φ, so that P(m > a | φ) = Φ((μ(φ) − a) / σ(φ)).

| problem | settings | law |
|---|---|---|
| mixed | an adhesive of three, one to three layers, temperature and pressure | below |
| mixture | five components that sum to one | an emulator of 233 real films, P3HT |

`mixed` is the strength of a glued joint. The acrylic is good everywhere and better with more of
everything, which is what a straight line sees; it scatters by 3 MPa. The epoxy is poor but for one
recipe, two layers at about 386 K and 0.95 MPa, where it is the best, and scatters more the hotter
and the harder it is pressed. `mixture` is a Gaussian process with a Matérn kernel fitted to log
conductivities that were measured, and σ is the local root mean square of what it left: nobody's
own model, though next of kin to a rival's. Thresholds were chosen from the laws alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

import pspgen_pyro as psp

FIRST, BATCH, BATCHES = 40, 8, 10


@dataclass(frozen=True)
class Problem:
    """A process with one property whose law is known.

    Arguments:
        name: Its name.
        process: The settings.
        property: The property, in words.
        threshold: The target is met above it, in the property's unit.
        log: Whether the property acts by its logarithm.
        law: μ and σ on the property's scale, each with shape `(N)`, at settings `(N, P)`.
    """

    name: str
    process: psp.ProcessSpace
    property: str
    threshold: float
    log: bool
    law: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

    @property
    def target(self):
        """The target in words, as a user asks for it."""
        name, unit = self.property.split()[:2]
        return f"{name} > {self.threshold:g} {unit.strip('[]')}"

    @property
    def heading(self):
        """The column of the property in a campaign's table."""
        return " ".join(self.property.split()[:2])

    @property
    def level(self):
        """The threshold on the property's scale."""
        return np.log(self.threshold) if self.log else self.threshold

    def truth(self, phi):
        """P of the target at settings `(N, P)`, exactly."""
        mean, sd = self.law(np.atleast_2d(phi))
        return ndtr((mean - self.level) / sd)

    def measured(self, phi, seed, first):
        """One material at each setting, values in the unit with shape `(N)`; experiment number i
        of a data set has the same luck whoever asks for it."""
        mean, sd = self.law(phi)
        luck = np.random.default_rng([0xE4, seed]).normal(size=FIRST + BATCH * BATCHES)
        m = mean + sd * luck[first : first + len(phi)]
        return np.exp(m) if self.log else m

    def beginning(self, seed):
        """The random experiments that every method starts from: settings and values."""
        phi = self.process.sample(FIRST, np.random.default_rng([0xF1, seed]))
        return phi, self.measured(phi, seed, 0)

    @cached_property
    def best(self):
        """The setting of the largest P, and that P."""
        return climbed(self.process, self.truth, np.random.default_rng(0), 40_000, 400)


def climbed(process, function, rng, wide=2000, near=20):
    """The setting where a function of settings is largest, and its value there: scattered first,
    then nearer and nearer to the fifty best."""
    phi = process.sample(wide, rng)
    values = function(phi)
    for reach in (0.1, 0.03, 0.01, 0.003):
        best = np.argsort(-values)[:50]
        around = np.repeat(phi[best], near, axis=0)
        more = process.feasible.near(around, np.full((len(around), 1), reach), rng)
        phi = np.concatenate([phi[best], more])
        values = np.concatenate([values[best], function(more)])
    return phi[values.argmax()], float(values.max())


def mixed():
    process = psp.ProcessSpace.of(
        {
            "adhesive": psp.Categorical(("acrylic", "epoxy", "urethane")),
            "layers": psp.Integer(1, 3),
            "T": psp.Real(330, 410, "K"),
            "pressure": psp.Real(0.1, 2.0, "MPa"),
        }
    )

    def law(phi):
        kind, n = phi[:, 0].astype(int), phi[:, 1]
        u, v = (phi[:, 2] - 330) / 80, (phi[:, 3] - 0.1) / 1.9
        peak = np.exp(-(((u - 0.7) / 0.4) ** 2) - ((v - 0.45) / 0.6) ** 2)
        means = (
            17 + 3.5 * u + 2.5 * v + 0.8 * n,
            13 + 14 * peak - 1.2 * (n - 2) ** 2,
            20 - 12 * (u - 0.3) ** 2 + 2 * v - 0.5 * n,
        )
        sds = np.full_like(u, 3.0), 1.2 + 2.5 * u * v, 1.5 + 1.5 * u
        return np.choose(kind, means), np.choose(kind, sds)

    return Problem("mixed", process, "strength [MPa] linear", 25.0, False, law)


def mixture(public):
    file = public / "olympus" / "p3ht_raw.csv"
    names = file.read_text().splitlines()[0].split(",")[:-1]
    rows = np.loadtxt(file, delimiter=",", skiprows=1)
    x, m = rows[:, :-1] / rows[:, :-1].sum(axis=1, keepdims=True), np.log(rows[:, -1])
    kernel = ConstantKernel(1.0) * Matern([0.3] * 5, (0.15, 5.0), nu=2.5) + WhiteKernel(0.1)
    gp = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(x, m)
    squares, reach = (m - gp.predict(x)) ** 2, 0.1

    def law(phi):
        near = np.exp(-0.5 * ((phi[:, None] - x) ** 2).sum(-1) / reach**2)
        # as if ten films with the spread of all lay at every setting
        variance = (near @ squares + 10 * squares.mean()) / (near.sum(axis=1) + 10)
        return gp.predict(phi), np.sqrt(variance)

    ends = zip(names, x.min(axis=0).round(2), x.max(axis=0).round(2), strict=True)
    process = psp.ProcessSpace.of(
        {name: psp.Real(float(low), float(high)) for name, low, high in ends},
        constraints=" + ".join(names) + " = 1",
    )
    return Problem("mixture", process, "conductivity [S/cm] log", 700.0, True, law)
