"""The engine on a generated set: what it counts is what was predicted, in pieces as in one go."""

from __future__ import annotations

import gc
import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from cityscapes.distributed import Group
from cityscapes.errors import DatasetError, EvaluationError
from cityscapes.evaluate import Task, evaluate, load_image
from cityscapes.layout import decode, list_samples
from cityscapes.networks import TorchNetwork
from cityscapes.predict import choose_classes, predict
from cityscapes.protocols import MMSEG
from cityscapes.totals import Totals
from tests.cityscapes.networks import Linear, make_networks
from tests.cityscapes.sets import image_path, make_small_set

FRAMEWORKS = ("torch", "paddle")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    root = make_small_set(tmp_path_factory.mktemp("sets") / "set", count=5)
    return list(enumerate(list_samples(root)))


def linear_task(**options):
    """Both "frameworks" are linear networks; Paddle's classes differ a little."""
    networks = {"torch": TorchNetwork(Linear()), "paddle": TorchNetwork(Linear(cell=5))}
    return Task(networks=networks, protocol=MMSEG, pictures=True, **options)


def run(task, samples, totals=None, **options):
    totals = totals or Totals.empty(FRAMEWORKS, 1e-3)
    evaluate(task, samples, totals, **options)
    return totals


def test_confusion_is_counted_pixel_by_pixel(samples):
    task = linear_task()
    totals = run(task, samples[:2])
    expected = np.zeros((19, 19), np.int64)
    for _, sample in samples[:2]:
        decoded = decode(sample)
        scores = predict(task.networks["torch"], load_image(decoded, MMSEG), MMSEG)[0]
        classes = choose_classes(scores)[0].numpy()
        for i in range(19):
            expected[i] += np.bincount(classes[decoded.label == i], minlength=19)
    np.testing.assert_array_equal(totals.confusion["torch"], expected)
    assert totals.images == 2


def test_flips_are_all_counted_also_where_no_label_is(samples):
    task = linear_task()
    totals = run(task, samples[:1])
    image = load_image(decode(samples[0][1]), MMSEG)
    classes = [choose_classes(predict(network, image, MMSEG)[0])[0] for network in task.networks.values()]
    assert totals.agreement.differing == int((classes[0] != classes[1]).sum()) > 0
    assert totals.pictures[0].differing == totals.agreement.differing


def test_both_twins_agree_up_to_rounding(samples):
    task = Task(networks=make_networks(), protocol=MMSEG)
    totals = run(task, samples[:2])
    assert totals.agreement
    assert totals.agreement.differing < 20
    assert totals.confusion["torch"].sum() == totals.confusion["paddle"].sum() > 0


def as_json(totals):
    return json.loads(json.dumps(totals.to_json()))


@pytest.mark.parametrize("size", [2, 3, 7])
def test_parts_add_up_to_the_whole(samples, size):
    """Also with more processes than pictures."""
    whole = run(linear_task(), samples)
    items = [sample for _, sample in samples]
    parts = [run(linear_task(), Group(rank=rank, size=size).share(items)) for rank in range(size)]
    total = Totals.from_json(as_json(parts[0]))
    for part in parts[1:]:
        total.merge(Totals.from_json(as_json(part)))
    assert as_json(total) == as_json(whole)


@pytest.mark.parametrize("damaged", range(5))
def test_an_interrupted_evaluation_goes_on_where_it_was(tmp_path, damaged):
    root = make_small_set(tmp_path / "set", count=5)
    samples = list(enumerate(list_samples(root)))
    whole = run(linear_task(), samples)
    path = image_path(root, damaged)
    intact = path.read_bytes()
    path.write_bytes(intact[:500])
    seen = []
    with pytest.raises(DatasetError, match=path.name):
        run(linear_task(), samples, after=lambda totals: seen.append(as_json(totals)))
    assert len(seen) == damaged
    path.write_bytes(intact)
    before = Totals.from_json(seen[-1]) if seen else None
    assert as_json(run(linear_task(), samples, before)) == as_json(whole)


def test_logits_that_are_not_finite_stop_it(samples):
    model = Linear()
    with torch.no_grad():
        model.weight[3, 1] = float("nan")
    task = replace(linear_task(), networks={"paddle": TorchNetwork(model)})
    with pytest.raises(EvaluationError, match=r"generated_000001_000000: logits of paddle are not finite"):
        run(task, samples, Totals.empty(("paddle",), None))


def test_predictions_are_saved_as_label_ids(samples, tmp_path):
    task = linear_task(save_predictions=tmp_path)
    run(task, samples[:1])
    classes = choose_classes(predict(task.networks["paddle"], load_image(decode(samples[0][1]), MMSEG), MMSEG)[0])[0]
    with Image.open(tmp_path / "paddle" / f"{samples[0][1].name}_pred_labelIds.png") as picture:
        saved = np.asarray(picture)
    ids = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33])
    np.testing.assert_array_equal(saved, ids[classes.numpy()])


def held_after_each(samples, measure):
    """`measure()` after each of forty pictures."""
    found = []
    run(linear_task(), [(i, samples[0][1]) for i in range(40)], after=lambda totals: found.append(measure()), workers=1)
    return found


def test_no_array_of_a_picture_is_kept(samples):
    """What is being decoded comes and goes; the least that is held shows what stays. A kept label would be 8 KiB."""
    tracemalloc.start()
    held = held_after_each(samples, lambda: tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert min(held[30:]) - min(held[:10]) < 20 * 8192


def test_no_tensor_of_a_picture_is_kept(samples):
    held = held_after_each(samples, lambda: sum(type(found) is torch.Tensor for found in gc.get_objects()))
    assert min(held[30:]) - min(held[:10]) < 20
