"""`pspgen campaign`: a closed loop whose experiments are people's."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CampaignStart", "CampaignStatus", "CampaignSuggest", "CampaignTell"]

_Folder = Annotated[Positional[Path], arg(metavar="DIR")]


@dataclass(frozen=True)
class CampaignStart:
    """Start a campaign in a new folder, which keeps a copy of the run and its triads.

    Example: pspgen campaign start filters --run run --triads mine.zarr --target "strength>40 MPa"
    """

    folder: _Folder
    """The folder to make."""
    run_folder: Annotated[Path, arg(name="run")]
    """The run folder made by `pspgen fit`, whose model chooses the experiments."""
    triads: Path
    """The triads that the run was trained on."""
    target: str
    """The design question, as for `pspgen design`."""
    pairs: Path | None = None
    """The unlabelled samples that it was trained on too, if there were any."""
    member: int | None = None
    """Of an ensemble: the model to ask, counted from 1."""
    doubt: float | None = None
    """How far the logit of the model's P may be off, as a root mean square. Default: what its own
    90 % interval at phi* says."""
    worth: float = 0.01
    """What a batch has to be able to add to P at phi* to be worth its cost."""
    seed: int = 0
    """Seeds everything."""

    def run(self) -> int | None:
        from ..campaign import Campaign
        from ..data import Triads
        from .questions import open_run

        campaign = Campaign.start(
            self.folder,
            open_run(self.run_folder, self.member),
            Triads.open(self.triads),
            self.target,
            pairs=None if self.pairs is None else Triads.open(self.pairs),
            doubt=self.doubt,
            worth=self.worth,
            seed=self.seed,
        )
        print(campaign)
        return None


@dataclass(frozen=True)
class CampaignSuggest:
    """Ask for settings that are worth an experiment, as a table to fill in.

    Experiments that are pending are given again.

    Example: pspgen campaign suggest filters --batch 8 --out next.csv
    """

    folder: _Folder
    """The campaign."""
    batch: int = 8
    """How many experiments."""
    out: Path | None = None
    """The CSV file to write; it must not exist. Default: print it."""
    more: bool = False
    """Ask for new ones though some are pending."""

    def run(self) -> int | None:
        from ..campaign import Campaign
        from ..io.publish import publish_file, refuse_existing

        if self.out is not None:
            refuse_existing(self.out)
        table = Campaign.open(self.folder).ask(self.batch, more=self.more, quiet=True)
        text = table.to_csv(index=False)
        if self.out is None:
            print(text, end="")
            return None
        publish_file(self.out, text)
        print(table.attrs.get("note", f"{len(table)} new experiment(s)"))
        print(f"{self.out}: fill it in, also in part, and tell it with `pspgen campaign tell`")
        return None


@dataclass(frozen=True)
class CampaignTell:
    """Take back a table of results, in any order and partly filled in.

    Example: pspgen campaign tell filters next.csv
    """

    folder: _Folder
    """The campaign."""
    table: Annotated[Positional[Path], arg(metavar="TABLE")]
    """The CSV file. A row without a name, or at another setting than asked for, is an experiment
    of your own."""
    images: str | None = None
    """The column that holds the paths of the images, or a pattern of files, of the rows with a
    result, as for `pspgen import`."""
    correct: bool = False
    """Replace what was told of these experiments before."""

    def run(self) -> int | None:
        from ..campaign import Campaign

        campaign = Campaign.open(self.folder)
        print(campaign.tell(self.table, images=self.images, correct=self.correct))
        print(campaign.status())
        return None


@dataclass(frozen=True)
class CampaignStatus:
    """Print phi*, P there by the model and all experiments, and whether another batch is worth
    its cost.

    Example: pspgen campaign status filters --picture belief.svg
    """

    folder: _Folder
    """The campaign."""
    json: bool = False
    """Print one JSON object instead of sentences."""
    history: Path | None = None
    """Also write the belief after every table to this CSV file."""
    picture: Path | None = None
    """Also draw it, to this SVG file."""
    refined: Path | None = None
    """Also write the model refined on all results to this run folder."""

    def run(self) -> int | None:
        from ..campaign import Campaign
        from ..io.publish import publish_file, refuse_existing

        outputs = {"history": self.history, "picture": self.picture, "refined": self.refined}
        for name, path in outputs.items():
            if path is not None:
                refuse_existing(path, name)
        campaign = Campaign.open(self.folder)
        status = campaign.status()
        print(json.dumps(status.to_json()) if self.json else status)
        grown = None if self.history is self.picture is None else campaign.history()
        if self.history is not None and grown is not None:
            publish_file(self.history, grown.to_csv(), "history")
        if self.picture is not None and grown is not None:
            publish_file(self.picture, _drawn(grown), "picture")
        if self.refined is not None:
            campaign.refined().save(self.refined)
        return None


def _drawn(history: pd.DataFrame) -> str:
    """The picture of a history, as SVG."""
    import matplotlib.pyplot as plt

    from ..plots import campaign_progress, panel

    (figure, ax), buffer = panel(), io.StringIO()
    campaign_progress(history, ax=ax)
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return buffer.getvalue()
