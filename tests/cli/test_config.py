"""`ccnet-parity --config`: what a PaddleSeg config builds, unmodified, against the twin with the same weights."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from tests.cli.run import assert_one_line_error, call
from twins.standin import make_state_dict

CONFIG = """
batch_size: 2
iters: 60000
train_dataset:
  type: Cityscapes
  dataset_root: data/cityscapes
  transforms:
    - type: RandomPaddingCrop
      crop_size: [769, 769]
    - type: Normalize
  mode: train
model:
  type: CCNet
  backbone:
    type: ResNet50_vd
    output_stride: 8
    pretrained: https://example.org/resnet50_vd_ssld.tar.gz
  backbone_indices: [2, 3]
  enable_auxiliary_loss: True
  dropout_prob: 0.1
  recurrence: {recurrence}
  num_classes: 19
optimizer:
  type: sgd
lr_scheduler:
  type: PolynomialDecay
  learning_rate: 0.01
  power: 0.9
loss:
  types:
    - type: OhemCrossEntropyLoss
    - type: CrossEntropyLoss
  coef: [1, 0.4]
"""
SIZE = ("--input-size", "41,33")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    (folder / "ccnet.yml").write_text(CONFIG.format(recurrence=2))
    (folder / "once.yml").write_text(CONFIG.format(recurrence=1))
    state = make_state_dict("paddleseg", depth=50)
    (folder / "weights.pdparams").write_bytes(pickle.dumps(state, protocol=4))
    state["head.cca.v_conv.weight"] = state["head.cca.v_conv.weight"] * 1.001
    (folder / "other.pdparams").write_bytes(pickle.dumps(state, protocol=4))
    return folder


def test_paddlesegs_own_ccnet_passes_without_a_mapping(folder: Path) -> None:
    weights = folder / "weights.pdparams"
    result = call("ccnet-parity", weights, "--config", folder / "ccnet.yml", "--port-weights", weights, *SIZE, "--json")
    assert result.returncode == 0, result.stdout[:2000] + result.stderr
    report = json.loads(result.stdout)
    assert report["passed"]
    assert not report["weights"]["copied"]
    notes = " ".join(report["notes"])
    assert "pretrained https://example.org/resnet50_vd_ssld.tar.gz was not loaded" in notes
    assert "resized to the images, align_corners false" in notes
    assert "the auxiliary outputs were compared in train mode" in notes
    assert {"head.attention", "auxiliary_head.classifier"} <= set(report["coverage"]["paired"])


def test_its_mistakes_and_other_weights_fail(folder: Path) -> None:
    weights = folder / "weights.pdparams"
    once = ("--config", folder / "once.yml", "--port-weights", folder / "other.pdparams")
    result = call("ccnet-parity", weights, *once, *SIZE, "--dtype", "float64")
    assert result.returncode == 1, result.stdout[:2000] + result.stderr
    assert "FAILED: head.cca.v_conv (reference: head.attention.value): its output" in result.stdout
    assert "also: head: what it hands" in result.stdout
    assert "is called once, the reference calls it twice" in result.stdout
    assert "1 weight differs from the source's after conversion: head.attention.value.weight" in result.stdout


def test_what_paddleseg_cannot_build_is_one_line(folder: Path) -> None:
    (folder / "bad.yml").write_text(CONFIG.format(recurrence=2).replace("type: CCNet\n", "type: NoSuchNet\n"))
    result = call("ccnet-parity", folder / "weights.pdparams", "--config", folder / "bad.yml", *SIZE)
    assert_one_line_error(result, 2, "bad.yml", "NoSuchNet")
