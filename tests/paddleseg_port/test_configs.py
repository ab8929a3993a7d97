"""The YAML files of `configs/`, through PaddleSeg's own parser."""

from __future__ import annotations

from pathlib import Path

import paddle
import pytest
from paddleseg.cvlibs import Config, SegBuilder

from paddleseg_port import components
from recipe.recipe import recipe_of
from tests.paddleseg_port.conftest import CONFIGS

OURS = sorted(path.stem for path in CONFIGS.glob("*.yml") if not path.stem.startswith("paddleseg_"))
"""Those of the port; the other is of PaddleSeg's own network."""


def build(name: str, dataset: Path, *opts: str) -> SegBuilder:
    data = [f"{split}_dataset.dataset_root={dataset}" for split in ("train", "val")]
    return SegBuilder(Config(str(CONFIGS / f"{name}.yml"), opts=[*data, *opts]))


@pytest.mark.parametrize("name", OURS)
def test_every_config_builds(name: str, dataset: Path) -> None:
    """With the narrow network in the place of the full one, which takes the same arguments."""
    builder = build(name, dataset, "model.depth=18", "model.pretrained=None")
    assert isinstance(builder.model, components.CCNetPort)
    assert builder.model.head.recurrence == 2
    assert [type(loss) for loss in builder.loss["types"]] == [components.CCNetOhem, components.CCNetCrossEntropy]
    assert builder.loss["coef"] == [1, 0.4]
    assert builder.val_dataset[0]["label"].shape == (1, 64, 128)
    assert isinstance(builder.optimizer, paddle.optimizer.Momentum)


def test_the_official_config_is_the_official_recipe(dataset: Path) -> None:
    config = Config(str(CONFIGS / "official_769x769_60k.yml"))
    recipe = recipe_of("official")
    assert config.iters == recipe.steps
    assert config.batch_size == 8
    assert config.optimizer_cfg == {"type": "SGD", "momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
    assert config.model_cfg["depth"] == 101
    schedule = build("official_769x769_60k", dataset, "model.pretrained=None").lr_scheduler
    for step in (0, 1, 30_000, 59_999, 60_000):
        schedule.step(step)
        assert schedule.get_lr() == pytest.approx(recipe.rate(step), rel=1e-12, abs=1e-15)
    mining = build("official_769x769_60k", dataset).loss["types"][0].criterion.mining
    assert (mining.threshold, mining.min_kept, mining.factor) == (0.7, 100_000, 8)


def test_training_pictures_are_the_crop_and_padded_with_zeros(dataset: Path) -> None:
    sample = build("official_769x769_60k", dataset).train_dataset[0]
    assert sample["img"].shape == (3, 769, 769)
    padded = sample["label"] == 255
    assert padded[-1, -1]
    assert (sample["img"][:, -1, -1] == 0).all()
