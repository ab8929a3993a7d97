"""The benchmark's own evaluator on saved predictions gives our figures, bit for bit."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from PIL import Image

from cityscapes.confusion import Score, count_confusion
from cityscapes.evaluate import PREDICTION_ENDING, save_prediction
from cityscapes.labels import CLASSES, ID_OF, NAMES, PALETTE, TRAIN_ID_OF, to_train_ids
from cityscapes.layout import decode, list_samples
from tests.cityscapes.sets import make_small_set

official = import_module("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")


def test_the_table_of_labels_is_theirs():
    for label in official.labels:
        if label.id >= 0:
            assert int(TRAIN_ID_OF[label.id]) == label.trainId
    theirs = {label.trainId: label for label in official.labels if not label.ignoreInEval}
    assert [theirs[i].name for i in range(19)] == list(NAMES)
    assert [theirs[i].color for i in range(19)] == [item.colour for item in CLASSES]
    assert [theirs[i].id for i in range(19)] == ID_OF.tolist()
    assert [tuple(colour) for colour in PALETTE[:19].tolist()] == [item.colour for item in CLASSES]


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """Samples, and predictions saved as the evaluation does it: right in two thirds of the pixels."""
    folder = tmp_path_factory.mktemp("cityscapes")
    samples = list_samples(make_small_set(folder / "set", count=3))
    rng = np.random.default_rng(0)
    confusion = np.zeros((19, 19), np.int64)
    paths = []
    for sample in samples:
        label = decode(sample).label
        guess = rng.integers(0, 19, label.shape).astype(np.uint8)
        prediction = np.where((rng.random(label.shape) < 2 / 3) & (label != 255), label, guess)
        paths.append(folder / "torch" / f"{sample.name}{PREDICTION_ENDING}")
        save_prediction(paths[-1], prediction)
        confusion += count_confusion(prediction, label)
    return samples, paths, confusion


def test_their_evaluator_says_the_same(predicted, capsys):
    samples, paths, confusion = predicted
    settings = official.args
    settings.evalInstLevelScore = settings.JSONOutput = settings.colorized = settings.quiet = False
    settings.evalPixelAccuracy = True
    official.evaluateImgLists([str(path) for path in paths], [str(sample.label) for sample in samples], settings)
    matrix = official.generateMatrix(settings)
    for path, sample in zip(paths, samples, strict=True):
        official.evaluatePair(str(path), str(sample.label), matrix, {}, {}, settings)
    ids = ID_OF.astype(int)
    np.testing.assert_array_equal(matrix[np.ix_(ids, ids)], confusion)
    theirs = {name: official.getIouScoreForLabel(official.name2label[name].id, matrix, settings) for name in NAMES}
    score = Score(confusion)
    assert list(theirs.values()) == score.class_iou.tolist()
    assert official.getScoreAverage(theirs, settings) == pytest.approx(score.miou, rel=1e-15)
    assert f"{score.miou:.3f}" in capsys.readouterr().out


def test_it_finds_the_files_by_their_names(predicted, monkeypatch):
    samples, paths, _ = predicted
    monkeypatch.setenv("CITYSCAPES_RESULTS", str(paths[0].parent.parent))
    for sample, path in zip(samples, paths, strict=True):
        official.args.predictionPath = official.args.predictionWalk = None
        assert official.getPrediction(official.args, str(sample.label)) == str(path)
        with Image.open(path) as picture:
            assert to_train_ids(np.asarray(picture)).max() == 18
