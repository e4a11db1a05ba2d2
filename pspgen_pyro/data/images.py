"""Images in files: PNG, TIFF and NPY, one a row of a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

__all__ = ["matching", "read_image", "read_images"]

_TIFF = (".tif", ".tiff")


def matching(pattern: str, folder: Path) -> list[Path]:
    """The files of a pattern such as "img/*.png", in the order of their names.

    Numbers in names count as numbers: img2.png comes before img10.png.

    Raises:
        InputError: If no file matches.
    """
    path = Path(pattern)
    root = Path(path.anchor) if path.is_absolute() else folder
    inside = str(path.relative_to(path.anchor)) if path.is_absolute() else pattern
    no_pattern = InputError(f"'images' is {pattern!r}, which is no pattern of files.")
    if not Path(inside).parts:
        raise no_pattern
    try:
        found = [file for file in root.glob(inside) if file.is_file()]
    except (ValueError, NotImplementedError) as error:
        # "a/**b"; on Windows a drive without a root
        raise no_pattern from error
    if not found:
        raise InputError(
            f"'images' is {pattern!r}, which is neither a column of the table nor matches a file "
            f"in {str(root)!r}, the folder of the table."
        )
    return sorted(found, key=_order)


def read_images(files: Sequence[Path]) -> NDArray[Any]:
    """The images of some files, of one shape (H, W), with shape `(N, H, W)`.

    Raises:
        InputError: If a file cannot be read, or the shapes or types differ.
    """
    images = []
    for row, file in enumerate(files):
        image = read_image(file)
        if images and image.shape != images[0].shape:
            raise InputError(
                f"image {file.name!r} of row {row + 1} has {image.shape} pixels, but those before "
                f"it have {images[0].shape}; cut or resize the images to one shape."
            )
        if images and image.dtype != images[0].dtype:
            raise InputError(
                f"image {file.name!r} of row {row + 1} holds {image.dtype}, but those before it "
                f"hold {images[0].dtype}; save all images with the same depth."
            )
        images.append(image)
    return np.stack(images)


def read_image(file: Path) -> NDArray[Any]:
    """One image as an array (H, W), with the values in the file.

    Raises:
        InputError: If the file is missing, no image, or holds colours.
    """
    if not file.is_file():
        raise InputError(f"there is no image {str(file)!r}; paths count from the table's folder.")
    try:
        image = _decoded(file)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001
        raise InputError(f"{str(file)!r} cannot be read as an image ({error}).") from error
    if image.ndim == 3 and image.shape[-1] in (2, 3, 4):
        image = _one_channel(image, file)
    if image.ndim != 2:
        raise InputError(
            f"{str(file)!r} has shape {image.shape}; one file holds one image of (H, W) pixels. "
            "Read stacks with numpy and give them to Triads.from_arrays."
        )
    return image


def _decoded(file: Path) -> NDArray[Any]:
    suffix = file.suffix.lower()
    if suffix == ".npy":
        return np.load(file, allow_pickle=False)
    if suffix in _TIFF:
        import tifffile

        return tifffile.imread(file)
    if suffix == ".png":
        import imageio.v3

        return imageio.v3.imread(file.read_bytes(), plugin="pillow")
    raise InputError(f"{str(file)!r} is neither PNG, TIFF nor NPY; convert it, without loss.")


def _one_channel(image: NDArray[Any], file: Path) -> NDArray[Any]:
    """The grey values of an image whose colours are all grey and that hides nothing."""
    colours = image if image.shape[-1] == 3 else image[..., :-1]
    if image.shape[-1] != 3 and (image[..., -1] != image[..., -1].max()).any():
        raise InputError(f"{str(file)!r} has a transparent part; save it without transparency.")
    if (colours != colours[..., :1]).any():
        raise InputError(
            f"{str(file)!r} is a colour image; save it as labels or grey values, one number a "
            "pixel."
        )
    return colours[..., 0]


def _order(file: Path) -> tuple[Any, ...]:
    words = re.split(r"(\d+)", file.as_posix())
    return tuple((int(word), word) if word.isdecimal() else (-1, word) for word in words)
