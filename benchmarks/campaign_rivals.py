"""What else asks for experiments, for `benchmarks/campaign.py`: BoTorch and BoFire.

Both maximise m by log noisy expected improvement on a Gaussian process of m on the property's
scale, batches of eight, its noise inferred and the same everywhere. That is the way to "m > a":
under such a noise P(m > a) grows with what is expected of m. Their answer is the setting with the
largest P of their own, the posterior predictive one with the noise,

    P = Φ((μ − a) / √(s² + σ²)),

and the 90 % interval is that of Φ((f − a) / σ) under the posterior N(μ, s²) of the function f.
BoTorch asks by `optimize_acqf_mixed`, one after the other within a batch, over every combination
of integer and category, and keeps the sum as an equality. BoFire asks as it does by itself.
"""

import numpy as np
import pandas as pd
import torch
from campaign_problems import climbed
from scipy.special import ndtr

import pspgen_pyro as psp

# restarts and steps where all settings are real, and for every combination of those that are not
REAL, DISCRETE = (2, 20), (1, 10)
RAW, SAMPLES, ROWS = 32, 64, 250
NORMAL = 1.6448536269514722


class BoTorch:
    """A user of BoTorch.

    Arguments:
        problem: The problem.
        seed: Seeds it.
    """

    def __init__(self, problem, seed):
        torch.manual_seed(seed)
        self.problem, self.feasible = problem, problem.process.feasible
        self.rng = np.random.default_rng([0xB0, seed])
        kinds = problem.process.settings
        self.words = [j for j, one in enumerate(kinds) if one.words]
        self.restarts, self.steps = DISCRETE if self.feasible.discrete.any() else REAL

    def unit(self, phi):
        """Settings as the Gaussian process sees them: words as they are, numbers from 0 to 1."""
        x = (phi - self.feasible.lower) / self.feasible.width
        x[:, self.words] = phi[:, self.words]
        return torch.tensor(x)

    def tell(self, phi, m):
        """Fits the Gaussian process to all experiments: settings, and m on its scale."""
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import MixedSingleTaskGP, SingleTaskGP
        from gpytorch.mlls import ExactMarginalLogLikelihood

        self.x, y = self.unit(phi), torch.tensor(m)[:, None]
        self.model = (
            MixedSingleTaskGP(self.x, y, cat_dims=self.words)
            if self.words
            else SingleTaskGP(self.x, y)
        )
        fit_gpytorch_mll(ExactMarginalLogLikelihood(self.model.likelihood, self.model))

    def ask(self, batch):
        """The next settings."""
        from botorch.acquisition import qLogNoisyExpectedImprovement
        from botorch.optim import optimize_acqf, optimize_acqf_mixed
        from botorch.sampling import SobolQMCNormalSampler

        low, width = self.feasible.lower, self.feasible.width
        bounds = torch.tensor(np.stack([np.zeros_like(low), np.ones_like(low)]))
        bounds[1, self.words] = torch.tensor(width[self.words])
        sampler = SobolQMCNormalSampler(torch.Size([SAMPLES]))
        gain = qLogNoisyExpectedImprovement(self.model, self.x, sampler, prune_baseline=True)
        options = {
            "acq_function": gain,
            "bounds": bounds,
            "q": batch,
            "num_restarts": self.restarts,
            "raw_samples": RAW,
            # the first points of a simplex come from a random walk
            "options": {"maxiter": self.steps, "n_burnin": 1000, "n_thinning": 8},
        }
        if self.feasible.discrete.any():
            columns = np.flatnonzero(self.feasible.discrete)
            listed = [fixed[columns] for fixed, _ in self.feasible.slices]
            fixed = [
                {int(j): float(v) for j, v in zip(columns, self.of(columns, one), strict=True)}
                for one in listed
            ]
            x, _ = optimize_acqf_mixed(**options, fixed_features_list=fixed)
        else:
            weights, number, _ = self.feasible.linear
            everything = torch.arange(len(low))
            sums = [
                (everything, torch.tensor(w * width), float(b - w @ low))
                for w, b in zip(weights, number, strict=True)
            ]
            x, _ = optimize_acqf(**options, equality_constraints=sums, sequential=True)
        phi = low + width * x.numpy()
        phi[:, self.words] = x.numpy()[:, self.words]
        return self.feasible.placed(phi)

    def of(self, columns, values):
        """Values of some columns as the Gaussian process sees them."""
        phi = np.zeros((1, len(self.feasible.lower)))
        phi[0, columns] = values
        return self.unit(phi)[0, columns].tolist()

    def normal(self, phi):
        """The mean and the standard deviations of f and of the noise at settings."""
        found = []
        for x in self.unit(phi).split(ROWS):
            f, y = (self.model.posterior(x, observation_noise=noise) for noise in (False, True))
            found.append(torch.cat([f.mean, f.variance, y.variance], dim=-1).detach().numpy())
        mean, s2, total = np.concatenate(found).T
        return mean, np.sqrt(s2), np.sqrt(np.maximum(total - s2, 1e-12))

    def answer(self):
        """The setting with the largest P, that P, and the ends of its interval."""

        def p(phi):
            mean, s, noise = self.normal(phi)
            return ndtr((mean - self.problem.level) / np.hypot(s, noise))

        phi, value = climbed(self.problem.process, p, self.rng)
        mean, s, noise = (float(part[0]) for part in self.normal(phi[None]))
        ends = ndtr((mean + np.array([-NORMAL, NORMAL]) * s - self.problem.level) / noise)
        return phi, value, *ends.tolist()


class BoFire(BoTorch):
    """A user of BoFire, with its own defaults.

    Arguments:
        problem: The problem.
        seed: Seeds it.
    """

    def __init__(self, problem, seed):
        from bofire.data_models.constraints.api import LinearEqualityConstraint
        from bofire.data_models.domain.api import Constraints, Domain, Inputs, Outputs
        from bofire.data_models.features.api import (
            CategoricalInput,
            ContinuousInput,
            ContinuousOutput,
            DiscreteInput,
        )
        from bofire.data_models.objectives.api import MaximizeObjective
        from bofire.data_models.strategies.api import BotorchOptimizer, SoboStrategy
        from bofire.strategies.api import map as made

        super().__init__(problem, seed)
        process = problem.process
        inputs = [
            CategoricalInput(key=name, categories=list(one.words))
            if one.words
            else DiscreteInput(key=name, values=one.levels.tolist())
            if isinstance(one, psp.Integer)
            else ContinuousInput(key=name, bounds=one.bounds)
            for name, one in zip(process.names, process.settings, strict=True)
        ]
        weights, number, _ = process.feasible.linear
        sums = [
            LinearEqualityConstraint(
                features=list(process.names), coefficients=w.tolist(), rhs=float(b)
            )
            for w, b in zip(weights, number, strict=True)
        ]
        domain = Domain(
            inputs=Inputs(features=inputs),
            outputs=Outputs(features=[ContinuousOutput(key="m", objective=MaximizeObjective())]),
            constraints=Constraints(constraints=sums),
        )
        climbs = BotorchOptimizer(
            n_restarts=self.restarts, n_raw_samples=RAW, maxiter=self.steps, sequential=True
        )
        self.strategy = made(SoboStrategy(domain=domain, acquisition_optimizer=climbs, seed=seed))

    def unit(self, phi):
        """Settings as the strategy's Gaussian process takes them."""
        specs = self.strategy.input_preprocessing_specs
        x = self.strategy.domain.inputs.transform(experiments=self.frame(phi), specs=specs)
        return torch.tensor(x.to_numpy(dtype=float))

    def frame(self, phi):
        """Settings as a table with words."""
        table = pd.DataFrame(phi, columns=list(self.problem.process.names))
        for j in self.words:
            words = self.problem.process.settings[j].words
            table[table.columns[j]] = [words[int(value)] for value in phi[:, j]]
        return table

    def tell(self, phi, m):
        """Tells all experiments."""
        self.strategy.tell(self.frame(phi).assign(m=m, valid_m=1), replace=True)
        self.model = self.strategy.model

    def ask(self, batch):
        """The next settings."""
        table, names = self.strategy.ask(batch), self.problem.process.names
        rows = table[list(names)].to_dict("records")
        return self.feasible.placed(
            np.array([self.problem.process.unlabelled(row) for row in rows])
        )
