"""`python -m tests.workspace FOLDER [DEPTH]`: a folder in which the command lines of READMEs and docs run as printed.

`make demo` makes it at full size. What lies there already stays.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cityscapes.generate import make_dataset
from twins.standin import make_state_dict, save_state_dict

ROOT = Path(__file__).parents[1]
DATA = {"generated": (4, 2), "cityscapes": (1, 1), "data/cityscapes": (1, 1)}
"""Pictures to train on, and to evaluate."""
SIZE = (128, 256)
GAMMA = "nn.Parameter(torch.zeros(1))", "nn.Parameter(torch.full([1], 0.7))"
"""At its initial value nothing in the attention can be seen; a network without a file is then to be refused."""
RIGHT, WRONG = "nn.BatchNorm2D(outputs))", "nn.BatchNorm2D(outputs, epsilon=1e-3))"
"""Of both 3×3 convolutions around the attention."""


def make_workspace(folder: Path, depth: int = 101) -> None:
    """Checkpoints of random numbers, a reference, a port and its training's parts, a port with a mistake, a photograph,
    and small data sets."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, family in (("official.pth", "official"), ("resnet101-imagenet.pth", "imagenet")):
        if not (folder / name).exists():
            save_state_dict(folder / name, make_state_dict(family, depth=depth))
    reference, port = (
        (ROOT / "tests" / "parity" / f"official_{side}.py").read_text().replace("DEPTHS[18]", f"DEPTHS[{depth}]")
        for side in ("reference", "port")
    )
    assert port.count(RIGHT) > 1
    (folder / "networks").mkdir(exist_ok=True)
    (folder / "networks" / "ccnet.py").write_text(reference.replace(*GAMMA))
    (folder / "my_ccnet.py").write_text(port)
    before, after = port.split("def _conv_norm", 1)
    (folder / "mistaken_ccnet.py").write_text(f"{before}def _conv_norm{after.replace(RIGHT, WRONG, 1)}")
    (folder / "my_parts.py").write_text((ROOT / "tests" / "parity" / "certify" / "own_parts.py").read_text())
    (folder / "configs").mkdir(exist_ok=True)
    for path in (ROOT / "configs").glob("*.yml"):
        (folder / "configs" / path.name).write_text(path.read_text().replace("depth: 101", f"depth: {depth}"))
    for name, (train, val) in DATA.items():
        if not (folder / name).exists():
            make_dataset(folder / name, counts={"train": train, "val": val}, size=SIZE, train_ids=True)
    if not (folder / "photo.png").exists():
        import skimage.data
        from PIL import Image

        Image.fromarray(skimage.data.coffee()).save(folder / "photo.png")


if __name__ == "__main__":
    make_workspace(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
