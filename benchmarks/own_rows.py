"""The rows of the table of `benchmarks/own_data.py`: what is asked, what came, what was wanted."""

import math
from dataclasses import asdict, dataclass

import numpy as np
from fits import mean_and_error
from public_tables import TABLES, over_seeds
from toys import TOYS, right

TODAY = {
    "one": (0.042, 0.012),
    "one-labels 250": (None, 0.020),
    "three": (0.025, None),
    "crop": (0.019, 0.012),
    "blobs": (None, 0.030),
    "full": (0.0098, 0.0108),
    "quarter": (0.0189, 0.0199),
    "labels 100": (0.0174, 0.0184),
    "labels 250": (0.0124, 0.0134),
    "labels 500": (0.0148, 0.0158),
    "labels 1000": (0.0122, 0.0132),
}
"""RMSE of P of version 0.1.0, and the largest that is wanted now."""
CPU, NEAR, COVERED, WORSE = 45.0, 0.003, (0.87, 0.93), 0.002


@dataclass
class Row:
    """One question of one model.

    Arguments:
        question: What is asked.
        model: Of which model.
        value: The number, the mean over the seeds.
        error: Its standard error; NaN of one seed.
        low, high: Between which it is wanted.
        today: The number of version 0.1.0, if it has one.
        words: What else is to be said.
    """

    question: str
    model: str
    value: float
    error: float
    low: float = -math.inf
    high: float = math.inf
    today: float | None = None
    words: str = ""

    @property
    def met(self):
        return self.low <= self.value <= self.high

    def line(self):
        before = "" if self.today is None else f"{self.today:g}"
        verdict = "met" if self.met else "NOT MET"
        wanted = f"{self.low:.4g} to {self.high:.4g}"
        value = f"{self.value:.4f} ± {self.error:.4f}"
        parts = self.question, self.model, before, wanted, value, verdict, self.words
        return f"| {' | '.join(parts)} |"

    def to_json(self):
        numbers = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }
        return numbers | {"met": self.met}


def rows(results):
    """Every row for which there are cells."""
    models = sorted({arguments[0] for _, arguments in results})
    found = []
    for model in models:
        own = grouped(results, model)
        found += [*toys(own, model), *surface_rows(own, model), *near(own, model)]
        found += cpu(own, model)
    return found + list(tables({model: grouped(results, model) for model in models}))


def grouped(results, model):
    """The cells of a model by what they are of, and by their seed."""
    own = {}
    for (experiment, (whose, seed, *rest)), found in results.items():
        if whose == model:
            own.setdefault(" ".join(map(str, (experiment, *rest))), {})[seed] = found
    return own


def toys(own, model):
    for name in TOYS:
        cells = own.get(f"toys {name}", {}).values()
        if not cells:
            continue
        answers = [answer for cell in cells for answer in cell["answers"]]
        off = [abs(a["P"] - a["truth"]) for a in answers if "P" in a]
        kinds = {a["what"]: [b for b in answers if b["what"] == a["what"]] for a in answers}
        numbers = [
            f"{what}: {told([b['P'] for b in same])} for {same[0]['truth']:.3f}"
            for what, same in kinds.items()
            if "P" in same[0]
        ]
        wrong = sorted({a["what"] for a in answers if not right(a)})
        said = "; ".join([f"wrong: {', '.join(wrong)}"] * bool(wrong) + numbers)
        shares = [np.mean([right(answer) for answer in cell["answers"]]) for cell in cells]
        share, error = mean_and_error(shares)
        question = f"{name}: share of answers right" + (f", off {max(off):.3f}" if off else "")
        yield Row(question, model, share, error, low=1.0, high=1.0, words=said)


def told(values):
    mean, error = mean_and_error(values)
    return f"{mean:.3f} ± {error:.3f}"


def surface_rows(own, model):
    for key, (today, wanted) in TODAY.items():
        if key in own:
            cells = list(own[key].values())
            value, error = mean_and_error([cell["mean rmse"] for cell in cells])
            parts = [name for name in cells[0] if isinstance(cells[0][name], dict)]
            each = "; ".join(
                f"{name} {told([cell[name]['rmse'] for cell in cells])}" for name in parts
            )
            high = math.inf if wanted is None else wanted
            yield Row(f"RMSE of P, {key}", model, value, error, high=high, today=today, words=each)


def near(own, model):
    """Three properties of three units beside two: of one quantity, and in units of their own."""
    for other in ("full", "apart"):
        of_three, of_two = own.get("three", {}), own.get(other, {})
        pairs = [(of_three[seed], of_two[seed]) for seed in of_three if seed in of_two]
        if not pairs:
            continue
        worse, apart = [], []
        for three, two in pairs:
            worse.append(three["mean rmse"] - two["mean rmse"])
            gaps = [
                np.abs(np.subtract(three[name]["surface"], two[name]["surface"])).mean()
                for name in ("L", "M", "R")
            ]
            apart.append(float(np.mean(gaps)))
        words = f"mean |difference of the surfaces| {told(apart)}"
        value, error = mean_and_error(worse)
        yield Row(f"RMSE, three less {other}", model, value, error, high=NEAR, words=words)


def cpu(own, model):
    if "full" in own:
        value, error = mean_and_error([cell["cpu_seconds"] for cell in own["full"].values()])
        yield Row("CPU s, 10,000 triads, P's part", model, value, error, high=CPU, today=43.0)


def tables(by_model):
    """Coverage and Brier score; a Brier score is wanted at most that of the best rival and a
    little."""
    for name in TABLES:
        key = f"table {name}"
        scores = {
            m: over_seeds(own[key].values(), "brier") for m, own in by_model.items() if key in own
        }
        rivals = [value for model, (value, _) in scores.items() if model != "pspgen"]
        best = min(rivals) + WORSE if rivals else math.inf
        for model, (brier, error) in scores.items():
            cells = list(by_model[model][key].values())
            covered, spread = over_seeds(cells, "inside")
            yield Row(f"coverage of 90 %, {name}", model, covered, spread, *COVERED)
            words = f"base rate {cells[0]['brier of the base rate']:.4f}"
            yield Row(f"Brier, top decile, {name}", model, brier, error, high=best, words=words)
