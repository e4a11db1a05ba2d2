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
        from ..data import Store, open_triads

        triads = open_triads(self.path, excluded=True)
        sizes = ", ".join(f"{name} {size}" for name, size in triads.sizes.items())
        print(f"{self.path}: {sizes}")
        for key, value in triads.attrs.items():
            print(f"  {key}: {value}")
        for name in ("fold", "excluded"):
            print(f"  {name}: {int((triads[name] == 1).sum())} of {triads.sizes['sample']}")
        failures = Store(self.path).manifest()["failures"]
        print(f"  failed: {len(failures)}")
        for index, reason in failures.items():
            print(f"    sample {index}: {reason}")
        print(f"  SHA-256: {Store(self.path).digest()}")
        return None


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

    def run(self) -> int | None:
        from ..data import verify

        report = verify(self.path, repair=self.repair)
        for key in report.damaged:
            print(f"{'rebuilt' if report.repaired else 'damaged'}: {key}")
        for key in report.unexpected:
            print(f"unexpected: {key}")
        state = "sound" if report.sound else "NOT SOUND"
        print(f"{self.path}: {report.files} files, {len(report.damaged)} damaged; {state}")
        return 0 if report.sound else 1
