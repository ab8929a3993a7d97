"""Opening pictures: in the documented formats alone, by what a file holds, and without losing bits.

Pillow knows some fifty formats, of which one (EPS) starts Ghostscript, and takes a file by its content whatever it is
called; it cuts 16 bits a channel to 8 without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageFile, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF")
"""That pictures are read in; a file's name does not matter."""
LOSSLESS = ("PNG", "BMP", "GIF", "PPM", "TIFF")
"""That labels are read in: JPEG gives other numbers back than it was given."""
DEEP_MODES = ("I", "F")
"""How Pillow's modes of more than 8 bits begin."""


class PictureError(ValueError):
    """Why a file is not a picture that can be read."""


@contextmanager
def open_picture(path: Path, formats: tuple[str, ...] = FORMATS, *, deep: bool = False) -> Iterator[Image.Image]:
    """The picture at `path`, in one of `formats`; `deep` lets more than 8 bits a channel through.

    Raises PictureError, which does not name the file, for anything else, and for what fails while it is decoded within.

    with open_picture(Path("street.png")) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    """
    if path.exists() and not path.is_file():
        raise PictureError("it is a folder" if path.is_dir() else "it is not a regular file")
    try:
        with Image.open(path, formats=formats) as picture:
            if not deep and _is_deep(picture):
                raise PictureError("it has 16 bits a channel, of which 8 would be lost; save it with 8")
            yield picture
    except PictureError:
        raise
    except FileNotFoundError:
        raise PictureError("there is no such file") from None
    except UnidentifiedImageError:
        raise PictureError(f"it is none of {', '.join(formats)}, whatever its name says") from None
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise many kinds for a damaged file
        raise PictureError(str(error) or type(error).__name__) from None


def _is_deep(picture: Image.Image) -> bool:
    """Whether the file has more bits a channel than 8, which Pillow's mode does not always tell."""
    if picture.mode.startswith(DEEP_MODES):
        return True
    for decoder, _, _, arguments in picture.tile if isinstance(picture, ImageFile.ImageFile) else ():
        parts = arguments if isinstance(arguments, tuple) else (arguments,)
        if any(isinstance(part, str) and ";16" in part for part in parts):
            return True
        if decoder.startswith("ppm") and any(isinstance(part, int) and part > 255 for part in parts):
            return True
    return False
