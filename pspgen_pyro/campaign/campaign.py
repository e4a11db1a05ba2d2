r"""A closed loop whose experiments are people's.

`design_in_loop` asks a function. A laboratory takes a list of experiments and comes back on
Thursday with a table, or a part of it. So a campaign is a folder that remembers: it asks for a
batch, is told results in any order, and says at any time what P is believed to be at the present
:math:`\varphi^*`, and whether another batch is worth its cost. The search is that of the loop.

Example::

    campaign = psp.Campaign.start("filters", run, triads, "strength > 40 MPa, k > 3e-15 m^2")
    campaign.ask(8).to_csv("next.csv", index=False)
    ...
    campaign = psp.Campaign.open("filters")
    campaign.tell("next.csv")
    print(campaign.status())
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..data.batches import Batch
from ..data.triads import Triads
from ..design import Design, Target, target_from_json
from ..design.loop.discrepancy import Discrepancy
from ..design.loop.refinement import Refinement, alike
from ..errors import InputError
from ..io.provenance import versions
from ..io.publish import refuse_existing
from ..io.validation import check_positive, check_seed, check_whole, local_path
from ..runs import Run
from ..runs.run import Question
from ..schema import Schema
from .belief import Belief, Status, values_of
from .folder import Folder
from .journal import Asked, Experiment, Result, Told
from .ledger import Ledger, Receipt
from .table import blank_table, read_results

__all__ = ["Campaign"]

_STARTS, _DRAWS = 8, 256


class Campaign:
    """A campaign of experiments; `start` makes one, `open` goes on with it.

    What it knows follows from its folder at every call, so that several processes may ask and
    tell at once.

    Arguments:
        folder: Its files.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    @classmethod
    def start(
        cls,
        folder: str | Path,
        run: Run,
        triads: Triads,
        target: Question,
        *,
        pairs: Triads | None = None,
        doubt: float | None = None,
        worth: float = 0.01,
        seed: int = 0,
    ) -> Campaign:
        """Starts a campaign in a new folder, which keeps a copy of what it starts from.

        Arguments:
            folder: The folder.
            run: The trained model that chooses the experiments.
            triads: The triads that it was trained on.
            target: What is wanted, such as "strength > 30 MPa, k < 1e-12 m^2".

        Other arguments:
            pairs: The unlabelled samples that it was trained on too, if there were any.
            doubt: How far the logit of the model's P may be off, as a root mean square; None for
                what its own 90 % interval at φ* says.
            worth: What a batch has to be able to add to P at φ* to be worth its cost.
            seed: Seeds everything.

        Raises:
            InputError: If the folder exists, the run is an ensemble or was trained on other
                triads, the target does not fit, or a number is not positive.
            StorageError: If writing fails.
        """
        refuse_existing(local_path(folder, "folder"), "folder")
        check_positive(doubt=doubt)
        check_positive(optional=False, worth=worth)
        check_seed(seed)
        run.one("campaign")
        run.trained_on(triads, pairs)
        region = run.target(target)
        stated = Discrepancy.stated(_design(run, region, seed).probability)
        return cls(
            Folder.start(
                Path(folder),
                run,
                triads,
                pairs,
                target=region.to_json(),
                doubt=stated.doubt if doubt is None else doubt,
                mean=stated.mean,
                worth=worth,
                seed=seed,
                versions=versions(),
            )
        )

    @classmethod
    def open(cls, folder: str | Path, *, verify: bool = True) -> Campaign:
        """Goes on with a campaign.

        Arguments:
            folder: Its folder.

        Other arguments:
            verify: Whether the sizes and checksums of its run and its triads matter.

        Raises:
            DataError: If the folder is no campaign, or a file of it is missing, damaged or of
                another format; the sentence names it.
        """
        return cls(Folder(local_path(folder, "folder"), verify=verify))

    @property
    def path(self) -> Path:
        """Its folder."""
        return self._folder.path

    @property
    def schema(self) -> Schema:
        """What a triad is."""
        return self.run.schema

    @cached_property
    def run(self) -> Run:
        """The run it started from."""
        return self._folder.run()

    def ask(self, batch: int = 8, *, more: bool = False, quiet: bool = False) -> pd.DataFrame:
        """Settings worth an experiment, one a row, with empty columns to fill in.

        Experiments that were asked for and not told yet are given again, and that is printed and
        in `attrs["note"]` of the table.

        Arguments:
            batch: How many.

        Other arguments:
            more: Ask for new ones though some are pending; they know of those.
            quiet: Print nothing.

        Raises:
            InputError: If `batch` is not positive.
            DataError: If the journal is damaged.
            StorageError: If writing fails.
        """
        check_whole(batch=batch)
        while True:
            ledger = self._ledger()
            if ledger.pending and not more:
                return self._again(ledger.pending, quiet)
            phi = self._belief.ask(ledger.results, ledger.pending, batch, ledger.entries)
            names = ledger.names(batch)
            fresh = tuple(
                Experiment(id=name, phi=tuple(one.tolist()))
                for name, one in zip(names, phi, strict=True)
            )
            if self._folder.journal.add(ledger.entries, Asked(experiments=fresh)):
                return blank_table(self.schema, fresh)

    def tell(
        self,
        table: str | Path | pd.DataFrame,
        *,
        images: str | None = None,
        correct: bool = False,
    ) -> Receipt:
        """Takes back a table of results, in any order and partly filled in.

        A row without a name, or with another setting than was asked for, is an experiment of the
        laboratory's own and as welcome. Several rows of one name are several materials. What was
        told before counts once, and a row that knows more of it completes it.

        Arguments:
            table: A CSV file, or a table in memory.

        Other arguments:
            images: The column that holds the paths of the images, or a pattern of files, of the
                rows with a result, as for `Triads.from_table`.
            correct: Replace what was told of these experiments before.

        Raises:
            InputError: If something is wrong with the table; the sentence names the row and the
                column. Then nothing of it is kept.
            DataError: If the journal is damaged.
            StorageError: If writing fails; then nothing is kept.
        """
        ledger = self._ledger()
        while True:
            found = read_results(table, self.schema, ledger.asked, images, correct)
            told = found.told
            if told.digest in ledger.digests and not correct:
                note = (
                    f"{told.source} was told before, as entry {ledger.digests[told.digest]} of "
                    "the journal; nothing is counted twice"
                )
                return Receipt(0, 0, len(ledger.pending), (note,))
            after = ledger.after(told)
            news, lost = after.beyond(ledger), ledger.beyond(after)
            if not news and not lost:
                note = f"everything in {told.source} was told before; nothing is counted twice"
                return Receipt(0, 0, len(ledger.pending), (*found.notes, note))
            for name, image in found.images.items():
                self._folder.keep_image(name, image)
            if self._folder.journal.add(ledger.entries, told):
                notes, failed = found.notes, sum(one.failed for one in news)
                if old := len(told.results) - len(news):
                    notes.append(f"{old} row(s) were told before and count once")
                return Receipt(len(news), failed, len(after.pending), tuple(notes))
            ledger = self._ledger()

    def status(self) -> Status:
        """Where the campaign stands: φ*, P there, and whether another batch is worth its cost.

        Raises:
            DataError: If the journal is damaged.
        """
        ledger = self._ledger()
        pending, worth = len(ledger.pending), self._folder.beginning.worth
        return self._belief.status(ledger.results, pending, worth)

    def history(self) -> pd.DataFrame:
        """How the belief grew: before and after every table that was told, the experiments so
        far, how many met the target, φ*, P there and the ends of its 90 % interval.

        `plots.campaign_progress` draws it.

        Raises:
            DataError: If the journal is damaged.
        """
        ledger = Ledger()
        steps: list[Sequence[Result]] = [()]
        for entry in self._folder.journal.entries():
            ledger = ledger.after(entry)
            if isinstance(entry, Told):
                steps.append(ledger.results)
        return self._belief.history(steps)

    def refined(self, refine: Refinement = Refinement()) -> Run:  # noqa: B008
        """The run of the model that has learned every result, as a closed loop leaves it.

        Arguments:
            refine: How it learns.

        Raises:
            InputError: If no result has a property that is known.
            DataError: If a file is damaged.
        """
        ledger, run = self._ledger(), self.run
        results = [one for one in ledger.results if not one.failed]
        if not results:
            raise InputError("nothing was told yet that a model can learn; tell results first.")
        data = run.trained_on(*self._folder.triads())
        new = self._batch(results, data.train)
        seed = self._folder.beginning.seed
        model = refine(run.one("campaign"), alike(data.train, new), new, seed)
        target = str(self._target)
        story = {"target": target, "results": len(results), "entries": ledger.entries}
        return replace(run, model=model, training=run.training | {"campaign": story})

    def triads(self) -> Triads:
        """What the campaign started from and every result since, to `fit` anew and start another
        campaign.

        Raises:
            InputError: If the triads have images and a result has none.
            DataError: If a file is damaged.
        """
        triads, _ = self._folder.triads()
        results = [one for one in self._ledger().results if not one.failed]
        data, structure, x = triads.data, self.schema.microstructure, None
        if structure is not None:
            if bare := [one for one in results if one.image is None]:
                phi = self.schema.process.labelled(np.array(bare[0].phi))
                raise InputError(
                    f"the triads have images, and {len(bare)} result(s) have none, such as that "
                    f"at {phi}; tell theirs, or take the refined run."
                )
            images = [self._folder.image(one.image) for one in results if one.image is not None]
            x = np.concatenate([data["x"].values, np.array(images).reshape(-1, *structure.shape)])
        phi = np.array([one.phi for one in results]).reshape(-1, len(self.schema.process))
        return Triads.from_arrays(
            np.concatenate([data["phi"].values, phi]),
            x,
            np.concatenate([data["value"].values, values_of(results, self.schema)]),
            process=self.schema.process,
            properties=self.schema.properties,
            microstructure=structure,
            seed=self._folder.beginning.seed,
            quiet=True,
        )

    def _batch(self, results: Sequence[Result], like: Batch) -> Batch:
        """Results as rows that can be learned; with images if each has one."""
        names = [one.image for one in results if one.image is not None]
        x = None
        if like.x is not None and len(names) == len(results):
            x = torch.as_tensor(np.stack([self._folder.image(name) for name in names])).to(like.x)
        phi = np.array([one.phi for one in results])
        m = self.schema.scaled(values_of(results, self.schema))
        return Batch(torch.as_tensor(phi).to(like.phi), x, torch.as_tensor(m).to(like.m))

    def _again(self, pending: Sequence[Experiment], quiet: bool) -> pd.DataFrame:
        """The experiments that are pending, and a word on that."""
        table = blank_table(self.schema, pending)
        table.attrs["note"] = (
            f"{len(pending)} experiment(s) are pending, and these are they; tell their results "
            "first, or ask for more (more=True, on the command line --more)"
        )
        if not quiet:
            print(table.attrs["note"])
        return table

    def _ledger(self) -> Ledger:
        return Ledger.of(self._folder.journal.entries())

    @cached_property
    def _target(self) -> Target:
        return target_from_json(self._folder.beginning.target, str(self.path))

    @cached_property
    def _belief(self) -> Belief:
        begun = self._folder.beginning
        design = _design(self.run, self._target, begun.seed)
        discrepancy = Discrepancy(begun.doubt, mean=begun.mean)
        return Belief(self.run.one("campaign"), design, self._target, discrepancy, begun.seed)

    def __str__(self) -> str:
        return f"campaign {self.path}\n{self.status()}"


def _design(run: Run, target: Target, seed: int) -> Design:
    return run.design(target, starts=_STARTS, draws=_DRAWS, seed=seed)
