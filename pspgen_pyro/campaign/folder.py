"""The folder of a campaign: what it started from, with checksums, and nothing that is executed.

=================  ==============================================================================
file               what
=================  ==============================================================================
``campaign.json``  the target, the settings of the campaign and the checksums of the manifests of
                   the next three
``run``            the run that is asked, a run folder
``triads.zarr``    the triads that it was trained on, a store
``pairs.zarr``     the unlabelled samples that it was trained on too, if there were any
``journal``        everything that was asked and told since (`journal`)
``images``         the images among that, each under its digest
=================  ==============================================================================
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from ..data.manifest import KEY
from ..data.store import Store
from ..data.triads import Triads
from ..errors import DataError
from ..io.folders import CheckedFolder, Entry
from ..io.publish import publish_new, publishing
from ..io.sealing import sealed, sha256, unsealed
from ..io.validation import Record, read
from ..runs import Run, load_run
from ..runs.folder import MANIFEST, open_folder
from .journal import COPY, FORMAT, Journal

__all__ = ["Beginning", "Folder"]

_CAMPAIGN, _RUN, _TRIADS, _PAIRS = "campaign.json", "run", "triads.zarr", "pairs.zarr"
_JOURNAL, _IMAGES = "journal", "images"


class Beginning(Record):
    """What a campaign started from.

    Arguments:
        target: The target, as `target_from_json` reads it.
        doubt: The root mean square of what the logit of the model's P lacks.
        mean: Its mean.
        worth: What a batch has to be able to add to P.
        seed: Seeds everything.
        versions: The packages that started it.
        files: The checksum of the manifest of the run and of each store; in the first format of
            every file of the run.
    """

    target: dict[str, Any]
    doubt: Annotated[float, Field(gt=0)]
    mean: float
    worth: Annotated[float, Field(gt=0)]
    seed: Annotated[int, Field(ge=0)]
    versions: dict[str, str]
    files: dict[str, str]


class Folder:
    """The files of a campaign.

    Arguments:
        path: The folder.

    Raises:
        DataError: If it is no campaign, or a file is missing, damaged or of another format; the
            sentence names it.
    """

    def __init__(self, path: Path, *, verify: bool = True) -> None:
        self.path, self.verify = path, verify
        if not os.path.lexists(path / _CAMPAIGN):
            raise DataError(
                f"'folder' is {str(path)!r}, which is no campaign ({_CAMPAIGN} is missing); start "
                "one with `pspgen campaign start`."
            )
        where, own = str(path / _CAMPAIGN), CheckedFolder(path, "folder", COPY)
        content, _ = unsealed(own.read(_CAMPAIGN), repr(where), FORMAT, COPY)
        self.beginning = read(Beginning, content, where)
        if verify:
            self._check()
        self.journal = Journal(path / _JOURNAL, path / _CAMPAIGN)

    def _check(self) -> None:
        """Looks at every file, and reads the manifests.

        Raises:
            DataError: If one is not what was written.
        """
        files = {name: Entry(sha256=digest) for name, digest in self.beginning.files.items()}
        pinned = CheckedFolder(self.path, "folder", COPY, files)
        pinned.check()
        for name in files:
            pinned.read(name)
        open_folder(self.path / _RUN)
        for name in files:
            if name.endswith(f"/{KEY}"):
                store = Store(self.path.absolute() / name.removesuffix(f"/{KEY}"))
                store.checked(store.manifest()).check()

    @classmethod
    def start(
        cls, path: Path, run: Run, triads: Triads, pairs: Triads | None, **beginning: Any
    ) -> Folder:
        """Makes the folder, all of it or nothing.

        Raises:
            InputError: If it exists.
            StorageError: If writing fails.
        """
        with publishing(path) as folder:
            run.save(folder / _RUN)
            triads.save(folder / _TRIADS)
            if pairs is not None:
                pairs.save(folder / _PAIRS)
            kept = [folder / _RUN / MANIFEST, *folder.glob(f"*.zarr/{KEY}")]
            files = {
                file.relative_to(folder).as_posix(): sha256(file.read_bytes()) for file in kept
            }
            content = Beginning(**beginning, files=dict(sorted(files.items())))
            (folder / _CAMPAIGN).write_bytes(sealed(content.model_dump(mode="json"), FORMAT))
            for name in (_JOURNAL, _IMAGES):
                (folder / name).mkdir()
        return cls(path)

    def run(self) -> Run:
        """The run."""
        return load_run(self.path / _RUN, verify=self.verify)

    def triads(self) -> tuple[Triads, Triads | None]:
        """The triads that it was trained on, and the unlabelled samples, if there were any."""
        triads = Triads.open(self.path / _TRIADS, verify=self.verify)
        if f"{_PAIRS}/{KEY}" not in self.beginning.files:
            return triads, None
        return triads, Triads.open(self.path / _PAIRS, verify=self.verify)

    def keep_image(self, name: str, image: NDArray[Any]) -> None:
        """Keeps an image under its digest.

        Raises:
            StorageError: If writing fails.
        """
        publish_new(self._image(name), safetensors_numpy.save({"x": np.ascontiguousarray(image)}))

    def image(self, name: str) -> NDArray[Any]:
        """The image of a digest.

        Raises:
            DataError: If it is missing or damaged.
        """
        file = self._image(name)
        folder = CheckedFolder(file.parent, "folder", COPY)
        try:
            x = safetensors_numpy.load(folder.read(file.name))["x"]
        except (SafetensorError, KeyError) as error:
            raise folder.fault(file.name, f"is damaged ({error})") from error
        if sha256(x.tobytes())[: len(name)] != name:
            raise folder.fault(file.name, "does not have its checksum")
        return x

    def _image(self, name: str) -> Path:
        return self.path / _IMAGES / f"{name}.safetensors"
