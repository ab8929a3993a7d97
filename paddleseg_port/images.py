"""Which pictures a path means."""

from __future__ import annotations

from pathlib import Path

from paddleseg.utils import get_image_list

from converter.errors import InputError
from recipe.pictures import PictureError, open_picture


def find_images(path: Path) -> tuple[list[str], str | None]:
    """Pictures at `path`: one, a list of them, or a folder; and the folder. Raises InputError if there are none."""
    try:
        images, folder = get_image_list(str(path))
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
