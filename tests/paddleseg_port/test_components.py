"""What the port registers with PaddleSeg."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddleseg.cvlibs import manager

from cityscapes.errors import DatasetError
from families import FAMILIES
from models_paddle.losses import CrossEntropy, OhemCrossEntropy
from paddleseg_port import components
from recipe.ohem import Mining
from recipe.preprocessing import preprocess

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
LOGITS = np.random.default_rng(0).standard_normal((2, 2, 5, 33, 41))
LABELS = np.random.default_rng(1).choice([0, 1, 2, 3, 4, 255], (2, 33, 41))


def test_all_are_registered() -> None:
    assert manager.MODELS["CCNetPort"] is components.CCNetPort
    assert manager.MODELS["CCNet"].__module__ == "paddleseg.models.ccnet"
    assert manager.TRANSFORMS["CCNetNormalize"] is components.CCNetNormalize
    assert manager.DATASETS["CityscapesIds"] is components.CityscapesIds
    for name in ("CCNetCrossEntropy", "CCNetOhem"):
        assert manager.LOSSES[name] is getattr(components, name)


@pytest.mark.parametrize("family", FAMILIES)
def test_normalise_is_the_familys(family: str) -> None:
    actual = components.CCNetNormalize(family)({"img": PIXELS.astype("float32")})["img"]
    expected = preprocess(PIXELS, FAMILIES[family].preprocessing)
    assert actual.dtype == np.float32
    assert np.array_equal(actual.transpose(2, 0, 1), expected.astype(np.float32))


def test_official_normalise_swaps_red_and_blue() -> None:
    """PaddleSeg decodes to RGB; the official network takes BGR."""
    red = np.zeros((1, 1, 3), np.float32)
    red[..., 0] = 200
    values = components.CCNetNormalize()({"img": red})["img"][0, 0]
    assert values == pytest.approx([-104.00698793, -116.66876762, 200 - 122.67891434])


@pytest.mark.parametrize("ohem", [False, True])
def test_losses_sum_to_the_official_criterion(ohem: bool) -> None:
    """Of logits that have the labels' size already, as PaddleSeg calls them."""
    mining = Mining(threshold=0.3, min_kept=640)
    criterion = OhemCrossEntropy(mining) if ohem else CrossEntropy()
    main = components.CCNetOhem(thresh=0.3, min_kept=640) if ohem else components.CCNetCrossEntropy()
    logits, labels = [paddle.to_tensor(value) for value in LOGITS], paddle.to_tensor(LABELS)
    total = main(logits[0], labels) + 0.4 * components.CCNetCrossEntropy()(logits[1], labels)
    assert float(total) == pytest.approx(float(criterion(tuple(logits), labels)), rel=1e-12)
    if ohem:
        assert float(main(logits[0], labels)) > 1.05 * float(components.CCNetCrossEntropy()(logits[0], labels))


def test_labels_of_either_kind_are_the_same(dataset: Path, tmp_path: Path) -> None:
    ids_alone = tmp_path / "ids"
    shutil.copytree(dataset, ids_alone, ignore=shutil.ignore_patterns("*labelTrainIds*"))
    sets = [components.CityscapesIds([], str(root), "val") for root in (dataset, ids_alone)]
    paths = [Path(one.file_list[0][1]).name for one in sets]
    assert paths[0].endswith("labelTrainIds.png")
    assert paths[1].endswith("labelIds.png")
    for with_train_ids, with_ids in zip(*sets, strict=True):
        assert np.array_equal(with_train_ids["label"], with_ids["label"])
        assert with_ids["label"].shape == (1, 64, 128)
    assert set(np.unique(sets[1][0]["label"])) <= {*range(19), 255}


def test_training_samples_have_flat_labels(dataset: Path) -> None:
    sample = components.CityscapesIds([components.CCNetNormalize()], str(dataset), "train")[0]
    assert sample["img"].shape == (3, 64, 128)
    assert sample["label"].shape == (64, 128)


def test_an_unpaired_picture_is_refused(dataset: Path, tmp_path: Path) -> None:
    """PaddleSeg's own set would pair the files that are left by their place."""
    broken = tmp_path / "broken"
    shutil.copytree(dataset, broken)
    for label in sorted(broken.glob("gtFine/val/*/*"))[:2]:
        label.unlink()
    with pytest.raises(DatasetError):
        components.CityscapesIds([], str(broken), "val")
