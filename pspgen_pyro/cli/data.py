"""`pspgen data`: describe a triads store, check its checksums, rebuild what is damaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tyro.conf import Positional

if TYPE_CHECKING:
    from ..schema import Property

__all__ = ["DataInfo", "DataVerify"]


@dataclass(frozen=True)
class DataInfo:
    """Print what a triads store holds and what made it.

    Example: pspgen data info triads.zarr
    """

    path: Positional[Path]
    """The store."""

    def run(self) -> int | None:
        from ..data import Store, Triads

        triads = Triads.open(self.path, excluded=True)
        sizes = ", ".join(f"{name} {size}" for name, size in triads.data.sizes.items())
        print(f"{self.path}: {sizes}")
        print(triads.schema)
        for name in ("fold", "excluded"):
            if name in triads.data:
                print(f"{name}: {int((triads.data[name] == 1).sum())} of {len(triads)}")
        for p, m in zip(triads.schema.properties, triads.data["m"].values.T, strict=True):
            print(f"{p.label}: {_described(p, m)}")
        store = Store(self.path)
        failures = store.manifest().failures
        print(f"failed: {len(failures)}")
        for index, reason in failures.items():
            print(f"  sample {index}: {reason}")
        print("made by")
        for key, value in triads.data.attrs.items():
            if key != "schema":
                print(f"  {key}: {value}")
        print(f"SHA-256: {store.digest()}")
        return None


def _described(property_: Property, m: NDArray[np.float64]) -> str:
    """How many triads know a property, its range, and how many are at a detection limit."""
    known = m[~np.isnan(m)]
    words = [f"known for {len(known)} of {len(m)}"]
    if len(known):
        words.append(f"from {known.min():.4g} to {known.max():.4g}")
    for end in property_.ends:
        if np.isfinite(end):
            words.append(f"{int((known == end).sum())} at the detection limit {end:.4g}")
    return ", ".join(words)


@dataclass(frozen=True)
class DataVerify:
    """Compare every file of a triads store with its checksum.

    Exit code 0 if the store is sound, 1 if it is not.

    Example: pspgen data verify triads.zarr --repair
    """

    path: Positional[Path]
    """The store."""
    repair: bool = False
    """Simulate damaged chunks again, and nothing else."""
    chain: str | None = None
    """The chain that made the store, as module:function, if it is no case of the study."""

    def run(self) -> int | None:
        from ..data import check_store
        from .chains import import_chain

        source = None if self.chain is None else import_chain(self.chain)
        report = check_store(self.path, repair=self.repair, source=source)
        for key in report.damaged:
            print(f"{'rebuilt' if report.repaired else 'damaged'}: {key}")
        for key in report.unexpected:
            print(f"unexpected: {key}")
        state = "sound" if report.sound else "NOT SOUND"
        print(f"{self.path}: {report.files} files, {len(report.damaged)} damaged; {state}")
        return 0 if report.sound else 1
