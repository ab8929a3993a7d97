"""A short fine-tune from a converted checkpoint, in PaddleSeg and in torch, on the same batches.

Run as `python -m benchmarks.finetune [PICTURE.svg]`. The narrow network starts from stand-in official weights, in
torch from the .pth and in PaddleSeg from what `ccnet-convert` makes of it, and learns generated street scenes with the
official criterion, optimiser and schedule. Dropout draws its own masks in each framework and seed: the spread
over seeds is the noise that the difference of the frameworks is held to.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle
import torch
import yaml
from paddleseg.cvlibs import SegBuilder
from rich.console import Console
from rich.table import Table
from visualdl import LogReader

import models_torch
from benchmarks.curves import draw_curves
from cityscapes.confusion import Score, count_confusion
from cityscapes.generate import make_dataset
from converter import convert_tensors, read_checkpoint
from models_torch.losses import OhemCrossEntropy, resize_logits
from models_torch.trainer import Trainer
from paddleseg_port.build import make_builder
from paddleseg_port.files import guarded_files
from paddleseg_port.run import Views, train, validate
from recipe.ohem import Mining
from recipe.recipe import Recipe
from twins.standin import make_state_dict, save_state_dict

CONFIG = Path(__file__).parents[1] / "configs" / "generated.yml"
SIZE = (64, 128)
COUNTS = {"train": 16, "val": 8}
MIN_KEPT = 1000
SEEDS = range(8)
"""Three can differ by chance as much as the frameworks must not."""

Curve = dict[int, float]
"""mIoU in percent, by how many updates came before."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What both frameworks are given."""

    folder: Path
    steps: int
    every: int
    """Updates from one evaluation to the next."""
    dropout: float = 0.1

    @property
    def checkpoint(self) -> Path:
        return self.folder / "official.pth"

    @property
    def converted(self) -> Path:
        return self.folder / "official.pdparams"

    @property
    def config(self) -> Path:
        return self.folder / "finetune.yml"

    def write(self) -> None:
        """The data set, the weights of both, and PaddleSeg's config: without augmentation, from the weights."""
        make_dataset(self.folder / "data", counts=COUNTS, size=SIZE)
        save_state_dict(self.checkpoint, make_state_dict("official", depth=18))
        command = [str(Path(sys.executable).with_name("ccnet-convert")), str(self.checkpoint), str(self.converted)]
        subprocess.run([*command, "--recurrence", "2"], check=True, capture_output=True)
        data = {"dataset_root": str(self.folder / "data"), "transforms": [{"type": "CCNetNormalize"}]}
        config = {
            "_base_": str(CONFIG),
            "iters": self.steps,
            "train_dataset": data,
            "val_dataset": data,
            "model": {"pretrained": str(self.converted), "dropout_prob": self.dropout},
        }
        self.config.write_text(yaml.safe_dump(config))


def finetune_in_paddleseg(case: Case, seed: int) -> tuple[Curve, list[float]]:
    """mIoU from PaddleSeg's own VisualDL log, and the loss of each update."""
    save_dir = Path(tempfile.mkdtemp(dir=case.folder))
    options = {"device": "cpu", "opts": ()}
    views = Views()
    with guarded_files(downloads=False):
        start = validate(case.config, None, views, record=True, print_detail=False, **options)
        train(
            case.config,
            seed=seed,
            do_eval=True,
            changes={},
            save_dir=save_dir,
            save_interval=case.every,
            log_iters=1,
            keep_checkpoint_max=1,
            use_vdl=True,
            **options,
        )
    (log,) = save_dir.glob("vdlrecords*")
    reader = LogReader(file_path=str(log))
    found = {record.id: 100 * record.value for record in reader.get_data("scalar", "Evaluate/mIoU")}
    losses = [record.value for record in reader.get_data("scalar", "Train/loss")]
    return {0: 100 * start.miou, **found}, losses


def finetune_in_torch(case: Case, seed: int) -> tuple[Curve, list[float]]:
    """The same from a plain loop: the batches in the order in which PaddleSeg draws them."""
    torch.manual_seed(seed)
    with guarded_files(downloads=False):
        builder = make_builder(case.config)
    model = models_torch.build_ccnet("official", num_classes=19, recurrence=2, depth=18)
    models_torch.load_weights(model, convert_tensors(read_checkpoint(case.checkpoint).tensors))
    for head in (model.head, model.auxiliary_head):
        head.dropout.p = case.dropout
    trainer = Trainer(model, OhemCrossEntropy(Mining(min_kept=MIN_KEPT)), Recipe(steps=case.steps))
    curve, losses = {0: evaluate_torch(model, builder.val_dataset)}, []
    for step, (images, labels) in enumerate(draw_batches(builder, case.steps), start=1):
        model.train()
        losses.append(trainer.step(images, labels))
        if step % case.every == 0:
            curve[step] = evaluate_torch(model, builder.val_dataset)
    return curve, losses


def draw_batches(builder: SegBuilder, steps: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Images (N, 3, H, W) and labels (N, H, W), shuffled anew in each epoch as PaddleSeg shuffles them."""
    dataset = builder.train_dataset
    sampler = paddle.io.DistributedBatchSampler(dataset, builder.config.batch_size, shuffle=True, drop_last=True)
    batches = (indices for _ in itertools.count() for indices in sampler)
    for indices in itertools.islice(batches, steps):
        samples = [dataset[index] for index in indices]
        images, labels = (np.stack([sample[key] for sample in samples]) for key in ("img", "label"))
        yield torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))


def evaluate_torch(model: torch.nn.Module, dataset: paddle.io.Dataset) -> float:
    """mIoU in percent."""
    model.eval()
    confusion = np.zeros((dataset.num_classes, dataset.num_classes), np.int64)
    for index in range(len(dataset)):
        sample = dataset[index]
        images, label = torch.from_numpy(sample["img"][None]), sample["label"][0]
        with torch.no_grad():
            logits = resize_logits(model(images)[0], label.shape, align_corners=True)
        confusion += count_confusion(logits[0].argmax(0).numpy(), label)
    return 100 * Score(confusion).miou


FRAMEWORKS = {"PaddleSeg": finetune_in_paddleseg, "torch": finetune_in_torch}


def summarise(curves: dict[str, list[Curve]]) -> Table:
    """First and last mIoU of each framework over its seeds, and the deviation of the last."""
    table = Table("", "start", "end, by seed", "mean", "deviation")
    for name, found in curves.items():
        ends = [curve[max(curve)] for curve in found]
        row = f"{found[0][0]:.2f}", ", ".join(f"{end:.2f}" for end in ends)
        table.add_row(name, *row, f"{np.mean(ends):.2f}", f"{np.std(ends, ddof=1):.2f}")
    return table


def main(pictures: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        case = Case(folder=Path(folder), steps=120, every=20)
        case.write()
        with redirect_stdout(sys.stderr):
            curves = {name: [finetune(case, seed)[0] for seed in SEEDS] for name, finetune in FRAMEWORKS.items()}
    Console().print(summarise(curves))
    for picture in pictures:
        Path(picture).write_text(draw_curves(curves, x="updates", y="mIoU on the generated val split, %"))


if __name__ == "__main__":
    main(sys.argv[1:])
