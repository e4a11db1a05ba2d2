"""Writes the golden files: one store, one run, one DataTree, and the numbers in them.

Every later version must open them and find the same numbers (`tests/test_golden.py`). Run it once
a release, and commit what it writes to `tests/golden/VERSION`:

    python tests/golden_files.py
"""

import json
from pathlib import Path

import numpy as np
import torch
import xarray as xr

import pspgen_pyro as psp
from pspgen_pyro.model import (
    BernoulliImage,
    BottleneckReader,
    MixturePrior,
    ReadingEncoder,
    ResidualMap,
)
from pspgen_pyro.training import Epochs, PriorStage, ReaderStage

GOLDEN = Path(__file__).parent / "golden"
PROPERTIES = (
    "horizontal [1] log quantity=k direction=horizontal",
    "vertical [1] log quantity=k direction=vertical",
)
TARGET = "horizontal in [0.4, 0.9], vertical > 0.3"
PHI = (0.4, 0.6)


def material(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Settings (count, 2), images (count, 6, 6) of the first of them, properties of both."""
    rng = np.random.default_rng(seed)
    phi = rng.uniform(size=(count, 2))
    x = (rng.uniform(size=(count, 6, 6)) < phi[:, :1, None]).astype(np.uint8)
    return phi, x, np.exp(phi - 1.0 + 0.1 * rng.normal(size=(count, 2)))


def narrow(schema: psp.Schema) -> psp.PSPGen:
    """The default model with layers so narrow that its folder is small."""
    torch.manual_seed(1)
    return psp.PSPGen(
        schema,
        latent=4,
        process_latent=2,
        process_map=ResidualMap(hidden=(8,)),
        prior=MixturePrior(components=2, hidden=(8,), members=2),
        image_decoder=BernoulliImage(hidden=(8,)),
        encoder=ReadingEncoder(
            reader=BottleneckReader(head=8), image=(8,), vector=(8,), joint=(8,)
        ),
    )


def numbers(folder: Path) -> dict[str, object]:
    """What a version reads from the golden files of `folder`."""
    triads = psp.Triads.open(folder / "triads").data
    run = psp.load_run(folder / "run")
    tree = xr.open_datatree(folder / "posterior", engine="zarr", consolidated=False)
    return {
        "triads": {
            "phi": triads["phi"].values[::4].tolist(),
            "m": triads["m"].values.tolist(),
            "void": triads["x"].values.mean(axis=(1, 2)).tolist(),
        },
        "run": {
            "parameters": [float(w.detach().double().abs().sum()) for w in run.model.parameters()],
            "validation_loss": run.histories[0].epochs["validation_loss"],
            "P": run.probability(TARGET, PHI).value,
        },
        "posterior": {
            f"{group.path}/{name}": float(values.where(np.isfinite).mean())
            for group in tree.subtree
            for name, values in group.data_vars.items()
            if values.dtype.kind == "f"
        },
    }


def main() -> None:
    folder = GOLDEN / psp.__version__
    folder.mkdir(parents=True)
    psp.generate("case1", folder / "triads", samples=8, seed=1, workers=1)
    phi, x, m = material(60, 1)
    triads = psp.Triads.from_arrays(
        phi,
        x,
        m,
        process={"a": (0, 1), "b": (0, 1)},
        properties=PROPERTIES,
        microstructure={"phases": 2, "periodic": False},
        quiet=True,
    )
    stages = (ReaderStage(steps=20), PriorStage(steps=30), Epochs(epochs=2, batch_size=16))
    run = psp.fit(triads, model=narrow(triads.schema), stages=stages, seed=1, progress=False)
    run.save(folder / "run")
    draws = run.posterior(TARGET).sample("hmc", chains=2, draws=10, warmup=10, seed=1)
    draws.to_arviz(draws=20, seed=1).to_zarr(folder / "posterior", consolidated=False)
    text = json.dumps(numbers(folder), indent=1, sort_keys=True)
    (folder / "numbers.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
