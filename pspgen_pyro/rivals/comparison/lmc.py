"""The linear model of coregionalisation in GPyTorch; the one module that imports it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from ...errors import TrainingError
from ...io.optional import optional
from .surrogate import LMCLaw

if TYPE_CHECKING:
    from .sparse import SparseGP

__all__ = ["climb", "coregionalised", "frozen", "need_libraries"]

# rows on which the change of the objective is measured, without the noise of minibatches
_JUDGED = 2048
_LAST_RATE = 1e-6


def need_libraries() -> Any:
    """GPyTorch, once it and scikit-learn are there.

    Raises:
        MissingDependencyError: If one of them is missing.
    """
    optional("sklearn.decomposition", "The comparison method", "study")
    with warnings.catch_warnings():
        # a notice of torch about a decorator that GPyTorch's dependencies use
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        return optional("gpytorch", "The comparison method", "study")


def climb(settings: SparseGP, x: Tensor, y: Tensor, latents: int) -> tuple[LMCLaw, float]:
    """The trained law, and the relative change of its objective over the last tenth of the steps;
    the steps are in single precision, as the authors' are.

    Raises:
        MissingDependencyError: If a library is missing.
        TrainingError: If the objective becomes NaN or infinite.
    """
    gp = need_libraries()
    x, y = x.float(), y.float()
    natural = settings.objective == "elbo"
    inducing = _middles(x, settings.inducing(len(x))).expand(latents, -1, -1)
    model = coregionalised(inducing, y.shape[1], natural).to(x)
    likelihood = gp.likelihoods.MultitaskGaussianLikelihood(y.shape[1], rank=0).to(x)
    kind = {"elbo": gp.mlls.VariationalELBO, "predictive": gp.mlls.PredictiveLogLikelihood}
    objective = kind[settings.objective](likelihood, model, num_data=len(x))
    law, others = [*model.variational_parameters()], [*model.hyperparameters()]
    others += [*likelihood.parameters(), *(() if natural else law)]
    optimisers = [torch.optim.Adam(others, lr=settings.rate)]
    if natural:
        optimisers += [gp.optim.NGD(law, num_data=len(x), lr=settings.natural_rate)]
    rates = [CosineAnnealingLR(one, settings.steps, eta_min=_LAST_RATE) for one in optimisers]
    judged = torch.randperm(len(x))[:_JUDGED]

    def value(rows: Tensor) -> Tensor:
        with gp.settings.linalg_dtypes(default=torch.float32):
            return objective(model(x[rows]), y[rows])

    late, before = settings.steps - max(1, settings.steps // 10), torch.tensor(torch.nan)
    for step, rows in enumerate(_batches(len(x), settings.batch_size, settings.steps)):
        if step == late:
            with torch.no_grad():
                before = value(judged)
        for one in optimisers:
            one.zero_grad()
        loss = -value(rows)
        if not loss.isfinite():
            raise TrainingError(
                f"the objective of the comparison method became {loss.item()} at step {step}; "
                "try smaller rates."
            )
        loss.backward()
        for one in (*optimisers, *rates):
            one.step()
    with torch.no_grad():
        after = value(judged)
        change = (after - before).abs() / after.abs().clamp(min=1)
        return frozen(model, likelihood), float(change)


def coregionalised(inducing: Tensor, tasks: int, natural: bool) -> Any:
    """A model with its inducing points at `inducing`, with shape `(L, M, D)`, RBF kernels with a
    length scale an input, and q(u) by its natural parameters or by its Cholesky factor."""
    gp = need_libraries()
    kind = "NaturalVariationalDistribution" if natural else "CholeskyVariationalDistribution"
    count, points, inputs = inducing.shape
    shape = torch.Size([count])

    class Coregionalised(gp.models.ApproximateGP):
        def __init__(self) -> None:
            law = getattr(gp.variational, kind)(points, batch_shape=shape, mean_init_std=1e-6)
            base = gp.variational.VariationalStrategy(
                self, inducing.clone(), law, learn_inducing_locations=True
            )
            super().__init__(
                gp.variational.LMCVariationalStrategy(
                    base, num_tasks=tasks, num_latents=count, latent_dim=-1
                )
            )
            self.mean_module = gp.means.ConstantMean(batch_shape=shape)
            kernel = gp.kernels.RBFKernel(ard_num_dims=inputs, batch_shape=shape)
            self.covar_module = gp.kernels.ScaleKernel(kernel, batch_shape=shape)

        def forward(self, x: Tensor) -> Any:
            return gp.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    return Coregionalised()


@torch.no_grad()
def frozen(model: Any, likelihood: Any) -> LMCLaw:
    """What a model and its likelihood predict, in double precision."""
    mixed = model.variational_strategy
    base, kernel = mixed.base_variational_strategy, model.covar_module
    law, rbf = base.variational_distribution, kernel.base_kernel
    inducing = _double(base.inducing_points)
    scaled, outputscale = inducing / _double(rbf.lengthscale), _double(kernel.outputscale)
    gram = outputscale[:, None, None] * (-0.5 * torch.cdist(scaled, scaled) ** 2).exp()
    eye = torch.eye(inducing.shape[1]).to(gram)
    root = torch.linalg.cholesky(gram + base.jitter_val * eye)
    whitened = torch.linalg.solve_triangular(root, eye.expand_as(root), upper=False)
    return LMCLaw(
        inducing=inducing,
        lengthscale=_double(rbf.lengthscale),
        outputscale=outputscale,
        constant=_double(model.mean_module.constant),
        weights=(whitened.mT @ _double(law.mean).unsqueeze(-1)).squeeze(-1),
        reduction=whitened.mT @ (eye - _double(law.covariance_matrix)) @ whitened,
        mixing=_double(mixed.lmc_coefficients),
        noise=_double(likelihood.task_noises + likelihood.noise),
    )


def _double(value: Tensor) -> Tensor:
    return value.detach().double()


def _middles(x: Tensor, count: int) -> Tensor:
    """The centres of as many clusters of the rows, by k-means, with shape `(count, D)`."""
    cluster = optional("sklearn.cluster", "The comparison method", "study")
    count = min(count, len(x.unique(dim=0)))
    seed = int(torch.randint(2**31, ()))
    found = cluster.KMeans(count, n_init=1, max_iter=30, random_state=seed).fit(x.cpu().numpy())
    return torch.tensor(found.cluster_centers_).to(x)


def _batches(rows: int, size: int, steps: int) -> Any:
    """Shuffled minibatches, each row once an epoch."""
    step = 0
    while step < steps:
        order = torch.randperm(rows)
        for index in order[: max(1, rows // size) * size].split(size)[: steps - step]:
            yield index
            step += 1
