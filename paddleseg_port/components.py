"""What a PaddleSeg config can name: `CCNetPort`, `CCNetNormalize`, `CCNetCrossEntropy`, `CCNetOhem`, `CityscapesIds`.

Importing this module registers them with PaddleSeg's `manager` and makes the repairs of `paddleseg_port.compat`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import models_paddle  # noqa: F401 - threads, zlib and signals are settled before Paddle is imported

# isort: split
from paddle import Tensor, nn
from paddleseg.cvlibs import manager
from paddleseg.datasets import Cityscapes
from paddleseg.transforms import Compose

from cityscapes.labels import LARGEST_ID, to_train_ids
from cityscapes.layout import list_samples
from families import get_family
from models_paddle.losses import CrossEntropy, OhemCrossEntropy
from paddleseg_port.compat import repair_paddleseg
from paddleseg_port.model import CCNetPort
from recipe.ohem import Mining
from recipe.preprocessing import preprocess


@manager.TRANSFORMS.add_component
class CCNetNormalize:
    """A family's preprocessing: channel order, mean and scale. Takes the place of `Normalize`.

    Args:
        family: `official` (BGR minus the mean) by default; in a config that `ccnet-seg` reads, the model's.
    """

    def __init__(self, family: str = "official") -> None:
        self.preprocessing = get_family(family).preprocessing

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """`data["img"]`: RGB pixels (H, W, 3), 0-255, as PaddleSeg decodes them -> float32 (H, W, 3)."""
        data["img"] = preprocess(data["img"], self.preprocessing).transpose(1, 2, 0).astype("float32")
        return data


@manager.LOSSES.add_component
class CCNetCrossEntropy(nn.Layer):
    """The official cross-entropy: the mean over kept pixels, without PaddleSeg's EPS (loss/criterion.py).

    Args:
        ignore_index: Label of pixels that do not count.
    """

    def __init__(self, ignore_index: int = 255) -> None:
        super().__init__()
        self.criterion = CrossEntropy(ignore_index=ignore_index)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (N, K, H, W), labels (N, H, W) int64 -> a scalar."""
        return self.criterion.mean_loss(logits, self.criterion.select(logits, labels))


@manager.LOSSES.add_component
class CCNetOhem(CCNetCrossEntropy):
    """The official cross-entropy over hard pixels (loss/loss.py, `OhemCrossEntropy2d`).

    Args:
        ignore_index: Label of pixels that do not count.
        thresh: Keep the pixels whose probability is at most this.
        min_kept: Keep at least so many.
        factor: Of the subsampled map on which the threshold is sought.
    """

    def __init__(self, ignore_index: int = 255, thresh: float = 0.7, min_kept: int = 100_000, factor: int = 8) -> None:
        super().__init__(ignore_index)
        mining = Mining(threshold=thresh, min_kept=min_kept, factor=factor)
        self.criterion = OhemCrossEntropy(mining, ignore_index=ignore_index)


@manager.DATASETS.add_component
class CityscapesIds(Cityscapes):
    """Cityscapes from its labelIds as downloaded, or from labelTrainIds where every picture has them.

    PaddleSeg's own `Cityscapes` reads labelTrainIds only, and pairs files by their place in two lists.

    Args:
        transforms: As in PaddleSeg.
        dataset_root: The folder with leftImg8bit and gtFine.
        mode: The split.

    Raises DatasetError, saying what to do, unless every picture has its label.
    """

    def __init__(self, transforms: list[Any], dataset_root: str, mode: str = "train") -> None:
        samples = list_samples(Path(dataset_root), mode)
        mapping = [] if samples[0].has_train_ids else [_map_label_ids]
        self.transforms = Compose([*mapping, *transforms])
        self.file_list = [[str(sample.image), str(sample.label)] for sample in samples]
        self.mode, self.edge = mode, False
        self.num_classes, self.ignore_index = self.NUM_CLASSES, self.IGNORE_INDEX
        self.label_count = LARGEST_ID + 1 if mapping else self.num_classes


def _map_label_ids(data: dict[str, Any]) -> dict[str, Any]:
    data["label"] = to_train_ids(data["label"])
    return data


manager.MODELS.add_component(CCNetPort)
REPAIRED = repair_paddleseg()
"""Names of the repairs that were made."""
