"""A small generated data set, converted stand-in weights, and the options that every command takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ccnet_cli.seg import seg
from cityscapes.generate import make_dataset
from converter import convert_file
from models_paddle import paddle
from tests.converter.checkpoints import load_into_twin
from tests.converter.pickles import call, mapping, named, value, write_pickle
from tests.schemas import validate_output
from twins.standin import make_state_dict, save_state_dict

CONFIGS = Path(__file__).parents[2] / "configs"
SIZE = (64, 128)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures of 64 x 128 in each split, with labelIds and labelTrainIds."""
    root = tmp_path_factory.mktemp("generated") / "data"
    make_dataset(root, counts={"train": 2, "val": 2}, size=SIZE, train_ids=True)
    return root


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Official stand-in weights of the narrow network, converted with recurrence 2."""
    source = tmp_path_factory.mktemp("weights") / "official.pth"
    save_state_dict(source, make_state_dict("official", depth=18))
    target = source.with_suffix(".pdparams")
    convert_file(source, target, recurrence=2, load_check=load_into_twin)
    return target


@pytest.fixture(scope="session")
def settings(dataset: Path) -> list[str]:
    """The config of generated data, on `dataset`."""
    return ["--config", str(CONFIGS / "generated.yml"), *roots(dataset)]


@pytest.fixture
def hostile(tmp_path: Path) -> Callable[[Path], Path]:
    """Make a path a pickle that creates the file `ran` when it is unpickled; none may be there afterwards."""

    def write(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        payload = call(named("os", "system"), value(f"touch {tmp_path / 'ran'}"))
        return write_pickle(path, mapping({"conv.weight": payload}))

    return write


def roots(dataset: Path) -> list[str]:
    return ["--opts", *(f"{split}_dataset.dataset_root={dataset}" for split in ("train", "val"))]


def run(*arguments: object) -> Result:
    """`ccnet-seg` in this process, on the CPU, with parameter names as in a new one."""
    name, *options = map(str, arguments)
    device = ["--device", "cpu"] if name in ("train", "val", "predict") else []
    with paddle.utils.unique_name.guard():
        result = CliRunner().invoke(seg, [name, *device, *options])
    validate_output(["ccnet-seg", *options], result.stdout)
    return result


def succeed(*arguments: object) -> Result:
    """`run`, and it must not fail."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result


def refuse(*arguments: object) -> str:
    """`run`, which must end with code 2 and one line on standard error; that line."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]
