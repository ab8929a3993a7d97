"""Foreign classes beside the weights: read past where they are metadata, refused anywhere else."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from converter import read_checkpoint
from converter.files.unpickle import ForbiddenError
from tests.converter.checkpoints import refusal
from tests.converter.pickles import WRITERS, build, call, dotted, mapping, named, storage, tensor, tuple_of, value

MARKER = "executed"
TOUCH = value(f"touch {MARKER}")
SYSTEM = named("os", "system")
ATTACK = call(SYSTEM, TOUCH)
WEIGHTS = mapping({"w": tensor()})
CONFIG = build(call(named("mmcv.utils.config", "ConfigDict")), mapping({"lr": value(0.01)}))


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["zip", "legacy"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], Path]:
    name, writer = WRITERS[request.param]
    return lambda content: writer(tmp_path / name, content)


READ: dict[str, tuple[dict[str, bytes], tuple[str, ...]]] = {
    "a configuration": ({"meta": mapping({"cfg": CONFIG})}, ("meta (mmcv.utils.config.ConfigDict)",)),
    "a call": ({"meta": ATTACK}, ("meta (os.system)",)),
    "a function": ({"meta": mapping({"f": SYSTEM})}, ("meta (os.system)",)),
    "a new object": ({"meta": named("a", "B") + tuple_of(TOUCH) + pickle.NEWOBJ}, ("meta (a.B)",)),
    "filled": ({"meta": call(named("a", "B")) + b"(K\x01K\x02e" + b"(K\x01K\x02u"}, ("meta (a.B)",)),
    "made of another": ({"meta": call(named("a", "b"), call(named("c", "d")))}, ("meta (a.b, c.d)",)),
    "a result called": ({"meta": call(call(named("builtins", "getattr"), value("x")))}, ("meta (builtins.getattr)",)),
    "a key": ({"meta": b"}" + CONFIG + b"Ns"}, ("meta (mmcv.utils.config.ConfigDict)",)),
    "several entries": (
        {"meta": CONFIG, "optimizer": call(named("a", "b"), storage())},
        ("meta (mmcv.utils.config.ConfigDict)", "optimizer (a.b)"),
    ),
    "plain metadata too": (
        {"meta": value({"epoch": 3}), "message_hub": CONFIG},
        ("message_hub (mmcv.utils.config.ConfigDict)",),
    ),
    "a name of two lines": ({"meta": dotted("os", "system\nok")}, (r"meta ('os.system\nok')",)),
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("weights_first", [True, False])
def test_metadata_is_skipped(write: Callable[[bytes], Path], name: str, weights_first: bool) -> None:
    entries, skipped = READ[name]
    items = {"state_dict": WEIGHTS, **entries} if weights_first else {**entries, "state_dict": WEIGHTS}
    checkpoint = read_checkpoint(write(mapping(items)))
    assert set(checkpoint.skipped) == set(skipped)
    assert checkpoint.wrappers == ("state_dict",)
    assert list(checkpoint.tensors) == ["w"]
    np.testing.assert_array_equal(checkpoint.tensors["w"], [[1, 2], [3, 4]])
    assert not Path(MARKER).exists()


MEMOIZED = pickle.BINPUT + b"\x07"
RECALLED = pickle.BINGET + b"\x07"
REFUSED: dict[str, bytes] = {
    "in the weights": mapping({"state_dict": mapping({"w": tensor(), "x": ATTACK})}),
    "deep in the weights": mapping({"state_dict": mapping({"w": tensor(), "x": b"](" + ATTACK + b"e"})}),
    "as a key of the weights": mapping({"state_dict": WEIGHTS + ATTACK + tensor() + b"s"}),
    "as the weights": mapping({"state_dict": ATTACK}),
    "around the weights": mapping({"state_dict": call(named("a", "b"), WEIGHTS)}),
    "as a tensor's storage": mapping({"state_dict": mapping({"w": tensor(ATTACK)})}),
    "as a tensor's hooks": mapping({"state_dict": mapping({"w": tensor(hooks=mapping({"hook": ATTACK}))})}),
    "as the weights' attributes": mapping(
        {"state_dict": build(call(named("collections", "OrderedDict")), mapping({"_metadata": ATTACK}))}
    ),
    "shared with the weights": mapping(
        {"meta": ATTACK + MEMOIZED, "state_dict": mapping({"w": tensor(), "x": RECALLED})}
    ),
    "in another entry": mapping({"state_dict": WEIGHTS, "model_ema": ATTACK}),
    "in a nested entry": mapping({"state_dict": WEIGHTS, "extra": mapping({"a": mapping({"b": ATTACK})})}),
    "evaluated": mapping({"state_dict": WEIGHTS, "extra": call(named("builtins", "eval"), TOUCH)}),
    "in metadata of weights elsewhere": mapping({"meta": ATTACK, "model": WEIGHTS}),
    "as an entry's name": mapping({"state_dict": WEIGHTS}) + ATTACK + b"Ns",
    "in metadata without weights": mapping({"meta": ATTACK, "w": tensor()}),
    "in metadata within the weights": mapping({"state_dict": mapping({"w": tensor(), "meta": ATTACK})}),
    "popped": ATTACK + b"0" + mapping({"state_dict": WEIGHTS}),
    "dropped by a later entry": mapping({"meta": ATTACK, "state_dict": WEIGHTS}) + value("meta") + b"Ns",
    "around everything": call(named("a", "b"), mapping({"state_dict": WEIGHTS})),
}


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused(write: Callable[[bytes], Path], name: str) -> None:
    path = write(REFUSED[name])
    assert "names code that a checkpoint does not need: " in refusal(path)
    with pytest.raises(ForbiddenError):
        read_checkpoint(path)
    assert not Path(MARKER).exists()


class History:
    """What a training framework keeps of its run."""

    def __init__(self) -> None:
        self.values = np.arange(3)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_training_frameworks_checkpoint(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "iter_80000.pth"
    content = {
        "meta": {"epoch": 3, "config": "model = …"},
        "message_hub": {"log": History()},
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}},
        "state_dict": {"module.w": torch.arange(4.0)},
    }
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(path)
    assert [text.partition(" ")[0] for text in checkpoint.skipped] == ["message_hub"]
    assert f"{__name__}.History" in checkpoint.skipped[0]
    assert checkpoint.wrappers == ("state_dict", "module.")
    np.testing.assert_array_equal(checkpoint.tensors["w"], np.arange(4.0, dtype=np.float32))


def test_truncated_metadata_is_refused(write: Callable[[bytes], Path]) -> None:
    refusal(write(mapping({"state_dict": WEIGHTS, "meta": ATTACK})[:-20]))


def test_a_paddle_file_has_no_metadata(tmp_path: Path) -> None:
    path = WRITERS["pdparams"][1](tmp_path / "x.pdparams", mapping({"state_dict": value({}), "meta": ATTACK}))
    assert "os.system" in refusal(path)
