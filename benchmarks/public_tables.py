"""Two public tables of real tests, without images: is m inside its interval, and is P honest?

`crossed_barrel` holds 600 settings × 3 prints, `p3ht` 178 settings of 233 films, as the folder
`olympus` of public data has them. All rows of a setting are in one of five folds, and each fold is
judged by a model of the four others. Standard errors count settings, not rows.
"""

import numpy as np
from fits import fitted, p_surface

import pspgen_pyro as psp
from pspgen_pyro.rivals import PSPGenPredictor, Rival
from pspgen_pyro.schema import Schema

FOLDS, LEVEL, DRAWS = 5, 0.9, 2000
TABLES = {
    "crossed_barrel": ("crossed_barrel_raw.csv", "toughness [J] linear"),
    "p3ht": ("p3ht_raw.csv", "conductivity [S/cm] log"),
}


def table(public, name):
    """Settings `(N, P)`, values `(N, 1)`, the process (the box of the settings) and the
    property."""
    file, words = TABLES[name]
    path = public / "olympus" / file
    columns = path.read_text().splitlines()[0].split(",")
    rows = np.loadtxt(path, delimiter=",", skiprows=1)
    phi = rows[:, :-1]
    process = psp.ProcessSpace(tuple(columns[:-1]), tuple(phi.min(0)), tuple(phi.max(0)))
    return phi, rows[:, -1:], process, words


def settings_of(phi):
    """The number of each row's setting."""
    return np.unique(phi, axis=0, return_inverse=True)[1].ravel()


def held_out(work, model, seed, name, public):
    """Coverage and Brier score of every row, by a model that saw no row of its setting."""
    phi, values, process, words = table(public, name)
    setting = settings_of(phi)
    order = np.random.default_rng(seed).permutation(setting.max() + 1)
    fold = order[setting] % FOLDS
    m = Schema(process=process, properties=(words,)).scaled(values)
    top = psp.Box((np.quantile(m, 0.9),), (np.inf,))
    inside, brier, seconds = np.zeros(len(m)), np.zeros(len(m)), 0.0
    for k in range(FOLDS):
        rows, out = fold != k, fold == k
        triads = psp.Triads.from_arrays(
            phi[rows], None, values[rows], process=process, properties=[words], quiet=True
        )
        made, spent = fitted(model, triads, seed)
        predictor = made if isinstance(made, Rival) else PSPGenPredictor(made.model)
        drawn = predictor.sample(phi[out], DRAWS, seed)[..., 0]
        low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=1)
        inside[out] = (m[out, 0] >= low) & (m[out, 0] <= high)
        brier[out] = (p_surface(made, top, phi[out]) - top.contains(m[out])) ** 2
        seconds += spent
    base = top.contains(m).mean()
    return {
        "cpu_seconds": seconds,
        "coverage": by_setting(inside, setting),
        "brier": by_setting(brier, setting),
        "brier of the base rate": float(base * (1 - base)),
        "rows": {"inside": inside.astype(int).tolist(), "brier": brier.round(6).tolist()},
        "setting": setting.tolist(),
    }


def by_setting(values, setting):
    """The mean over rows and its standard error, the rows of one setting counted together."""
    mean = values.mean()
    off = np.bincount(setting, weights=values - mean)
    return [float(mean), float((off**2).sum() ** 0.5 / len(values))]


def over_seeds(cells, key):
    """The mean over rows and seeds; rows are averaged over the seeds before settings are
    counted."""
    cells = list(cells)
    rows = np.mean([cell["rows"][key] for cell in cells], axis=0)
    return by_setting(rows, np.array(cells[0]["setting"]))
