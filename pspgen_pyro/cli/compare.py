"""`pspgen compare`: trained runs and simple rivals, judged by the same reference materials."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from ..errors import InputError

if TYPE_CHECKING:
    from ..data.triads import Triads
    from ..design import Target
    from ..diagnosis import ReferenceMaterials, Scores
    from ..rivals import Predictor

__all__ = ["Compare"]


@dataclass(frozen=True)
class Compare:
    """Fit rivals to triads, load runs, and score all of them on the same reference materials.

    Example: pspgen compare triads.zarr --reference reference.zarr --run run --rival mdn --out cmp
    """

    triads: Positional[Path]
    """The triads that the rivals are fitted to."""
    reference: Path
    """Triads at settings that no training saw, over the whole process space, with replicates or
    without."""
    out: Path
    """The folder to write (compare.json and figures), or a file that ends in .json; it must not
    exist."""
    run_folders: Annotated[UseAppendAction[tuple[Path, ...]], arg(name="run", metavar="RUN")] = ()
    """A run folder made by `pspgen fit`, of one model or of an ensemble; may be given several
    times."""
    rivals: Annotated[UseAppendAction[tuple[str, ...]], arg(name="rival", metavar="NAME")] = ()
    """A rival to fit, such as mdn, forest, flow, gaussian or logistic; may be given several
    times."""
    symmetries: Literal["none", "process"] = "none"
    """`process`: rivals learn from the triads' images under the symmetries of the process too."""
    target: str | None = None
    """The design question, as for `pspgen design`; without one the targets of the study's case,
    and of other data the bottom and the top decile of each property over the reference."""
    seed: int = 0
    """Seeds the fits and the draws."""

    def run(self) -> int | None:
        from ..io.publish import publish_file, publishing, refuse_existing

        refuse_existing(self.out)
        self._check_names()
        import torch

        from ..data.triads import Triads
        from ..diagnosis import ReferenceMaterials, model_table, score, table_notes

        torch.set_num_threads(1)
        triads, reference = Triads.open(self.triads), Triads.open(self.reference)
        _check_same(triads, reference)
        known = ReferenceMaterials.of(reference, seed=self.seed)
        targets = self._targets(reference, known)
        predictors = self._runs(reference) + self._fitted(triads, targets)
        scores = [score(one, known, targets, seed=self.seed) for one, _ in predictors]
        seconds = {one.name: spent for one, spent in predictors if spent is not None}
        notes = [*table_notes(scores, known), *_shared_settings(triads, known)]
        table = "\n".join([model_table(scores, seconds), "", *notes])
        content = self._content(scores, known, targets, seconds, triads, reference)
        text = json.dumps(content, indent=1) + "\n"
        if self.out.suffix == ".json":
            publish_file(self.out, text)
        else:
            with publishing(self.out) as folder:
                (folder / "compare.json").write_text(text, encoding="utf-8")
                (folder / "compare.txt").write_text(table + "\n", encoding="utf-8")
                _draw(scores, known, folder)
        print(table)
        print(f"\n{self.out}: written")
        return None

    def _check_names(self) -> None:
        if not self.run_folders and not self.rivals:
            raise InputError(
                "'run' and 'rival' are both missing; give at least one model with --run RUN or "
                "--rival NAME."
            )
        from ..rivals import RIVALS

        for name in self.rivals:
            if name not in RIVALS:
                raise InputError(f"'rival' is {name!r}; choose among {', '.join(RIVALS)}.")
        given = [*map(_name, self.run_folders), *self.rivals]
        twice = sorted({name for name in given if given.count(name) > 1})
        if twice:
            raise InputError(
                f"'run' and 'rival' name {', '.join(twice)} twice; give every model once, and run "
                "folders names of their own."
            )

    def _targets(self, reference: Triads, known: ReferenceMaterials) -> dict[str, Target]:
        from ..design import parse_target
        from ..diagnosis import decile_targets, study_targets

        if self.target is None:
            return study_targets(reference) or decile_targets(known)
        return {"target": parse_target(self.target, reference.schema)}

    def _runs(self, reference: Triads) -> list[tuple[Predictor, float | None]]:
        from ..rivals import EnsemblePredictor, PSPGenPredictor
        from ..runs import load_run

        found: list[tuple[Predictor, float | None]] = []
        for path in self.run_folders:
            run = load_run(path)
            run.check_against(reference)
            if len(run.members) > 1:
                found.append((EnsemblePredictor(run.members, _name(path)), None))
            else:
                found.append((PSPGenPredictor(run.members[0], _name(path)), None))
        return found

    def _fitted(
        self, triads: Triads, targets: dict[str, Target]
    ) -> list[tuple[Predictor, float | None]]:
        if not self.rivals:
            return []
        from time import process_time

        from tqdm.auto import tqdm

        from ..data.batches import Batches
        from ..rivals import RIVALS

        data, schema = Batches.from_triads(triads), triads.schema
        if self.symmetries == "process" and not schema.symmetries:
            raise InputError(
                "'symmetries' is 'process' but the process of 'triads' declares none; leave the "
                "option out."
            )
        symmetries = schema.symmetries if self.symmetries == "process" else ()
        ends = zip(schema.process.lower, schema.process.upper, strict=True)
        middle = [[(a + b) / 2 for a, b in ends]]
        found: list[tuple[Predictor, float | None]] = []
        for name in tqdm(self.rivals, desc="fitting", disable=None):
            start = process_time()
            fitted = RIVALS[name]().fit(data, schema=schema, symmetries=symmetries, seed=self.seed)
            for target in targets.values():
                # some rivals fit no sooner than they are asked
                fitted.probability(target, middle)
            spent = process_time() - start
            fitted.name = name
            found.append((fitted, spent))
        return found

    def _content(
        self,
        scores: list[Scores],
        known: ReferenceMaterials,
        targets: dict[str, Target],
        seconds: dict[str, float],
        triads: Triads,
        reference: Triads,
    ) -> dict[str, Any]:
        from ..diagnosis import paired_differences
        from ..io.provenance import environment

        differences = paired_differences(scores, known)
        return {
            "triads": _described(triads),
            "reference": _described(reference)
            | {
                "settings": len(known.phi),
                "settings_in_triads_too": _shared(triads, known),
                "materials_scored_one_by_one": len(known.rows),
            },
            "schema": triads.schema.to_json(),
            "targets": {name: target.to_json() for name, target in targets.items()},
            "symmetries": self.symmetries,
            "seed": self.seed,
            "models": [
                {"name": one.name, "cpu_seconds": seconds.get(one.name), **one.to_json()}
                for one in scores
            ],
            f"minus_{scores[0].name}": {
                name: {key: gap.to_json() for key, gap in gaps.items()}
                for name, gaps in differences.items()
            },
            "environment": environment(),
        }


def _name(path: Path) -> str:
    return path.resolve().name


def _described(triads: Triads) -> dict[str, Any]:
    names = ("case", "split", "preset", "formulation", "seed", "replicates")
    attrs = triads.data.attrs
    return {name: attrs[name] for name in names if name in attrs} | {"samples": len(triads)}


def _check_same(triads: Triads, reference: Triads) -> None:
    """Says why the reference does not belong to the triads, if it does not."""
    ours, theirs = triads.schema, reference.schema
    pairs = {"process": (ours.process, theirs.process)}
    pairs |= {"properties": (ours.properties, theirs.properties)}
    pairs |= {
        key: (triads.data.attrs.get(key), reference.data.attrs.get(key))
        for key in ("preset", "formulation")
    }
    for key, (mine, other) in pairs.items():
        if mine != other:
            raise InputError(
                f"'reference' has another {key} than 'triads': {_short(other)}, not "
                f"{_short(mine)}; the two must not be mixed."
            )


def _short(one: Any) -> str:
    return "; ".join(map(str, one)) if isinstance(one, tuple) else str(one)


def _shared(triads: Triads, known: ReferenceMaterials) -> int:
    """How many settings of the reference rivals are fitted to."""
    train = triads.data["phi"].values[triads.data["fold"].values == 0]
    return len({tuple(row) for row in known.phi.tolist()} & {tuple(row) for row in train.tolist()})


def _shared_settings(triads: Triads, known: ReferenceMaterials) -> list[str]:
    count = _shared(triads, known)
    if not count:
        return []
    return [
        f"{count} of the {len(known.phi)} settings of the reference are settings that rivals are "
        "fitted to: these scores flatter; take a reference at other settings."
    ]


def _draw(scores: list[Scores], known: ReferenceMaterials, folder: Path) -> None:
    from ..diagnosis import calibration_plots as draw
    from ..diagnosis import plot_ranks

    figures = {"scores": draw.plot_scores(scores)}
    if scores[0].targets:
        figures["reliability"] = draw.plot_reliability(scores)
        figures["probabilities"] = draw.plot_probabilities(scores, known)
    ranks = {f"{one.name}, {key}": pit for one in scores for key, pit in one.pit.items()}
    if ranks:
        figures["central_coverage"] = draw.plot_central_coverage(scores)
        figures["ranks"] = plot_ranks(ranks)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
