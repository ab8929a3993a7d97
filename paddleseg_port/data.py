"""Pictures and labels as PaddleSeg's loops read them, with each file checked and named where it is wrong.

PaddleSeg takes a label of any shape and any numbers, and a loader without workers waits for ever once its data set has
raised. While `checked_loading` holds, loaders hand the first error to the loop that reads from them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import SimpleQueue
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import paddle

from cityscapes.errors import EvaluationError
from converter.errors import ConverterError, InputError
from paddleseg_port.build import describe
from recipe.pictures import LOSSLESS, PictureError, open_picture

Array = np.ndarray[Any, Any]
Data = dict[str, Any]

MASK = {0, 255}


class CheckedTransforms:
    """PaddleSeg's `Compose`, given what `dataset` names decoded and checked: it would fail without a name."""

    def __init__(self, transforms: Any, dataset: Any = None, *, keep_masks: bool = False) -> None:
        self.transforms, self.dataset, self.keep_masks = transforms, dataset, keep_masks

    def __call__(self, data: Data) -> Data:
        """`data["img"]` and `data["label"]` may be paths. Raises InputError for a file that is not what it should."""
        image, label = data.get("img"), data.get("label")
        if isinstance(image, str):
            data["img"] = read_image(Path(image), getattr(self.transforms, "read_flag", cv2.IMREAD_COLOR))
        if isinstance(label, str):
            data["label"] = read_label(Path(label), self.dataset, keep_masks=self.keep_masks)
            if isinstance(image, str):
                _check_sizes(data, image, label)
        return self.transforms(data)

    def __getattr__(self, name: str) -> Any:
        if name == "transforms":  # while it is unpickled in a worker
            raise AttributeError(name)
        return getattr(self.transforms, name)


def read_image(path: Path, flag: int = cv2.IMREAD_COLOR) -> Array:
    """Pixels as PaddleSeg decodes them, float32. Raises InputError if there is no such picture."""
    try:
        with open_picture(path, deep=flag != cv2.IMREAD_COLOR):
            pixels = cv2.imread(str(path), flag)
        if pixels is None:
            raise PictureError("it cannot be decoded")
    except PictureError as error:
        raise InputError(f"{path}: not a readable picture ({error}); copy or unpack it again") from None
    return pixels.astype("float32")


def read_label(path: Path, dataset: Any, *, keep_masks: bool = False) -> Array:
    """The class number of each pixel (H, W) as the file has it. Raises InputError unless they are `dataset`'s."""
    try:
        with open_picture(path, LOSSLESS, deep=True) as picture:
            label = np.asarray(picture)
    except PictureError as error:
        raise InputError(f"{path}: not a readable label ({error}); copy or unpack it again") from None
    if label.ndim != 2:
        raise InputError(
            f"{path}: has {label.shape[-1]} channels; a label is one class number per pixel, so write the colours' "
            "numbers into a grey or palette PNG"
        )
    check_numbers(label, path, dataset)
    if not keep_masks and dataset.ignore_index == max(MASK) and set(np.unique(label).tolist()) == MASK:
        raise InputError(
            f"{path}: holds nothing but 0 and 255, and 255 is ignored here; if it is a mask, write 1 for 255, "
            "else pass --keep_masks"
        )
    return label


def check_numbers(label: Array, path: Path | str, dataset: Any) -> None:
    """Raise InputError for a number in `label` that is no class of `dataset`. One may have its own `label_count`."""
    count = getattr(dataset, "label_count", dataset.num_classes)
    ignored = dataset.ignore_index
    wrong = (label < 0) | (label >= count)
    if count == dataset.num_classes:
        wrong &= label != ignored
    if wrong.any():
        known = f"0 … {count - 1}" + (f" and {ignored}" if count == dataset.num_classes else "")
        pixels = int(wrong.sum())
        mask = "; a mask of 0 and 255 needs 1 for 255" if set(np.unique(label).tolist()) == MASK else ""
        raise InputError(
            f"{path}: holds the label {label[wrong].flat[0]} in {pixels} pixels; the data set's are {known}, so write "
            f"class numbers, or give it their num_classes{mask}"
        )


def _check_sizes(data: Data, image: str, label: str) -> None:
    sizes = [data[name].shape[:2] for name in ("img", "label")]
    if sizes[0] != sizes[1]:
        size, other = (" × ".join(map(str, shape)) for shape in sizes)
        raise InputError(f"{image}: is {size}, its label {label} is {other} (H × W); they must be equal")


class CheckedDataset(paddle.io.Dataset):
    """A data set that puts its first error into `failures` and then ends."""

    def __init__(self, dataset: Any, failures: SimpleQueue[str]) -> None:
        super().__init__()
        self.dataset, self.failures = dataset, failures

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        try:
            sample = self.dataset[index]
            self._check(sample, index)
        except Exception as error:  # noqa: BLE001 - a user's transform may raise anything
            own = isinstance(error, ConverterError | EvaluationError)
            self.failures.put(str(error) if own else f"{self._name(index)}: {describe(error)}")
            raise StopIteration from None
        return sample

    def _check(self, sample: Any, index: int) -> None:
        """For sets that decode labels themselves."""
        if isinstance(sample, dict) and isinstance(sample.get("label"), np.ndarray):
            check_numbers(sample["label"], self._name(index), _Finished(self.dataset))

    def _name(self, index: int) -> str:
        paths = getattr(self.dataset, "file_list", {})
        return str(paths[index][-1]) if index < len(paths) else f"picture {index}"


class _Finished:
    """A data set as its samples show it: its labels are classes, whatever its files hold."""

    def __init__(self, dataset: Any) -> None:
        self.num_classes, self.ignore_index = dataset.num_classes, dataset.ignore_index


@contextmanager
def checked_loading(*, keep_masks: bool) -> Iterator[None]:
    """Within, a `paddle.io.DataLoader` reads checked files; its loop gets InputError for the first that is wrong."""

    class CheckedLoader(paddle.io.DataLoader):
        def __init__(self, dataset: Any, *arguments: Any, **options: Any) -> None:
            self.failures: SimpleQueue[str] = SimpleQueue()
            if hasattr(dataset, "transforms") and not isinstance(dataset.transforms, CheckedTransforms):
                dataset.transforms = CheckedTransforms(dataset.transforms, dataset, keep_masks=keep_masks)
            super().__init__(CheckedDataset(dataset, self.failures), *arguments, **options)

        def __iter__(self) -> Any:
            try:
                yield from super().__iter__()
            except SystemError:  # a worker's data set has ended
                if self.failures.empty():
                    raise
            if not self.failures.empty():
                raise InputError(self.failures.get())

    with patch.object(paddle.io, "DataLoader", CheckedLoader), patch.object(threading, "excepthook", _say_nothing):
        yield


def _say_nothing(arguments: threading.ExceptHookArgs) -> None:
    """The loader's thread raises what its loop is told too."""
