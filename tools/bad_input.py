"""Bad input at every door of the package: `python tools/bad_input.py [--quick]`.

Each try must end in one sentence: in Python an error of `pspgen_pyro.errors`, on the command line
one line on standard error and exit code 2 (1 where the machine failed), with no new file. What
does not is printed, one line a try: a bare traceback, silent acceptance, more than 5 seconds or
more than 1 GB.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import sys
import tempfile
import time
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pspgen_pyro as psp
from pspgen_pyro import errors
from pspgen_pyro.cli import main
from pspgen_pyro.data.batches import Batches
from pspgen_pyro.design import fit_svi, sample_hmc, sample_nuts
from pspgen_pyro.diagnosis import Partition, simulate_trials
from pspgen_pyro.process import Categorical, Ordinal
from pspgen_pyro.properties import conductivity, elastic_stiffness, permeability
from pspgen_pyro.rivals import RIVALS
from pspgen_pyro.structure import (
    PhaseSeparatedField,
    cahn_hilliard,
    gaussian_random_field,
    threshold,
    threshold_phases,
    two_mode_spectrum,
    two_point_correlation,
)

SECONDS, BYTES = 5.0, 1 << 30
NAN, INF = float("nan"), float("inf")
# what `cahn_hilliard` documents where its scheme is unstable is no class of ours
OURS = (
    errors.InputError,
    errors.MissingDependencyError,
    errors.SimulationError,
    errors.StorageError,
    errors.TrainingError,
    errors.WorkerError,
    FloatingPointError,
)
WHOLE = (-1, 0, 2.5, NAN, INF, "3", "1_0", True, 1j, [1], {1, 2}, None, np.ones(2), "\x1b[31mred")
REAL = (-1.0, NAN, INF, -INF, "0.5", "1_0", True, 1j, [0.5], {1.0}, None, torch.ones(2), "\x1b[2J")
SEEDS = (-1, 2**63, 2**70, 1.5, NAN, INF, "0", True, 1j, None, [0])
DEVICES = ("cuda", "cuda:99", "gpu0", "", "meta", "mps", "xla", "cpu:7", 3, 1.5, "\x1b[31m")
NAMES = ("", " ", "a\nb", "\x1b[31mred\x1b[0m", "a\tb", "a\x00", "\u202eb", 3, None, ("a",))
HUGE = 10**12
Try = tuple[str, Callable[[], Any]]


def small() -> psp.Triads:
    """Sixty settings of two parameters and two properties."""
    return psp.Triads.from_arrays(*arrays(), **declared(), quiet=True)


def arrays() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    phi = rng.uniform(size=(60, 2))
    return phi, None, phi @ [[1, 0.5], [0, 1]] + 0.1 * rng.normal(size=(60, 2))


def declared() -> dict[str, Any]:
    return {"process": {"a": (0, 1), "b": (0, 1)}, "properties": ["u", "v"]}


FEW: dict[str, Any] = {"prior_steps": 3, "reader_steps": 3, "epochs": 0, "progress": False}


def each(
    door: str, call: Callable[..., Any], option: str, bad: Any, allowed: Any = ()
) -> Iterator[Try]:
    """One try a bad value of one option."""
    for value in bad:
        if not any(value is one for one in allowed):
            said = f"{door}({option}={value!r:.40})".encode("unicode_escape").decode()
            yield said, partial(call, **{option: value})


def from_arrays(phi: Any = None, m: Any = None, x: Any = None, **options: Any) -> Any:
    a, _, b = arrays()
    told = {**declared(), **options, "quiet": True}
    return psp.Triads.from_arrays(a if phi is None else phi, x, b if m is None else m, **told)


def data_tries(folder: Path) -> Iterator[Try]:
    phi, _, m = arrays()
    door = "from_arrays"
    yield from each(door, from_arrays, "seed", SEEDS)
    yield from each(door, from_arrays, "validation", (*REAL, 0.0, 1.0, 1e300))
    bad_tables = {
        "text": "phi", "nothing": object(), "ragged": [[1, 2], [3]], "set": {1, 2},
        "complex": phi + 0j, "NaN": phi * NAN, "huge": phi * 1e300, "words": [["a", "b"]] * 60,
        "objects": np.array([[object(), 1]] * 60), "empty": [],
        "dates": np.full((60, 2), "2020-01-01", "datetime64[D]"), "bytes": b"abc", "dict": {},
        "1_0": [["1_0", "0.5"]] + [["0.1", "0.2"]] * 59,
        "meta": torch.empty(60, 2, device="meta"),
        "generator": (row for row in phi), "dataset": small().data, "volume": np.ones((60, 2, 2)),
    }  # fmt: skip
    for name, table in bad_tables.items():
        yield f"{door}(phi={name})", partial(from_arrays, phi=table)
        yield f"{door}(m={name})", partial(from_arrays, m=table)
    for value in NAMES:
        said = repr(value)
        yield f"{door}(name {said})", partial(from_arrays, process={value: (0, 1), "b": (0, 1)})
        yield f"{door}(names {said})", partial(from_arrays, process=[value, "b"])
        yield f"{door}(properties {said})", partial(from_arrays, properties=[value, "v"])
    for bounds in (
        {0, 1}, (0, NAN), (0, INF), (1, 0), ("0", "1"), ("1_0", 20), (False, True), (0, 1j), (0,),
        (0, 1, 2, 3), "01", (0, 1e300), (-1e308, 1e308), (None, 1), [[0], [1]], (0, 1, "\x1b[31m"),
        (0, 1, 5), (0, torch.ones(2)), 3,
    ):  # fmt: skip
        told = {"a": bounds, "b": (0, 1)}
        yield (
            f"{door}(bounds {bounds!r:.40})".replace("\x1b", "^["),
            partial(from_arrays, process=told),
        )
    for bad in ("", "a +", "a <= nan", "a <= 1e999", 3, None, {"a <= 1"}, "a < \x1b[31m", [3]):
        yield f"{door}(constraints={bad!r})", partial(from_arrays, constraints=bad)
    images = np.zeros((60, 8, 8), int)
    images[:, :4] = 1
    two: dict[str, Any] = {"phases": 2, "periodic": True}
    for name, x in {
        "NaN": images * NAN, "label 2": images * 2, "half": images * 0.5, "text": "images",
        "complex": images * 1j, "ragged": [[1], [1, 2]], "minus": -images, "meta": torch.empty(60),
        "flat": images[:, 0], "objects": images.astype(object), "no pixels": images[:, :, :0],
        "meta device": torch.empty(60, 8, 8, device="meta"), "infinite": images * 1e300 * 1e300,
    }.items():  # fmt: skip
        with np.errstate(all="ignore"):
            yield f"{door}(x={name})", partial(from_arrays, x=x, microstructure=two)
    for key, values in {
        "phases": (0, 1, 257, 2.5, "2", True, NAN, None, 1e300, "colour"),
        "periodic": ("yes", 2, None, "false", 0.5, NAN),
        "pixel_size": (-1, 0, NAN, INF, "1", True, 1j),
        "shape": ((8,), "88", {8}, (8.5, 8), ("8", "8"), (True, 8), None, (0, 8)),
    }.items():
        for value in values:
            unit = {"pixel_unit": "um"} if key == "pixel_size" else {}
            entries = {"shape": (8, 8), **two, **unit, key: value}
            yield f"Microstructure({key}={value!r})", partial(psp.Microstructure, **entries)
    table = folder / "table.csv"
    table.write_text("a,b,u\n" + "\n".join(f"{i},{i * i},{i}" for i in range(9)) + "\n")
    read = partial(psp.Triads.from_table, process=["a", "b"], properties=["u"], quiet=True)
    for path in ("", 3, None, "nowhere.csv", folder, "x" * 5000, "a\x00b", b"t.csv", "\x1b[31m"):
        yield f"from_table({path!r:.40})", partial(read, path)
    for column in ("1_0", "\x1b[31m", "1,5", "0x10", "1e999", "True", "nan nan"):
        own = folder / f"own{abs(hash(column))}.csv"
        own.write_text("a;b;u\n" + "\n".join(f"{i};{column};{i}" for i in range(9)) + "\n")
        yield f"from_table(cell {column!r})", partial(read, own)
    yield from each("from_table", partial(read, table), "images", (3, "\x1b[31m", "*.png", ""))


def schema_tries() -> Iterator[Try]:
    real, space = psp.Real, psp.ProcessSpace
    for low, high in (
        (NAN, 1), (0, INF), (1, 1), ("0", "1"), (True, 2), (0, 1j), (None, 1), ([0], [1]),
        (-1e308, 1e308), (0, np.ones(2)), (0, {1}), (0, 10**400),
    ):  # fmt: skip
        yield f"Real({low!r:.20}, {high!r:.20})", partial(real, low, high)
        yield f"Integer({low!r:.20}, {high!r:.20})", partial(psp.Integer, low, high)
        yield f"ProcessSpace({low!r:.20}, {high!r:.20})", partial(space, ("a",), (low,), (high,))
    yield from each("Real", partial(real, 1, 2), "unit", (3, None, "\x1b[31m", "K\n", ["K"]))
    yield from each("Real", partial(real, 1, 2), "log", ("no", 2, None, NAN))
    for values in ("12", {1, 2}, (1, NAN), (1, "2"), (1, True), (1, 1), (), 3, None, (1, 1j)):
        yield f"Ordinal({values!r})", partial(Ordinal, values)
    for names in (3, None, "ab", {"a", "b"}, ("a", "a\x1b"), ("a", "a\nb"), (1, 2), ("a",)):
        yield f"Categorical({names!r})", partial(Categorical, names)
    for value in (NAN, "1", True, None, 1j, [1], 10**400):
        yield f"Fixed({value!r:.20})", partial(psp.Fixed, value)
    for name in NAMES:
        yield f"ProcessSpace({name!r})", partial(space, (name, "b"), (0, 0), (1, 1))
        yield f"ProcessSpace.of({name!r})", partial(space.of, {name: real(0, 1), "b": real(0, 1)})
        yield f"Property({name!r})", partial(psp.Property, name=name)
    for names in ("ab", None, 3, ("a", "a"), {"a", "b"}, (), ("a", "b", "c")):
        yield f"ProcessSpace({names!r})", partial(space, names, (0, 0), (1, 1))
    for units in ("KK", (1, 2), ("K", None), ("K", "\x1b[31m"), 3, {"K"}):
        yield f"ProcessSpace(units={units!r})", partial(space, ("a", "b"), (0, 0), (1, 1), units)
    for text in (
        "", 3, None, "u u", "u [", "u log below=nan", "u log below=1_0", "u logit limits=1",
        "u error=-1", "u error=inf", "u log below=1e999", "u direction=up", "u\x1b[31m",
        "u [\x1b[31m]", "u log log=3", "u logit limits=0:nan", "u logit limits=0:1_0", ["u"],
        "u below=2 above=1", "u [m] linear\nlog x", "u log linear", "u error=1 error=2", b"u",
    ):  # fmt: skip
        yield f"Property.parse({text!r})", partial(psp.Property.parse, text)
    two = space(("a", "b"), (0, 0), (1, 1))
    pair = psp.Schema(process=two, properties=("u", "v"))
    for phi in ("ab", None, [1, NAN], [0.5, "0.5"], [[1, 2], [3]], [0.5, 1j], {0.5}, [True, False],
                [0.5, 2], object(), [0.5] * 3, torch.empty(2, device="meta")):  # fmt: skip
        yield f"check({phi!r:.30})", partial(two.check, phi)
    regions = "; ".join(f"u > {i} and u < {i + 0.5} and v > {i}" for i in range(3000))
    for text in (
        "", 3, None, "u", "u >", "u > nan", "u > 1e999", "u > 1_0", "u in [1]", "u = 1", "u > 1 K",
        "\x1b[31m > 1", "u > 1 \x1b[31m", "u > 2 and u < 1", "u = 1 +- nan", "u = 1 +- 1e999", [],
        "w > 1", "nan:1,0:1", "0:1_0,0:1", "inf:inf,0:1", "0:1", "u > 1;;", "u=1±0", regions, b"u",
        "1e999:2e999,0:1", "u > 1e400 and v > 0",
    ):  # fmt: skip
        yield f"target({text!r:.40})", lambda text=text: psp.target(text).resolve(pair)
    for low, high in (("0", "1"), ((0,), (NAN,)), ((0,), (1, 2)), (("0",), ("1",)),
                      ((True,), (2,)),
                      (None, None), ((1j,), (2,)), ({0}, {1}), (3, 4), ((), ())):  # fmt: skip
        yield f"Box({low!r}, {high!r})", partial(psp.Box, low, high)


class Property:
    """A simulator that returns what it is told to."""

    def __init__(self, found: Any) -> None:
        self.found, self.properties = found, (psp.Property(name="u"),)
        self.provenance: dict[str, Any] = {}

    def check_images(self, images: Any) -> None:
        pass

    def __call__(self, *rows: Any) -> Any:
        return self.found


def physics_tries(folder: Path) -> Iterator[Try]:
    x = np.zeros((1, 8, 8), int)
    x[0, 2:5] = 1
    solvers: dict[str, Callable[..., Any]] = {
        "permeability": permeability,
        "conductivity": partial(conductivity, values=(1.0, 2.0)),
        "elastic_stiffness": partial(elastic_stiffness, young=(1.0, 2.0), poisson=(0.3, 0.3)),
        "two_point_correlation": two_point_correlation,
    }
    bad = {
        "NaN": x * NAN, "2": x * 2, "half": x * 0.5, "text": "x", "none": None, "complex": x + 0j,
        "ragged": [[[1], [1, 2]]], "objects": x.astype(object), "minus": -x, "empty": x[:0],
        "digits": x.astype(str), "set": {0, 1}, "dataset": small().data, "256": x * 256,
        "meta": torch.empty(1, 8, 8, device="meta"), "infinite": x * 1e300, "list": [x, 3],
        "masked": np.ma.masked_equal(x, 1),
    }  # fmt: skip
    for name, solve in solvers.items():
        for said, images in bad.items():
            if not (name == "two_point_correlation" and said in ("empty", "objects")):
                yield f"{name}(x={said})", partial(solve, images)
        yield from each(
            name, partial(solve, x), "edges", ("open", None, 3, ["periodic"], b"walls")
        )
    yield from each("permeability", partial(permeability, x), "workers", WHOLE)
    yield from each(
        "elastic_stiffness", partial(solvers["elastic_stiffness"], x), "workers", WHOLE
    )
    yield from each("conductivity", partial(solvers["conductivity"], x), "refinement", WHOLE)
    yield from each("conductivity", partial(solvers["conductivity"], x), "refinement", (10**6,))
    for text in ("1", "um", "-1 um", "1_0 um", 3, "nan um", "1 kg", "\x1b[31m um", "1e999 m"):
        yield f"permeability(pixel_size={text!r})", partial(permeability, x, pixel_size=text)
    for values in ((1,), "12", (1, NAN), (1, -1), (1, INF), None, {1.0, 2.0}, (1, 1j), ("1", "2"),
                   (True, False), (1, 1e300, 2), (1e-300, 1e300), 3):  # fmt: skip
        yield f"conductivity(values={values!r})", partial(conductivity, x, values)
        yield (
            f"elastic_stiffness(young={values!r})",
            partial(elastic_stiffness, x, values, (0.3, 0.3)),
        )
        yield (
            f"elastic_stiffness(poisson={values!r})",
            partial(elastic_stiffness, x, (1.0, 2.0), values),
        )
    yield "conductivity(label 256 of 300)", lambda: conductivity(x * 256, range(1, 301))
    yield from each("two_point_correlation", partial(two_point_correlation, x), "dimensions",
                    (0, 1, 4, 2.5, "2", None, NAN, [2], True))  # fmt: skip
    c = np.sign(np.random.default_rng(0).standard_normal((1, 8, 8)))
    for name, field in {"NaN": c * NAN, "list": c.tolist() + [3], "flat": c[0], "text": "c",
                        "complex": c + 0j, "none": None, "empty": c[:, :0], "huge": c * 1e300,
                        "words": c.astype(str), "objects": c.astype(object)}.items():  # fmt: skip
        if name != "objects":
            yield f"cahn_hilliard(c={name})", partial(cahn_hilliard, field, 2.0)
            yield f"threshold(field={name})", partial(threshold, field, 0.5) if name not in (
                "huge", "flat") else partial(threshold, c * INF, 0.5)  # fmt: skip
            if name not in ("huge", "flat"):
                yield f"threshold_phases({name})", partial(threshold_phases, field, (0.5, 0.5))
        if name != "huge":
            yield f"gaussian_random_field({name})", partial(gaussian_random_field, field, [0])
    for gamma in (*REAL, 0.0, 1e300):
        yield f"cahn_hilliard(gamma={gamma!r})", partial(cahn_hilliard, c, gamma)
        yield (
            f"cahn_hilliard(diffusivity={gamma!r})",
            partial(cahn_hilliard, c, 2.0, diffusivity=gamma),
        )
    for steps in ((1.0,), (5.0,) * 3, (50.0,), (1e6,), (1e300,), (NAN,), (-1,), "12", None, {1.0},
                  0.1, ("0.1",), (0.1, 1j), (True,), (INF,)):  # fmt: skip
        yield f"cahn_hilliard(steps={steps!r:.30})", partial(cahn_hilliard, c, 2.0, steps=steps)
    for part in (*REAL, 0.0, 1.0):
        yield f"threshold(void_fraction={part!r})", partial(threshold, c, part)
    for phi in ([[NAN, 1.0]], [[5.0, NAN]], [[5.0, INF]], [[11.0, 1.0]], "ab", [[5.0]], None,
                [["5", "1"]], [[5.0, 1e300]], [[5.0, -1e3]], [[5, 1j]]):  # fmt: skip
        if phi not in ([[5.0, 1e300]],):
            yield f"two_mode_spectrum({phi!r})", partial(two_mode_spectrum, phi, 8)
    yield from each("two_mode_spectrum", partial(two_mode_spectrum, [[5.0, 1.0]]), "n",
                    (*WHOLE, 3, HUGE, (8, 8, 8), (8, HUGE)))  # fmt: skip
    yield from each("field", partial(gaussian_random_field, np.ones((1, 8, 8))), "seeds",
                    (None, [], [0, 1], ["a"], [-1], [1.5], 3))  # fmt: skip
    field = partial(PhaseSeparatedField, 12, two_mode_spectrum)
    yield from each("PhaseSeparatedField", field, "gamma", (*REAL, 0.0))
    yield from each("PhaseSeparatedField", field, "pixel_size", (3, "um", "1", True))
    process = psp.ProcessSpace(("a",), (0.0,), (1.0,))
    for found in (None, "u", [1.0], [[NAN, 1.0]], [["1"]], [[1j]], {1.0}, [[[1.0]]], object()):
        chain = psp.Chain(process, None, Property(found))
        yield (
            f"Chain(returns {found!r:.20})",
            lambda chain=chain: chain.simulate([[0.5]], np.random.SeedSequence(0).spawn(1)),
        )
    yield from each("Chain", partial(psp.Chain, process, None), "property_", (None, 3, print, "u"))
    yield from each("Chain", partial(psp.Chain, structure=None, property_=Property(1)), "process",
                    (None, 3, "a", {"a": (0, 1)}))  # fmt: skip
    yield from each("Chain", partial(psp.Chain, process, property_=Property(1)), "structure",
                    (3, "x", print))  # fmt: skip
    out = folder / "made.zarr"
    make = partial(psp.generate, "case1", out)
    for option in ("samples", "replicates", "workers", "chunk"):
        fixed = {} if option == "samples" else {"samples": 4}
        allowed = () if option == "workers" else (None,)
        yield from each("generate", partial(make, **fixed), option, WHOLE, allowed)
    yield from each("generate", make, "samples", (HUGE, 10**15, 10**30))
    yield from each("generate", partial(make, samples=4), "seed", SEEDS)
    yield from each("generate", make, "scale", (*REAL, 0.0, 1e300, 1e9))
    yield from each(
        "generate", partial(make, split="reference"), "points", (*WHOLE, HUGE), (None,)
    )
    yield from each("generate", partial(make, samples=4), "split", ("x", None, 3, ["train"]))
    yield from each("generate", partial(make, samples=4), "scheduler",
                    ("nonsense", "", 3, "tcp://", "tcp://localhost:1"))  # fmt: skip
    yield from each("generate", partial(psp.generate, path=out, samples=4), "source",
                    ("case9", 3, None, print, "\x1b[31m"))  # fmt: skip
    for path in ("", 3, None, "x" * 300, str(folder / "no" / "a"), "a\x00b", b"a"):
        yield f"generate(path={path!r:.30})", partial(psp.generate, "case1", path, samples=4)


def model_tries(run: psp.Run, triads: psp.Triads) -> Iterator[Try]:
    fit = partial(psp.fit, triads, **FEW)
    yield from each("fit", fit, "checkpoint", (3, ["x"], NAN, "x\0", "y" * 300))
    for option in ("members", "workers", "latent", "process_latent", "labels", "patience"):
        allowed = (None,) if option not in ("members", "workers") else ()
        yield from each("fit", fit, option, WHOLE, allowed)
    for option in ("batch_size", "reader_steps", "prior_steps"):
        allowed = () if option == "batch_size" else (None,)
        yield from each(
            "fit", partial(psp.fit, triads, **{**FEW, option: 1}), option, WHOLE, allowed
        )
    yield from each("fit", fit, "epochs", WHOLE, (0, None))
    for option in ("learning_rate", "beta"):
        yield from each("fit", fit, option, (*REAL, 0.0, 1e300))
    yield from each("fit", fit, "seed", SEEDS)
    yield from each("fit", fit, "device", DEVICES)
    yield from each("fit", fit, "latent", (HUGE, 10**30))
    yield from each("fit", fit, "members", (HUGE,))
    for option in ("updates", "schedule", "model", "symmetries", "pairs", "stages"):
        yield from each("fit", fit, option, ("x", 3, ["x"], "\x1b[31m", NAN))
    yield from each("fit", partial(psp.fit, **FEW), "triads", (None, "t.zarr", 3, triads.data))
    few: dict[str, Any] = {"starts": 1, "draws": 8, "iterations": 2}
    design = partial(run.design, "u > 0.5", **few)
    yield from each("design", design, "draws", (*WHOLE, HUGE))
    yield from each("design", design, "starts", (*WHOLE, HUGE))
    yield from each("design", design, "iterations", WHOLE)
    yield from each("design", design, "seed", SEEDS)
    yield from each("design", design, "optimiser", ("lbfgs", 3, psp.Box, [1]))
    yield from each("design", design, "support", ("x", 3, [1]))
    yield from each("design", design, "combine", ("sum", None, 3, ["least"]))
    yield from each("design", design, "cautious", ("no", None, 2, NAN))
    for bad in ("a", "a=", "a=-1", "a=nan", "a=2", "w=1", "a=1_0", 3, ["a"], {"a": NAN}, "a=inf",
                {"a": "x"}, {"a": True}, {"a": [0.1]}, {3: 0.1}, "a=200%",
                "a=\x1b[31m"):  # fmt: skip
        yield f"design(tolerance={bad!r})", partial(design, tolerance=bad)
    for cost in ("", 3, {"a": NAN}, {"w": 1}, {"a": "1_0"}, "a + \x1b[31m", ["a"], {"a": True},
                 lambda phi: phi, lambda phi: 3, "1e999 a", {"a": 1j}):  # fmt: skip
        yield f"design(cost={cost!r:.30})", partial(design, cost=cost, price=0.1)
    yield from each("design", partial(design, cost="a"), "price", REAL, (None,))
    yield from each("cheapest", partial(run.cheapest, "u > 0.5", cost="a", **few), "least",
                    (*REAL, 0.0, 1.0, 2.0))  # fmt: skip
    yield from each("window", partial(run.window, [0.5, 0.5], "u > 0.5"), "least",
                    (*REAL, 0.0, 1.0, 2.0))  # fmt: skip
    yield from each("pareto", partial(run.pareto, "u > 0.5", cost="a", **few), "points", WHOLE)
    for target in (3, None, [], [3], {"u > 1", 3}, {}, print, ["u > 1", None], b"u > 1"):
        yield f"design(target={target!r})", lambda target=target: run.design(target, **few)
    ask = partial(run.probability, "u > 0.5", [0.5, 0.5])
    yield from each("probability", ask, "draws", (*WHOLE, HUGE))
    yield from each("probability", ask, "replicates", (*WHOLE, 1, HUGE))
    yield from each("probability", ask, "seed", SEEDS)
    for phi in ("ab", None, [1, NAN], [0.5, "0.5"], [[1, 2], [3]], [0.5, 1j], {0.5}, 0.5, [0.5, 7],
                torch.empty(2, device="meta"), object(), [True, False]):  # fmt: skip
        yield f"probability(phi={phi!r:.30})", partial(run.probability, "u > 0.5", phi)
    posterior = run.posterior("u > 0.5")
    counts = {"chains": 1, "draws": 4, "warmup": 1}
    for option in counts:
        sample = partial(posterior.sample, **counts)
        yield from each("posterior", sample, option, WHOLE, (None,))
        if option != "warmup":
            yield from each("posterior", sample, option, (HUGE,))
    yield from each("posterior", partial(posterior.sample, **counts), "seed", SEEDS)
    yield from each("posterior", partial(posterior.sample, **counts), "workers", WHOLE)
    yield from each("posterior", partial(posterior.sample, **counts), "method", ("x", None, 3, []))
    yield from each(
        "posterior", partial(posterior.sample, "svi", **counts), "guide", ("x", 3, None)
    )
    chain = psp.Chain(run.schema.process, None, _Two())
    space, model = run.schema.process, run.members[0]
    for rng in (3, None, "0", NAN, [0], np.random, np.random.RandomState(0)):
        yield f"sample(rng={rng!r:.30})", partial(space.sample, 3, rng)
    yield from each("scattered", partial(space.scattered, 3), "seed", SEEDS)
    for name, sample in {"hmc": sample_hmc, "nuts": sample_nuts, "svi": fit_svi}.items():
        numbers = {"steps": 2, "draws": 4} if name == "svi" else counts
        yield from each(f"sample_{name}", partial(sample, posterior, **numbers), "seed", SEEDS)
    for option in ("trajectory", "target_accept"):
        sample = partial(sample_hmc, posterior, **counts)
        yield from each("sample_hmc", sample, option, (*REAL, 0.0))
    trials = partial(simulate_trials, model, Partition.quantiles(model), draws=1)
    yield from each("trials", partial(trials, simulations=10), "seed", SEEDS)
    for name, rival in RIVALS.items():
        fit = partial(rival().fit, Batches.from_triads(triads), schema=triads.schema)
        yield from each(f"rival {name}", fit, "seed", SEEDS)
    verify = partial(run.verify, [0.5, 0.5], "u > 0.5", simulator=chain)
    yield from each("verify", verify, "samples", (*WHOLE, HUGE))
    yield from each("verify", verify, "seed", SEEDS)
    yield from each("verify", verify, "simulator", ("x", 3, [1]))
    loop = partial(run.loop, "u > 0.5", triads=triads, simulator=chain)
    for option in ("budget", "starts", "draws"):
        yield from each("loop", loop, option, WHOLE)
    yield from each("loop", loop, "precision", (*REAL, 0.0))
    yield from each("loop", loop, "explore", (*REAL, 1.5))
    yield from each("loop", loop, "seed", SEEDS)
    for number in (*WHOLE, 2):
        yield f"member({number!r:.30})".replace("\x1b", "^["), partial(run.member, number)


class _Two(Property):
    def __init__(self) -> None:
        super().__init__(None)
        self.properties = (psp.Property(name="u"), psp.Property(name="v"))

    def __call__(self, phi: Any, seeds: Any) -> Any:
        return phi


def command_tries(folder: Path) -> Iterator[Try]:
    """Commands on a store and a run in the folder `folder`; each must leave no file behind."""
    store, run, out = (str(folder / name) for name in ("t.zarr", "run", "out"))
    fit = [
        "fit",
        store,
        "--out",
        out,
        "--epochs",
        "0",
        "--reader-steps",
        "2",
        "--prior-steps",
        "2",
    ]
    design = ["design", run, "--target=u > 0.5"]
    simulate = ["simulate", "case1", "--out", out]
    posterior = ["posterior", run, "--target=u > 0.5", "--out", out]
    loop = ["loop", run, "--triads", store, "--target=u > 0.5"]
    demo = ["demo", "--out", out]
    numbers = ("-1", "nan", "inf", "1e300", "1_0", "x", "", "True", "1e12", "9" * 30, "0x10", "1j")
    whole = {
        "fit": (fit, "patience latent process-latent batch-size members workers threads labels "
                "reader-steps prior-steps epochs seed"),
        "design": (design, "starts draws seed verify"),
        "simulate": (simulate, "samples replicates workers seed"),
        "posterior": (posterior, "chains draws warmup workers seed member"),
        "loop": (loop, "budget starts draws seed member"),
        "demo": (demo, "samples reference epochs verify workers seed"),
    }  # fmt: skip
    real = {"fit": (fit, "learning-rate beta"), "loop": (loop, "precision"),
            "simulate": (simulate, "scale"), "design": (design, "window least price")}  # fmt: skip
    lines = [
        [*words, f"--{option}={value}"]
        for kind in (whole, real)
        for words, options in kind.values()
        for option in options.split()
        for value in (numbers if kind is whole else ("-1", "nan", "inf", "1_0", "x", "", "True"))
        if (option, value) not in {("epochs", "1_0")}
    ]
    lines += [[*fit, f"--device={device}"] for device in map(str, DEVICES)]
    lines += [
        [*design[:2], f"--target={target}"] for target in ("", "w>1", "u>\x1b[31m", "u", "1")
    ]
    lines += [
        [*design, f"--simulator={text}"] for text in ("x", "x:y", ":", "\x1b[31m:a", "os:nope")
    ]
    lines += [[*design, "--verify=3", "--simulator=os:getcwd"]]
    lines += [[*fit, "--patience", "-1"], [*simulate, "--scheduler", "nonsense", "--samples", "4"]]
    lines += [[*loop, "--out", out, "--refined", out], ["simulate", "case1", "--out", "y" * 300]]
    lines += [
        [*simulate, "--samples", "4", "--split", "x"],
        ["demo"],
        [],
        ["nonsense"],
        ["--what"],
    ]
    lines += [["fit", str(folder / name), "--out", out] for name in ("no", "dangling", "x" * 300)]
    lines += [
        ["fit", store, "--out", path] for path in ("", str(folder / "no" / "run"), "y" * 300)
    ]
    lines += [["data", "info", ""], ["data", "verify", "nowhere"], ["data"], ["import", "no.csv"]]
    lines += [["import", "no.csv", "--process", "a", "--property", "u", "--out", out]]
    lines += [["import", str(folder), "--process", "a", "--property", "u", "--out", out]]
    lines += [["fit", store, "--out", str(folder / "dangling")], ["report", run], ["posterior"]]
    lines += [["study", "case9", "--out", out], ["study", "case1", "--out", out, "--scale=nan"]]
    for option in ("scale", "workers", "seeds", "max-epochs", "seed"):
        bad = [v for v in ("-1", "0", "x", "") if (option, v) != ("seed", "0")]
        lines += [["study", "case1", "--out", out, f"--{option}={v}"] for v in bad]
    lines += [["check", run, "--out", out, f"--{o}={v}"] for o in ("sbc", "materials", "seed")
              for v in ("-1", "x", "", "9" * 30)]  # fmt: skip
    lines += [
        ["campaign", "start", out, "--run", run, "--triads", store, "--target=u>0.5", *rest]
        for rest in (["--seed=-1"], ["--worth=nan"], ["--doubt=inf"], [f"--seed={2**70}"])
    ]
    for words in lines:
        said = " ".join(word.replace(str(folder), "…") for word in words)
        yield f"pspgen {said[:100]}".encode("unicode_escape").decode(), partial(_command, words)


def _command(words: list[str]) -> None:
    """Raises unless the command ends in one line and the right code."""
    said, told = io.StringIO(), io.StringIO()
    there = set(Path.cwd().iterdir())
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(told):
        try:
            code = main(words)
        except SystemExit as exit_:
            code = exit_.code
    left = sorted(path.name for path in set(Path.cwd().iterdir()) - there)
    lines = [line for line in said.getvalue().splitlines() if "%|" not in line and line.strip()]
    if left:
        raise RuntimeError(f"left behind {', '.join(left)}"[:80])
    if code not in (1, 2):
        raise RuntimeError(f"exit code {code}")
    if len(lines) != 1 or not lines[0].startswith("pspgen: error: "):
        raise RuntimeError(f"{len(lines)} lines on standard error")
    if told.getvalue():
        raise RuntimeError("something on standard output")
    raise errors.InputError(lines[0])


def outcome(attempt: Callable[[], Any]) -> str:
    """What is wrong with how one try ended; empty if nothing is."""

    def late(*_: Any) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        attempt()
    except OURS as error:
        text = str(error)
        strange = [c for c in text if unicodedata.category(c) in ("Cc", "Cf")]
        if strange:
            return f"raw characters: {text!r:.60}"
        if len(text) > 1000:
            return f"a sentence of {len(text)} characters"
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        return f"{grown / 2**30:.1f} GB" if grown > BYTES else ""
    except TimeoutError:
        return f"longer than {SECONDS:g} s"
    except BaseException as error:  # noqa: BLE001
        first = str(error).partition("\n")[0]
        return f"bare {type(error).__name__}: {first!r:.80}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "accepted"


def tries(folder: Path) -> Iterator[Try]:
    """All tries, on a small data set and a run of it in the folder."""
    triads = small()
    run = psp.fit(triads, **FEW)
    triads.save(folder / "t.zarr")
    run.save(folder / "run")
    (folder / "dangling").symlink_to(folder / "gone")
    yield from schema_tries()
    yield from data_tries(folder)
    yield from physics_tries(folder)
    yield from model_tries(run, triads)
    yield from command_tries(folder)


def hostile(quick: bool = False) -> int:
    """Runs the tries, every fifth of them if `quick`; prints what fails and returns how many."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    # a try that asks for more than this gets a MemoryError at once
    failed, seconds, kinds = 0, [], Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "here").mkdir()
        os.chdir(folder / "here")
        for i, (said, attempt) in enumerate(tries(folder)):
            if i == 0:
                used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
                resource.setrlimit(resource.RLIMIT_AS, (used + 3 * BYTES, resource.RLIM_INFINITY))
            if quick and i % 5:
                continue
            start = time.perf_counter()
            if wrong := outcome(attempt):
                failed += 1
                kinds[wrong.split(":")[0]] += 1
                print(f"{said}: {wrong}", flush=True)
            seconds.append(time.perf_counter() - start)
        os.chdir("/")
    for kind, count in kinds.most_common():
        print(f"{count:5d} {kind}")
    print(
        f"{failed} of {len(seconds)} tries failed; median {np.median(seconds):.3f} s, longest "
        f"{max(seconds):.1f} s, {sum(seconds):.0f} s in all"
    )
    return failed


if __name__ == "__main__":
    sys.exit(bool(hostile("--quick" in sys.argv[1:])))
