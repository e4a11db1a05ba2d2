"""A trained model with its story, and every question that it can be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from ..design import (
    Design,
    DesignPosterior,
    Support,
    verify,
)
from ..design.loop import ClosedLoop, design_in_loop
from ..errors import InputError
from ..io.validation import check_whole, local_path
from ..model import PSPGen
from ..model.ensemble import Ensemble
from ..training.checkpoint import History
from .provenance import chain_of, check_schema, check_trained_on
from .questions import Held, Question, Questions

if TYPE_CHECKING:
    import xarray as xr

    from ..data.batches import Batches
    from ..data.triads import Triads
    from ..design import Simulator, SimulatorFunction, Verification
    from ..diagnosis.checkup import Checkup

__all__ = ["Run"]


@dataclass(frozen=True, eq=False)
class Run(Questions):
    """A trained model, or an ensemble of some, with its story.

    A question is a target by names, such as "k_h < 1e-12 m^2, strength > 30 MPa" or the same from
    `psp.target`, or a region of m (`Box`, `Boxes`).

    Arguments:
        model: The model or the ensemble, in evaluation mode.
        histories: The history of the training of each member.
        data: What it was trained on: the number of triads, their digest, and of the study's data
            case, preset, formulation and seed.
        training: The settings of `fit` and the environment it ran in.
        support: The properties it was trained on, if they were kept.

    Raises:
        InputError: If there is not one history a member.
    """

    model: PSPGen | Ensemble
    histories: tuple[History, ...]
    data: dict[str, Any]
    training: dict[str, Any]
    support: Support | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "histories", tuple(self.histories))
        if len(self.histories) != len(self.members):
            raise InputError(
                f"'histories' has {len(self.histories)} for {len(self.members)} model(s); give "
                "one each."
            )

    @property
    def members(self) -> Sequence[PSPGen]:
        """The models; one if it is no ensemble."""
        return self.model.members

    def member(self, number: int = 1) -> Run:
        """The run of one member, counted from 1.

        Raises:
            InputError: If there is no such member.
        """
        check_whole(member=number)
        if number > len(self.members):
            raise InputError(
                f"'member' is {number}; this run has the members 1 to {len(self.members)}."
            )
        model, history = self.members[number - 1], self.histories[number - 1]
        return replace(self, model=model, histories=(history,))

    def without_errors(self) -> Run:
        """The run of the properties themselves: their declared measurement errors are taken out of
        the law of m, so that P is that of a material, not of a reading.

        Raises:
            InputError: If no property declares one.
        """
        models = tuple(member.without_errors() for member in self.members)
        return replace(self, model=models[0] if len(models) == 1 else Ensemble(models))

    def posterior(self, target: Question, *, prior: Any = None) -> DesignPosterior:
        """Every setting and material that is consistent with the target: draw by its `sample`.

        Arguments:
            target: The question.

        Other arguments:
            prior: As for `DesignPosterior`.

        Raises:
            InputError: If the run is an ensemble, or as `DesignPosterior` does.
        """
        return DesignPosterior(self.one("posterior"), self.target(target), prior, self.support)

    def verify(
        self,
        design: Design | ArrayLike,
        target: Question | None = None,
        *,
        simulator: Simulator | SimulatorFunction | None = None,
        samples: int = 400,
        seed: int = 0,
        tolerance: Held = None,
        progress: Callable[[int], object] | None = None,
    ) -> Verification:
        """Fresh simulations at a design, and how many of them meet its target; of a design under a
        tolerance each at another φ + δ.

        Arguments:
            design: The design, or settings with shape `(P)`.
            target: The question; that of the design if None.

        Other arguments:
            simulator: A chain, or a function of settings and seeds; the chain of the study's case
                if None.
            samples: How many.
            seed: Seeds them.
            tolerance: How well the settings are held; as that of the design if None.
            progress: As for `design.verify`.

        Raises:
            InputError: As `design.verify` does, if settings come without a target, or there is no
                simulator.
            SimulationError: As `design.verify` does.
        """
        phi = design.phi if isinstance(design, Design) else design
        held = design.tolerance if isinstance(design, Design) and tolerance is None else tolerance
        if target is None:
            if not isinstance(design, Design):
                raise InputError("'target' is missing; settings alone do not say what is wanted.")
            target = design.target
        return verify(
            self.simulator(simulator),
            self.target(target),
            phi,
            schema=self.schema,
            samples=samples,
            seed=seed,
            tolerance=held,
            progress=progress,
        )

    def loop(
        self,
        target: Question,
        *,
        triads: Triads,
        simulator: Simulator | SimulatorFunction | None = None,
        pairs: Triads | None = None,
        **options: Any,
    ) -> ClosedLoop:
        """Design with the simulator in the loop; `refined` makes a run of what it learned.

        Arguments:
            target: The question.

        Other arguments:
            triads: The triads that the run was trained on.
            simulator: As for `verify`.
            pairs: The unlabelled samples that it was trained on too, if there were any.
            options: Those of `design.design_in_loop`, such as `budget`.

        Raises:
            InputError: If the run is an ensemble, the triads are not those of the training, or as
                `design_in_loop` does.
        """
        model, data = self.one("loop"), self.trained_on(triads, pairs)
        asked = self.simulator(simulator)
        return design_in_loop(model, data, self.target(target), simulator=asked, **options)

    def refined(self, loop: ClosedLoop) -> Run:
        """The run of the model that has learned the simulations of a loop."""
        told = {"target": str(loop.target), "calls": loop.calls, "status": loop.status}
        return replace(self, model=loop.model, training=self.training | {"closed_loop": told})

    def check(
        self,
        held_out: Triads | None = None,
        target: Question | None = None,
        *,
        simulator: Simulator | SimulatorFunction | None = None,
        **options: Any,
    ) -> Checkup:
        """Every check of the run: calibration, coverage, predictions beside held-out materials.

        Arguments:
            held_out: Triads that no training saw; fresh simulations if None.
            target: The question to check; the whole process space if None.

        Other arguments:
            simulator: As for `verify`.
            options: Those of `diagnosis.checkup.check_run`.

        Raises:
            InputError: If the run is an ensemble, or as `check_run` does.
        """
        from ..diagnosis.checkup import check_run

        self.one("check")
        region = None if target is None else self.target(target)
        chosen = chain_of(self) if simulator is None else simulator
        return check_run(self, region, reference=held_out, simulator=chosen, **options)

    def simulator(
        self, given: Simulator | SimulatorFunction | None = None
    ) -> Simulator | SimulatorFunction:
        """The simulator that was given, or the chain of the study's case.

        Raises:
            InputError: If there is neither.
        """
        found = chain_of(self) if given is None else given
        if found is None:
            raise InputError(
                "'simulator' is missing, and no chain of the study makes the data of this run "
                f"({self.data.get('case') or 'data of your own'}); give a chain, or a function of "
                "phi and seeds (on the command line --simulator module:function)."
            )
        return found

    def noise(self, replicates: Triads) -> xr.Dataset:
        """The noise of m and the error of its law, told apart by replicates that no training saw;
        see `diagnosis.noise_and_law`."""
        from ..diagnosis.replicates import noise_and_law

        self.check_against(replicates)
        return noise_and_law(self.model, replicates)

    def check_against(self, triads: Triads) -> None:
        """Says why a data set does not belong to this run, if it does not.

        Raises:
            InputError: If the schema, the preset or the formulation differ.
        """
        check_schema(self.schema, triads.schema)
        for key in ("preset", "formulation"):
            if triads.data.attrs.get(key) != self.data.get(key):
                raise InputError(
                    f"'triads' was made with {key} {triads.data.attrs.get(key)!r} but the run was "
                    f"trained on {self.data.get(key)!r}; the two must not be mixed."
                )

    def save(self, path: str | Path) -> Path:
        """Writes the run to a folder, all of it or nothing.

        Raises:
            InputError: If `path` exists.
            StorageError: If writing fails.
        """
        from .folder import write_run

        return write_run(self, local_path(path, "path"))

    def one(self, question: str) -> PSPGen:
        """The model, if it is one; `question` is what asks for it.

        Raises:
            InputError: If the run is an ensemble.
        """
        if len(self.members) > 1:
            raise InputError(
                f"{question!r} asks one model but this run is an ensemble of {len(self.members)}; "
                "ask one of them, as in `run.member(1)` (on the command line --member 1)."
            )
        return self.members[0]

    def trained_on(self, triads: Triads, pairs: Triads | None = None) -> Batches:
        """The rows that the run was trained on, of the triads that it was trained on and the
        unlabelled samples, if there were any.

        Raises:
            InputError: If it was trained on others.
        """
        from .fitting import training_data

        self.check_against(triads)
        check_trained_on(self.data, self.training, triads, pairs)
        settings = self.training.get("settings", {})
        return training_data(triads, settings.get("labels"), pairs, settings.get("seed", 0))

    def __str__(self) -> str:
        count = len(self.members)
        what = "one model" if count == 1 else f"{count} models"
        known = "" if self.support is None else f", {len(self.support.m)} properties kept"
        return f"{what} of {self.data.get('samples', '?')} triads{known}\n{self.schema}"
