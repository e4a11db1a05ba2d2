"""`pspgen fit`: learn the chain from triads."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from ..errors import InputError

if TYPE_CHECKING:
    from ..runs import Run
    from ..training.checkpoint import History

__all__ = ["Fit", "options_of"]

_OWN = ("triads", "out", "pairs")


@dataclass(frozen=True)
class Fit:
    """Train PSP-GEN on a triads store and write a run folder: `psp.fit`, with its defaults.

    Example: pspgen fit triads.zarr --out run
    """

    triads: Positional[Path]
    """The triads store made by `pspgen simulate`, or from data of your own."""
    out: Path
    """The run folder to write; it must not exist."""
    pairs: Path | None = None
    """Another triads store of the same process whose m is left aside: unlabelled samples, which
    train with the triads."""
    labels: int | None = None
    """Keep the m of so many triads only, and train on the others as unlabelled samples."""
    model: Literal["default", "paper"] | None = None
    """`default`: the law of the properties given phi in closed form, and a reader of images whose
    properties are unknown. `paper`: the published model."""
    symmetries: Literal["declared", "none"] | None = None
    """What the data are multiplied by: the symmetries that the process declares, or none."""
    reader_steps: int | None = None
    """The largest number of gradient steps of the reader, if the model has one."""
    prior_steps: int | None = None
    """The largest number of gradient steps of the properties' law given phi."""
    epochs: int | None = None
    """Passes through the training data for the rest of the model. Default: 15 for the default
    model (0 leaves its images untrained and every P as it will be), 30 for the paper's."""
    batch_size: int | None = None
    """Triads a step."""
    learning_rate: Annotated[float | None, arg(aliases=["--lr"])] = None
    """Adam's learning rate."""
    beta: float | None = None
    """The weight of the Kullback-Leibler term."""
    updates: Literal["alternating", "joint"] | None = None
    """Guide and model in alternation, or both at once."""
    schedule: Literal["cosine", "plateau"] | None = None
    """How the learning rate falls."""
    patience: int | None = None
    """Stop early after this many epochs without a better validation loss."""
    latent: int | None = None
    """The size of z0."""
    process_latent: int | None = None
    """The size of z1."""
    members: int | None = None
    """How many models to train apart; more than one make an ensemble, whose spread says what the
    data leave open."""
    bootstrap: bool = True
    """Train every member of an ensemble on settings drawn from the triads' with replacement."""
    workers: int | None = None
    """Processes that train members side by side."""
    scheduler: str | None = None
    """A dask scheduler to use instead of local processes, as tcp://host:8786; needs the
    extra `cluster`."""
    seed: int = 0
    """Seeds the weights, the order of the data and the noise."""
    threads: int = 1
    """Threads of torch; on small images one is fastest unless the machine is idle. Members of an
    ensemble have one each."""
    device: str | None = None
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
        from ..data import Triads

        triads = Triads.open(self.triads)
        pairs = None if self.pairs is None else Triads.open(self.pairs)
        from ..runs import fit

        run = fit(triads, pairs=pairs, checkpoint=unfinished, **self.given())
        run.save(self.out)
        shutil.rmtree(unfinished, ignore_errors=True)
        for k, history in enumerate(run.histories, 1):
            which = f"member {k} of {len(run.members)}, " if len(run.members) > 1 else ""
            print(f"{self.out}: {which}{_words(history)}")
            if history.of_images():
                print(history.of_images())
        return None

    def given(self) -> dict[str, Any]:
        """The options as `psp.fit` takes them; those that nobody gave have its defaults."""
        values = {k: v for k, v in asdict(self).items() if k not in _OWN}
        return {name: value for name, value in values.items() if value is not None}


def options_of(run: Run) -> list[str]:
    """The options of `pspgen fit` that train such a run; a setting that only Python can give is
    shown as it was told."""
    settings, options = run.training.get("settings", {}), []
    for entry in fields(Fit):
        value, flag = settings.get(entry.name), f"--{entry.name.replace('_', '-')}"
        if value is None or value == entry.default:
            continue
        if isinstance(value, bool):
            options.append(flag if value else f"--no-{flag[2:]}")
        elif entry.name == "pairs":
            options += [flag, f"TRIADS-{value['digest']}"]
        else:
            options += [flag, str(value)]
    return options


def _words(history: History) -> str:
    """One line on how the training went."""
    if not len(history):
        return f"the properties' law trained in {sum(history.stage_seconds.values()):.0f} s"
    last = {name: values[history.best_epoch] for name, values in history.epochs.items()}
    terms = {"x": ".1f", "m": ".2f", "kl": ".1f"}
    shown = [
        f"{'KL' if name == 'kl' else name} {last[key]:{form}}"
        for name, form in terms.items()
        if (key := f"validation_{name}") in last
    ]
    return (
        f"{len(history)} epochs in {history.epochs['seconds'][-1]:.0f} s, {history.status}; best "
        f"validation terms in nats a sample: {', '.join(shown)}"
    )
