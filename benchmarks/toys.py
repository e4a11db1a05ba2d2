"""The twelve inputs on which version 0.1.0 was silently wrong, each with its truth.

φ is uniform on [0, 1]² and y = 2 φ2 + 0.1 ε, so that P(0.8 < y < 1.2 | φ = (.5, .5)) is
Φ(2) − Φ(−2) = .954, and .911 for two such properties. A toy gives either a P and its truth or, for
input that cannot be used, the sentence that refused it.
"""

import shutil
from math import erf, log

import numpy as np
from fits import fitted, p_surface

import pspgen_pyro as psp
from pspgen_pyro.chain import PropertyFunction
from pspgen_pyro.errors import InputError
from pspgen_pyro.properties import permeability
from pspgen_pyro.schema import Microstructure
from pspgen_pyro.structure import (
    PhaseSeparatedField,
    two_mode_spectrum,
    two_point_correlation,
    void_fraction,
)

ONE = erf(2 / 2**0.5)
ROWS, SIDE, MIDDLE = 2000, 12, [[0.5, 0.5]]
TOLERANCE = 0.03
UNIT_SQUARE = psp.ProcessSpace(("phi1", "phi2"), (0.0, 0.0), (1.0, 1.0))


def draws(seed, rows=ROWS, count=2, image=(SIDE, SIDE)):
    """φ, images whose void fraction is φ1, and `count` independent y."""
    rng = np.random.default_rng([seed, rows, count])
    phi = rng.uniform(size=(rows, 2))
    x = (rng.uniform(size=(rows, *image)) < phi[:, :1, None]).astype(np.uint8)
    return phi, x, 2 * phi[:, 1:] + 0.1 * rng.standard_normal((rows, count)), rng


def triads(phi, x, values, properties):
    kind = None if x is None else Microstructure(shape=x.shape[1:])
    return psp.Triads.from_arrays(
        phi, x, values, process=UNIT_SQUARE, properties=properties, microstructure=kind, quiet=True
    )


def asked(model, seed, data, lower, upper, truth, what):
    made, seconds = fitted(model, data, seed)
    p = float(p_surface(made, psp.Box(lower, upper), MIDDLE)[0])
    return {"what": what, "truth": truth, "P": p, "cpu_seconds": seconds}


def refused(what, call):
    """The sentence that refused an input; none, if it was taken."""
    try:
        call()
    except InputError as error:
        return {"what": what, "sentence": str(error)}
    except Exception as error:  # noqa: BLE001
        return {"what": what, "bare": f"{type(error).__name__}: {error}"[:200]}
    return {"what": what, "accepted": True}


def units(model, seed, work):
    """F1: two properties in different units, with square images."""
    phi, x, y, _ = draws(seed)
    for a, b in ((1, 1), (100, 0.01), (1e9, 1)):
        data = triads(phi, x, y * (a, b), ["a [Pa]", "b [m]"])
        ends = (0.8 * a, 0.8 * b), (1.2 * a, 1.2 * b)
        yield asked(model, seed, data, *ends, ONE**2, f"scales {a:g} and {b:g}")
    data = triads(phi, x, np.exp(y + (25, -1)), ["a [Pa] log", "b [m] log"])
    yield asked(model, seed, data, (25.8, -0.2), (26.2, 0.2), ONE**2, "logs near 25 and -1")


def small_unit(model, seed, work):
    """F2: properties in m²."""
    phi, x, y, _ = draws(seed)
    data = triads(phi, x, y * 1e-12, ["k [m^2]", "l [m^2]"])
    ends = (0.8e-12, -np.inf), (1.2e-12, np.inf)
    yield asked(model, seed, data, *ends, ONE, "y times 1e-12")


def outlier(model, seed, work):
    """F3: one value of 1e6 among 5,000 rows."""
    phi, _, y, _ = draws(seed, 5000, 1)
    y[17] = 1e6
    yield asked(model, seed, triads(phi, None, y, ["y"]), (0.8,), (1.2,), ONE, "one 1e6")


def ties(model, seed, work):
    """F4: 30 % of the rows exactly at a detection limit, and the box is ± .1 about it."""
    phi, _, y, rng = draws(seed, ROWS, 1)
    limit = log(1e-18)
    hidden = rng.uniform(size=y.shape) < 0.3
    ends = (limit - 0.1,), (limit + 0.1,)
    for what, words, low in (
        ("declared, reported as 0", "k [m^2] log below=1e-18", 0.0),
        ("declared, reported as the limit", "k [m^2] log below=1e-18", 1e-18),
        ("not declared", "k [m^2] log", 1e-18),
    ):
        values = np.where(hidden, low, np.exp(y - 30))
        data = triads(phi, None, values, [words])
        answer = asked(model, seed, data, *ends, 0.3, what)
        if what == "not declared" and "below=" in data.summary():
            answer["sentence"] = data.summary().split("!")[-1].strip()
        yield answer


def damaged(model, seed, work):
    """F5: a file of a store that is missing, cut short or has one bit turned."""
    phi, x, y, _ = draws(seed, 500)
    data = triads(phi, x, y, ["a", "b"])
    for name in ("m", "x", "phi", "fold"):
        for how in ("missing", "cut", "turned"):
            path = work / f"damaged_{seed}_{name}_{how}.zarr"
            shutil.rmtree(path, ignore_errors=True)
            data.save(path)
            chunk = max(
                (f for f in (path / name).rglob("*") if f.is_file() and f.name != "zarr.json"),
                key=lambda f: f.stat().st_size,
            )
            content = bytearray(chunk.read_bytes())
            content[len(content) // 2] ^= 1
            if how == "missing":
                chunk.unlink()
            else:
                chunk.write_bytes(content if how == "turned" else content[: len(content) // 2])
            yield refused(f"{name} {how}", lambda path=path: used(path))


def used(path):
    return psp.Batches.from_triads(psp.Triads.open(path))


def nonsense(model, seed, work):
    """F6: images, settings and properties that cannot be what they are declared as."""
    phi, x, y, rng = draws(seed, 200)
    grey, far, bad, unknown = rng.uniform(size=x.shape), phi * 100, y.copy(), phi.copy()
    bad[3, 1], unknown[5, 0] = np.inf, np.nan
    for what, arrays in {
        "x of 0, 128 and 255": (phi, x * 128 + (grey > 0.9) * 127 * x, y),
        "grey x": (phi, grey, y),
        "x with NaN": (phi, np.where(x, np.nan, 0.0), y),
        "phi 100 times outside": (far, x, y),
        "NaN in phi": (unknown, x, y),
        "inf in m": (phi, x, bad),
    }.items():
        yield refused(what, lambda arrays=arrays: triads(*arrays, ["a", "b"]))
    # two values of a two-phase image can be meant in one way only
    taken = triads(phi, x * 255, y, ["a", "b"]).data["x"].values
    yield {"what": "x of 0 and 255", "truth": 0.0, "P": float((taken != x).mean())}


def descriptors(model, seed, work):
    """F7: descriptors of images that are no labels."""
    _, x, _, rng = draws(seed, 4)
    for function in (two_point_correlation, void_fraction):
        for what, image in {
            "0 and 255": x * 255,
            "grey": rng.uniform(size=x.shape),
            "NaN": np.where(x, np.nan, 0.0),
        }.items():
            name = f"{function.__name__} of {what}"
            yield refused(name, lambda function=function, image=image: function(image))


def sizes(model, seed, work):
    """F8: one property, three of them, or images that are not square."""
    phi, x, y, _ = draws(seed, ROWS, 3)
    for count in (1, 3):
        data = triads(phi, x, y[:, :count], ["a", "b", "c"][:count])
        box = (0.8,) * count, (1.2,) * count
        yield asked(model, seed, data, *box, ONE**count, f"{count} of a property")
    data = triads(phi, x[:, :, :8], y[:, :2], ["a", "b"])
    yield asked(model, seed, data, (0.8,) * 2, (1.2,) * 2, ONE**2, "12 × 8 pixels")


def partly(model, seed, work):
    """F9: every row lacks one of its two properties; images, where there are any, tell nothing of
    them."""
    phi, x, y, rng = draws(seed)
    y[np.arange(ROWS), rng.integers(2, size=ROWS)] = np.nan
    lower, upper = np.full((2, 2), -np.inf), np.full((2, 2), np.inf)
    np.fill_diagonal(lower, 0.8)
    np.fill_diagonal(upper, 1.2)
    for images, words in ((x, "images"), (None, "no images")):
        made, seconds = fitted(model, triads(phi, images, y, ["a", "b"]), seed)
        for j in (0, 1):
            p = float(p_surface(made, psp.Box(lower[j], upper[j]), MIDDLE)[0])
            what = f"property {j + 1}, {words}"
            yield {"what": what, "truth": ONE, "P": p, "cpu_seconds": seconds}


def rounded(model, seed, work):
    """F10: a bound that went through single precision is that bound."""
    process = psp.ProcessSpace(("phi12",), (0.02,), (2.0,))
    found = process.check(np.array([[0.02], [2.0]], dtype=np.float32))
    yield {"what": "0.02 as float32", "truth": 0.02, "P": float(found[0, 0])}


def flow_and_void(x):
    return np.column_stack([permeability(x), x.mean(axis=(1, 2))])


def three(model, seed, work):
    """F11: a chain with three properties is simulated, stored and opened."""
    process = psp.ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
    properties = ("k_h [1] log", "k_v [1] log", "void [1] linear")
    solver = PropertyFunction(flow_and_void, properties)
    chain = psp.Chain(process, PhaseSeparatedField(SIDE, two_mode_spectrum), solver)
    path = work / f"three_{seed}.zarr"
    psp.generate(chain, path, samples=20, seed=seed, resume=True)
    stored = psp.Triads.open(path).data
    error = np.abs(stored["value"].values[:, 2] - stored["x"].values.mean(axis=(1, 2))).max()
    yield {"what": "the third property's largest error", "truth": 0.0, "P": float(error)}


def own_arrays(model, seed, work):
    """F12: arrays → fit → save → load, and P is the same; an axis is called what was declared."""
    phi, x, y, _ = draws(seed)
    data = triads(phi, x, np.exp(y), ["strength [MPa] log", "weight [kg] log"])
    made, seconds = fitted("pspgen", data, seed)
    shutil.rmtree(work / f"run_{seed}", ignore_errors=True)
    made.save(work / f"run_{seed}")
    again, box = psp.load_run(work / f"run_{seed}"), psp.Box((0.8,) * 2, (1.2,) * 2)
    before, after = (float(p_surface(one, box, MIDDLE)[0]) for one in (made, again))
    yield {"what": "P", "truth": ONE**2, "P": before, "cpu_seconds": seconds}
    yield {"what": "P after save and load", "truth": before, "P": after}
    if data.schema.properties[0].label != "ln(strength / MPa)":
        yield {"what": "the label", "accepted": data.schema.properties[0].label}


TOYS = {
    "F1": units,
    "F2": small_unit,
    "F3": outlier,
    "F4": ties,
    "F5": damaged,
    "F6": nonsense,
    "F7": descriptors,
    "F8": sizes,
    "F9": partly,
    "F10": rounded,
    "F11": three,
    "F12": own_arrays,
}


def toy(work, model, seed, name):
    """Every answer of one toy; what broke it, if something did."""
    folder = work / "toys"
    folder.mkdir(exist_ok=True)
    answers = []
    try:
        for answer in TOYS[name](model, seed, folder):
            answers.append(answer)
    except Exception as error:  # noqa: BLE001
        answers.append({"what": "the toy", "bare": f"{type(error).__name__}: {error}"[:300]})
    return {"answers": answers, "right": all(right(answer) for answer in answers)}


def right(answer):
    """Whether P is the truth, or a sentence says what is the matter."""
    near = "P" in answer and abs(answer["P"] - answer["truth"]) <= TOLERANCE
    return bool(near or "sentence" in answer)
