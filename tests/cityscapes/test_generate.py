"""The generated set: Cityscapes' layout, exact labels, every class, the same bytes each time."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cityscapes.errors import DatasetError
from cityscapes.generate import CITY, FULL_SIZE, make_dataset
from cityscapes.labels import ID_OF, NUM_CLASSES, to_train_ids
from cityscapes.layout import decode, list_samples
from cityscapes.scenes import make_scene
from tests.cityscapes.sets import SIZE, label_path, make_small_set


@pytest.mark.parametrize("size", [SIZE, (97, 161), (128, 256)])
@pytest.mark.parametrize("number", range(3))
def test_every_scene_has_all_classes_and_ignored_pixels(size, number):
    pixels, ids = make_scene(*size, [0, 1, number])
    assert pixels.shape == (*size, 3)
    assert pixels.dtype == ids.dtype == np.uint8
    assert set(ID_OF) < set(np.unique(ids)) <= {*ID_OF, 1, 4}


def test_the_full_size_is_cityscapes():
    pixels, ids = make_scene(*FULL_SIZE, [0, 0, 0])
    assert pixels.shape == (1024, 2048, 3)
    shares = np.bincount(to_train_ids(ids).ravel(), minlength=256)[:NUM_CLASSES] / ids.size
    assert shares.min() > 2e-4
    assert shares[0] > 0.2  # road


def test_sets_are_a_function_of_the_seed(tmp_path):
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        make_dataset(tmp_path / name, counts={"train": 1, "val": 1}, size=SIZE, seed=seed, train_ids=True)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.png"))
    assert len(files) == 6
    assert all(CITY in path.parts and path.name.startswith(CITY) for path in files)
    pictures = {name: [(tmp_path / name / path).read_bytes() for path in files] for name in ("one", "again", "other")}
    assert pictures["one"] == pictures["again"]
    assert all(one != other for one, other in zip(pictures["one"], pictures["other"], strict=True))
    assert pictures["one"][0] != pictures["one"][1]


def test_both_kinds_of_labels_say_the_same(tmp_path):
    root = make_small_set(tmp_path / "set", count=1, train_ids=True)
    (sample,) = list_samples(root)
    assert sample.has_train_ids
    from_train_ids = decode(sample).label
    label_path(root, ending="labelTrainIds.png").unlink()
    (sample,) = list_samples(root)
    assert not sample.has_train_ids
    np.testing.assert_array_equal(decode(sample).label, from_train_ids)
    with Image.open(label_path(root)) as picture:
        assert np.asarray(picture).max() == 33


def test_what_cannot_be_generated(tmp_path):
    with pytest.raises(DatasetError, match="8 × 16 is too small"):
        make_small_set(tmp_path / "small", size=(8, 16))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(DatasetError, match="not an empty folder"):
        make_small_set(tmp_path / "full")
