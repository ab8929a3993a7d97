"""Reading Cityscapes' layout, and the one line that each mistake gets."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from cityscapes.errors import DatasetError
from cityscapes.layout import decode, list_samples
from tests.cityscapes.sets import SIZE, image_path, label_path, make_small_set


@pytest.fixture
def root(tmp_path):
    return make_small_set(tmp_path / "set")


def overwrite(path, pixels):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def test_samples_are_paired_by_name(root):
    samples = list_samples(root)
    assert [sample.name for sample in samples] == [f"generated/generated_000001_{i:06d}" for i in range(2)]
    decoded = decode(samples[1])
    assert decoded.pixels.shape == (*SIZE, 3)
    assert decoded.label.shape == SIZE
    assert set(np.unique(decoded.label)) == {*range(19), 255}


def test_train_ids_are_used_only_if_every_picture_has_them(root):
    ids = decode(list_samples(root)[0]).label
    for number in range(2):
        path = label_path(root, number)
        overwrite(path.with_name(path.name.replace("labelIds", "labelTrainIds")), ids)
        assert list_samples(root)[0].has_train_ids is (number == 1)


ROOTS = {
    "no such folder": lambda root: root / "nowhere",
    "give the folder above": lambda root: root / "leftImg8bit",
    "did you mean": lambda root: root.parent,
    "has no leftImg8bit inside; unpack leftImg8bit_trainvaltest.zip": lambda root: root / "leftImg8bit" / "val",
}


@pytest.mark.parametrize("message", ROOTS)
def test_wrong_roots(root, message):
    with pytest.raises(DatasetError, match=message):
        list_samples(ROOTS[message](root))


def test_unknown_split(root):
    with pytest.raises(DatasetError, match="has no split 'train'; it has val"):
        list_samples(root, "train")


def test_missing_gtfine(root):
    shutil.rmtree(root / "gtFine")
    with pytest.raises(DatasetError, match=r"has no gtFine inside; unpack gtFine_trainvaltest.zip"):
        list_samples(root)


@pytest.mark.parametrize(("split", "message"), [("test", "not public"), ("val", "unpack gtFine")])
def test_a_split_without_labels(root, split, message):
    (root / "leftImg8bit" / "val").rename(root / "leftImg8bit" / split)
    shutil.rmtree(root / "gtFine" / "val")
    with pytest.raises(DatasetError, match=message):
        list_samples(root, split)


@pytest.mark.parametrize(
    ("lost", "message"), [(label_path, "1 picture without labels"), (image_path, "1 label without a picture")]
)
def test_unpaired_files(root, lost, message):
    lost(root).unlink()
    with pytest.raises(DatasetError, match=f"{message}, first generated/generated_000001_000000"):
        list_samples(root)


def test_a_split_without_pictures(root):
    shutil.rmtree(root / "leftImg8bit" / "val" / "generated")
    with pytest.raises(DatasetError, match="is the download complete"):
        list_samples(root)


def truncate(path):
    path.write_bytes(path.read_bytes()[:1000])


def replace_by_text(path):
    path.write_text("404 not found")


@pytest.mark.parametrize("damage", [truncate, replace_by_text])
@pytest.mark.parametrize("path", [image_path, label_path])
def test_damaged_files_are_named(root, path, damage):
    damage(path(root))
    with pytest.raises(DatasetError, match=f"{path(root).name}: not a readable PNG"):
        decode(list_samples(root)[0])


def test_sizes_must_agree(root):
    overwrite(label_path(root), np.zeros((64, 100)))
    with pytest.raises(DatasetError, match=r"is 64 × 128, its labels .* are 64 × 100"):
        decode(list_samples(root)[0])


@pytest.mark.parametrize(("path", "shape"), [(label_path, (*SIZE, 3)), (image_path, SIZE)])
def test_colour_and_grey_are_not_exchanged(root, path, shape):
    overwrite(path(root), np.zeros(shape))
    with pytest.raises(DatasetError, match="its mode is"):
        decode(list_samples(root)[0])


def test_labels_that_cityscapes_does_not_have(root):
    overwrite(label_path(root), np.full(SIZE, 34))
    with pytest.raises(DatasetError, match=r"label 34 in 8192 pixels; Cityscapes ids end at 33"):
        decode(list_samples(root)[0])


def test_ids_in_a_file_of_train_ids(root):
    for number in range(2):
        path = label_path(root, number)
        shutil.copy(path, path.with_name(path.name.replace("labelIds", "labelTrainIds")))
    with pytest.raises(DatasetError, match=r"labelTrainIds.png: holds the label .* train ids are 0 … 18 and 255"):
        decode(list_samples(root)[0])
