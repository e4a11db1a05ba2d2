"""`pspgen data`: describe a triads store, check its checksums, rebuild what is damaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

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
        print(f"{self.path}: {triads.summary()}")
        store = Store(self.path)
        failures = store.manifest().failures
        print(f"failed: {len(failures)}")
        for index, reason in failures.items():
            print(f"  sample {index}: {reason}")
        print("made by")
        for key, value in triads.data.attrs.items():
            if key not in ("schema", "notes", "warnings"):
                print(f"  {key}: {value}")
        print(f"SHA-256: {store.digest()}")
        return None


@dataclass(frozen=True)
class DataVerify:
    """Compare every file of a triads store with its checksum.

    Exit code 0 if the store is sound, 1 if it is not. With --repair what is damaged is simulated
    again, by the case that the store names or by the chain that you name, and a file is replaced
    only if the new bytes have the recorded checksum. What was saved or imported has to be copied
    again.

    Example: pspgen data verify triads.zarr --repair

    Example: pspgen data verify powder.zarr --repair --chain powder:chain
    """

    path: Positional[Path]
    """The store."""
    repair: bool = False
    """Simulate damaged chunks again, and nothing else."""
    chain: str | None = None
    """The chain that made the store, as module:function, if it is no case of the study."""

    def run(self) -> int | None:
        from ..data import check_store
        from .questions import chain_from

        source = None if self.chain is None else chain_from(self.chain)
        report = check_store(self.path, repair=self.repair, source=source)
        for key in report.damaged:
            print(f"{'rebuilt' if report.repaired else 'damaged'}: {key}")
        for key in report.unexpected:
            print(f"unexpected: {key}")
        state = "sound" if report.sound else "NOT SOUND"
        print(f"{self.path}: {report.files} files, {len(report.damaged)} damaged; {state}")
        return 0 if report.sound else 1
