"""NumPy's archives (`.npz`) as data: no pickles, nothing larger than the file allows, one array at a time.

Source of the format: numpy/numpy numpy/lib/format.py.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.lib import format as npy

from converter.errors import InputError
from converter.files.memory import Memory
from converter.files.unpickle import one_line

Array = np.ndarray[Any, Any]
ENDING = ".npy"


class Archive:
    """An `.npz` opened for reading. `names` are its arrays', without their ending.

    Raises InputError, one line, for what is no regular file, no such archive, or would unpack to more than twice its
    size and some; so does `read`, for an array that is none of numbers, or damaged.

    with Archive(Path("inputs.npz")) as archive:
        arrays = {name: archive.read(name) for name in archive.names}
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is {'a folder' if path.is_dir() else 'not a regular file'}; give a .npz")
        try:
            self._zip = zipfile.ZipFile(path)
        except Exception as error:  # noqa: BLE001 - zipfile raises many kinds for a damaged archive
            raise InputError(f"{path}: not a readable .npz ({_explain(error)})") from None
        infos = self._zip.infolist()
        self._entries = {info.filename.removesuffix(ENDING): info for info in infos}
        if len(self._entries) < len(infos):
            raise InputError(f"{path}: not a readable .npz (it holds two arrays of one name)")
        Memory(path).take(sum(info.file_size for info in infos), "what is compressed in it")

    @property
    def names(self) -> list[str]:
        """Of its arrays, in the file's order."""
        return list(self._entries)

    def read(self, name: str) -> Array:
        """One array. Raises InputError as the class says."""
        try:
            return self._read(self._entries[name])
        except Exception as error:  # noqa: BLE001 - zipfile, the decompressors and NumPy raise many kinds
            raise InputError(f"{self.path}: {one_line(name)} cannot be read ({_explain(error)})") from None

    def _read(self, info: zipfile.ZipInfo) -> Array:
        with self._zip.open(info) as file:
            version = npy.read_magic(file)  # type: ignore[no-untyped-call]
            reader = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
            if reader is None:
                raise ValueError(f"version {version} of the format, of which numbers have 1 or 2")
            shape, fortran, dtype = reader(file)  # type: ignore[no-untyped-call]
            if dtype.kind not in "biufc" or dtype.names is not None or dtype.subdtype is not None:
                raise ValueError(f"its dtype {dtype} is not a number's")
            data = file.read()  # to the end, where the checksum is compared
        array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
        return array.copy()  # writable, and aligned

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()


def _explain(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return one_line(reason or type(error).__name__)
