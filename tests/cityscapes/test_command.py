"""From options to a protocol, and interruptions."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from cityscapes.command import Options, choose_protocol, run
from cityscapes.errors import DatasetError, EvaluationError
from cityscapes.evaluate import Task
from cityscapes.layout import IMAGES, LABELS, list_samples
from cityscapes.networks import TorchNetwork
from cityscapes.progress import Display, show_progress
from cityscapes.protocols import MMSEG, OFFICIAL, PADDLESEG
from cityscapes.state import State
from cityscapes.totals import Totals
from cityscapes.weights import Weights, read_weights
from tests.cityscapes.networks import Linear
from tests.cityscapes.sets import label_path, make_small_set
from twins.standin import make_state_dict, save_state_dict
from twins.weights import standin_pair

ROOT = Path("set")


@pytest.fixture(scope="module")
def weights():
    pair = standin_pair(seed=0, depth=18)
    return Weights(pair=pair, torch=None, paddle=None, recurrence=2, file_name="a.pth")


def test_the_family_s_protocol_and_what_options_change(weights):
    def choose(**options):
        return choose_protocol(Options(root=ROOT, **options), weights)

    assert choose() == OFFICIAL
    assert choose(protocol="mmseg") == MMSEG
    assert choose(protocol="paddleseg", padding=False).padded_size is None
    assert choose(whole=True).window is None
    assert choose(slide=513, overlap=Fraction(1, 2)).overlap == Fraction(1, 2)
    assert choose(protocol="paddleseg", slide=513).window == 513
    assert choose(protocol="paddleseg", slide=513).preprocessing == PADDLESEG.preprocessing
    with pytest.raises(DatasetError, match="--overlap belongs to --slide"):
        choose(whole=True, overlap=Fraction(1, 2))


@pytest.mark.parametrize(
    ("family", "classes", "message"),
    [("official", 21, "has 21 classes"), ("imagenet", 19, "without a segmentation head")],
)
def test_weights_that_are_none_of_cityscapes(tmp_path, family, classes, message):
    path = tmp_path / "weights.pth"
    save_state_dict(path, make_state_dict(family, depth=18, num_classes=classes))
    with pytest.raises(DatasetError, match=message):
        read_weights(path, None, family=None, recurrence=None)


class Interrupted(Display):
    """The user presses Ctrl-C during the third image."""

    def advance(self, totals):
        if totals.images == 3:
            raise KeyboardInterrupt


def test_an_interruption_leaves_the_whole_images_behind(tmp_path):
    from cityscapes.command import _evaluate

    share = list(enumerate(list_samples(make_small_set(tmp_path / "set", count=4))))
    task = Task(networks={"torch": TorchNetwork(Linear())}, protocol=MMSEG)
    state = State({}, interval=1e9, folder=tmp_path)
    with show_progress(Console(file=io.StringIO())) as display:
        interrupted = Interrupted(display.bar)
        with pytest.raises(EvaluationError, match="interrupted after 3 of 4 images; the same command with --resume"):
            _evaluate(task, share, Totals.empty(("torch",), None), state, interrupted, 1)
        totals = state.load()
        assert totals.images == 3
        _evaluate(task, share, totals, state, display, 1)
    whole = Totals.empty(("torch",), None)
    with show_progress(Console(file=io.StringIO())) as display:
        _evaluate(task, share, whole, State({}, folder=tmp_path), display, 1)
    np.testing.assert_array_equal(totals.confusion["torch"], whole.confusion["torch"])


@pytest.mark.parametrize(
    ("split", "message"), [("val", "no evaluated pixel$"), ("test", "not public, evaluate --split val")]
)
def test_labels_without_an_evaluated_pixel_are_refused_at_once(tmp_path, split, message):
    """The archives have such files for the test split. No weights are read: there are none."""
    root = make_small_set(tmp_path / "set", count=1)
    Image.fromarray(np.zeros((64, 128), np.uint8)).save(label_path(root))
    for part in (IMAGES, LABELS):
        (root / part / "val").rename(root / part / split)
    with pytest.raises(DatasetError, match=message):
        run(Options(root=root, split=split, torch=tmp_path / "none.pth"))
