"""`pspgen fit`: learn the chain from triads."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from ..errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from ..data.batches import Batches
    from ..model import PSPGen
    from ..training.checkpoint import History
    from ..training.objective import Objective

__all__ = ["Fit", "training_data"]


@dataclass(frozen=True)
class Fit:
    """Train PSP-GEN on a triads store and write a run folder.

    Example: pspgen fit triads.zarr --out run
    """

    triads: Positional[Path]
    """The triads store made by `pspgen simulate`."""
    out: Path
    """The run folder to write, or an ensemble's of such folders; it must not exist."""
    pairs: Path | None = None
    """Another triads store of the same case whose m is left aside: bare pairs of settings and
    microstructures, which train with the triads."""
    labels: int | None = None
    """Keep the m of so many triads only, and train on the others as bare pairs."""
    model: Literal["default", "paper", "convolutional"] = "default"
    """`default`: m through a code of the microstructure, with a prior given phi. `paper`: the
    published model. `convolutional`: the default with a periodic convolutional image, slower."""
    symmetries: Literal["declared", "none"] | None = None
    """What the data are multiplied by: the symmetries that the process declares, or none. Default:
    declared if the model has a property code, none otherwise."""
    property_steps: int = 1500
    """Gradient steps of the property code, if the model has one."""
    prior_steps: int = 2500
    """The largest number of gradient steps of its prior."""
    epochs: int | None = None
    """Passes through the training data for the rest of the model. Default: 15 if the model has a
    property code (0 trains that and nothing else), or 30."""
    batch_size: int = 250
    """Triads a step."""
    learning_rate: Annotated[float, arg(aliases=["--lr"])] = 2e-3
    """Adam's learning rate."""
    objective: Literal["elbo", "iwae"] = "elbo"
    """The bound that is ascended; `iwae` weighs 8 draws of z0 and asks for --beta 1."""
    updates: Literal["alternating", "joint"] = "alternating"
    """Guide and model in alternation, or both at once."""
    schedule: Literal["cosine", "plateau"] = "cosine"
    """How the learning rate falls."""
    patience: int | None = None
    """Stop early after this many epochs without a better validation loss."""
    latent: int | None = None
    """The size of z0. Default: 64; the convolutional model has its own."""
    process_latent: int = 21
    """The size of z1."""
    beta: float | None = None
    """The weight of the Kullback-Leibler term. Default: 2; the convolutional model's is 1."""
    members: int = 1
    """How many models to train apart; more than one make an ensemble, whose spread says what the
    data leave open."""
    bootstrap: bool = True
    """Train every member of an ensemble on settings drawn from the triads' with replacement."""
    workers: int = 1
    """Processes that train members side by side."""
    seed: int = 0
    """Seeds the weights, the order of the data and the noise."""
    threads: int = 1
    """Threads of torch; on small images one is fastest unless the machine is idle."""
    device: str = "cpu"
    """Where to train, such as `cuda`."""
    resume: bool = False
    """Go on with an interrupted run of the same settings."""

    def run(self) -> int | None:
        from ..io.publish import refuse_existing

        refuse_existing(self.out)
        unfinished = self.out.with_name(self.out.name + ".partial")
        if not self.resume and unfinished.exists():
            raise InputError(
                f"'out' is {str(self.out)!r}, whose training was interrupted; add --resume to go "
                f"on, or remove {str(unfinished)!r}."
            )
        self._check()
        from ..data import open_triads

        triads = open_triads(self.triads)
        import torch

        from ..design import Support
        from ..io.provenance import environment
        from ..model import PSPGen
        from ..runs import EnsembleRun, Run, describe, process_of, save_ensemble, save_run
        from ..training.objective import ELBO, ImportanceWeighted, objective_to_json

        torch.set_num_threads(self.threads)
        data = training_data(triads, self.labels, self.pairs, self.seed)
        torch.manual_seed(self.seed)
        make = {"paper": PSPGen.paper, "convolutional": PSPGen.convolutional}.get(
            self.model, PSPGen
        )
        given = {"latent": self.latent, "beta": self.beta}
        model = make(
            process_of(triads),
            (triads.sizes["row"], triads.sizes["column"]),
            properties=[str(name) for name in triads["property"].values],
            phases=int(triads.attrs.get("phases", 2)),
            process_latent=self.process_latent,
            **{name: value for name, value in given.items() if value is not None},
        ).float()
        objective = ELBO() if self.objective == "elbo" else ImportanceWeighted()
        trained = self._train(model, data, objective, unfinished)
        story = {
            "settings": self.settings(),
            "objective": objective_to_json(objective),
            "environment": environment(),
        }
        support = Support.from_dataset(triads)
        runs = tuple(Run(*one, describe(triads), story, support) for one in trained)
        if self.members > 1:
            save_ensemble(EnsembleRun(runs), self.out)
        else:
            save_run(runs[0], self.out)
        shutil.rmtree(unfinished, ignore_errors=True)
        for k, run in enumerate(runs):
            which = f"member {k + 1} of {self.members}, " if self.members > 1 else ""
            print(f"{self.out}: {which}{_words(run.history)}")
        return None

    def settings(self) -> dict[str, Any]:
        """All options, ready for JSON."""
        values = asdict(self).items()
        return {name: str(v) if isinstance(v, Path) else v for name, v in values}

    def _check(self) -> None:
        for name in ("threads", "members", "workers", "property_steps", "prior_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"'{name}' is {getattr(self, name)}; it must be at least 1.")
        if self.workers > self.members:
            raise InputError(
                f"'workers' is {self.workers} but there is work for {self.members}, one a member; "
                "ask for more members with --members."
            )

    def _train(
        self, model: PSPGen, data: Batches, objective: Objective, unfinished: Path
    ) -> list[tuple[PSPGen, History]]:
        """The trained models and their histories."""
        from ..training import fit
        from ..training.ensemble import fit_ensemble
        from ..training.stages import PriorStage, PropertyStage
        from ..training.updates import Alternating, Cosine, Joint, Plateau

        settings: dict[str, Any] = {
            "objective": objective,
            "symmetries": () if self.symmetries == "none" else self.symmetries,
            "property_stage": PropertyStage(steps=self.property_steps),
            "prior_stage": PriorStage(steps=self.prior_steps),
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "updates": Alternating() if self.updates == "alternating" else Joint(),
            "schedule": Cosine() if self.schedule == "cosine" else Plateau(),
            "patience": self.patience,
            "seed": self.seed,
            "device": self.device,
            "checkpoint": unfinished,
            "resume": self.resume,
        }
        if self.members == 1:
            return [(model, fit(model, data, **settings))]
        several = {"members": self.members, "bootstrap": self.bootstrap, "workers": self.workers}
        ensemble, histories = fit_ensemble(model, data, **several, **settings)
        return list(zip(ensemble, histories, strict=True))


def training_data(
    triads: xr.Dataset, labels: int | None, pairs: Path | None, seed: int
) -> Batches:
    """The triads as `pspgen fit` trains on them, with the bare pairs that were asked for."""
    from ..data import open_triads
    from ..data.batches import Batches

    data = Batches.from_dataset(triads)
    if labels is not None:
        data = data.hide_properties(labels, seed)
    if pairs is None:
        return data
    others = open_triads(pairs)
    for key in ("case", "preset", "n", "names", "bounds"):
        if others.attrs.get(key) != triads.attrs.get(key):
            raise InputError(
                f"'pairs' was made with {key} {others.attrs.get(key)!r} but 'triads' with "
                f"{triads.attrs.get(key)!r}; give pairs of the same process."
            )
    return data.with_pairs(Batches.from_dataset(others))


def _words(history: History) -> str:
    """One line on how the training went."""
    if not len(history):
        return f"the property's part trained in {history.stage_seconds:.0f} s"
    last = {name: values[history.best_epoch] for name, values in history.epochs.items()}
    return (
        f"{len(history)} epochs in {history.epochs['seconds'][-1]:.0f} s, {history.status}; best "
        f"validation terms in nats a sample: x {last['validation_x']:.1f}, m "
        f"{last['validation_m']:.2f}, KL {last['validation_kl']:.1f}"
    )
