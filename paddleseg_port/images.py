"""Which pictures a path means."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from paddleseg.utils import get_image_list

from converter.errors import InputError
from recipe.pictures import PictureError, open_picture


def find_images(path: Path) -> tuple[list[str], str | None]:
    """Pictures at `path`: one, a list of them, or a folder; and the folder. Raises InputError if there are none."""
    try:
        images, folder = get_image_list(str(path.absolute()))  # PaddleSeg takes the folder's name out of each path
    except (OSError, RuntimeError, UnicodeDecodeError):
        raise InputError(f"{path}: not a picture, a list of pictures, or a folder that has some") from None
    for image in images:
        if not Path(image).exists():
            raise InputError(f"{image}: there is no such picture, which {path} names")
        try:
            with open_picture(Path(image)):
                continue
        except PictureError as error:
            raise InputError(f"{image}: not a readable picture ({error})") from None
    return sorted(images), folder


def check_results(images: Sequence[str], results: Sequence[Path], folder: Path) -> None:
    """Raise InputError if what is written for a picture would lie outside `folder`, or take the place of a picture or
    of what is written for another."""
    pictures = {os.path.realpath(image) for image in images}
    known: dict[str, str] = {}
    for image, result in zip(images, results, strict=True):
        path = os.path.realpath(result)
        if Path(os.path.realpath(folder)) not in Path(path).parents:
            raise InputError(f"{image}: its prediction would lie outside {folder}; name it without ..")
        if path in pictures:
            raise InputError(f"{image}: the prediction {result} would take a picture's place; name another --save_dir")
        if known.setdefault(path, image) != image:
            raise InputError(f"{image}: has the same prediction, {result}, as {known[path]}; predict them apart")
