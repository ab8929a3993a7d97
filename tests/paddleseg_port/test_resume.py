"""`--resume_model` goes on from what training saved with this config, or says why not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import paddle
import pytest

from tests.paddleseg_port.conftest import refuse, succeed

ADAM = ["optimizer={'type':'Adam'}"]
PLAIN = ["optimizer={'type':'SGD'}"]
WARM = ["lr_scheduler.warmup_iters=1", "lr_scheduler.warmup_start_lr=0.001"]


@pytest.fixture(scope="module")
def runs(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training with three optimisers, two updates each; the first also keeps its best model."""
    folder = tmp_path_factory.mktemp("runs")
    for name, opts in {"momentum": ["--do_eval"], "adam": ADAM, "plain": PLAIN}.items():
        save = ["--iters", 2, "--save_interval", 2, "--save_dir", folder / name]

        succeed("train", *settings, *opts, *save)
    return folder


@pytest.fixture
def saved(runs: Path, tmp_path: Path) -> Path:
    """A copy of what the first training saved, to be spoiled."""
    return Path(shutil.copytree(runs / "momentum" / "iter_2", tmp_path / "iter_2"))


def resume(settings: list[str], folder: Path, *opts: object) -> list[object]:
    return ["train", *settings, *opts, "--iters", 4, "--resume_model", folder, "--save_dir", folder.parent / "out"]


@pytest.mark.parametrize(("name", "opts"), [("momentum", []), ("adam", ADAM), ("plain", PLAIN)])
def test_a_saved_folder_goes_on(name: str, opts: list[str], settings: list[str], runs: Path) -> None:
    output = succeed(*resume(settings, runs / name / "iter_2", *opts), "--log_iters", 1).output
    assert "iter: 3/4" in output
    assert "iter: 1/4" not in output


def test_going_on_is_as_if_never_stopped(settings: list[str], runs: Path, tmp_path: Path) -> None:
    """The momentum is there: the next update of a resumed training is that of the folder's own weights and state."""
    resumed = succeed(*resume(settings, runs / "momentum" / "iter_2"), "--seed", 1, "--save_interval", 3)
    again = succeed(*resume(settings, runs / "momentum" / "iter_2"), "--seed", 1, "--save_interval", 3)
    losses = [re.findall(r"loss: ([0-9.]+)", result.output) for result in (resumed, again)]
    assert losses[0] == losses[1]
    state = paddle.load(str(runs / "momentum" / "out" / "iter_4" / "model.pdopt"))
    assert state["LR_Scheduler"]["last_epoch"] == 4


def test_best_model_has_no_optimiser(settings: list[str], runs: Path) -> None:
    line = refuse(*resume(settings, runs / "momentum" / "best_model"))
    assert "best_model: no model.pdopt in it" in line
    assert "--opts model.pretrained=" in line


@pytest.mark.parametrize("name", ["mine", "iter_", "iter_two", "run_7", "2"])
def test_a_renamed_folder(name: str, settings: list[str], saved: Path) -> None:
    renamed = saved.rename(saved.with_name(name))
    line = refuse(*resume(settings, renamed))
    assert "was saved after 2 updates" in line
    assert "rename it iter_2" in line


def test_a_link_and_a_slash_are_its_folder(settings: list[str], saved: Path) -> None:
    link = saved.with_name("latest")
    link.symlink_to(saved)
    succeed("train", *settings, "--iters", 3, "--resume_model", f"{link}/", "--save_dir", saved.parent / "out")


@pytest.mark.parametrize(
    ("name", "opts", "words"),
    [
        ("momentum", ADAM, "velocity"),
        ("adam", [], "beta1"),
        ("plain", [], "lacks"),
        ("momentum", PLAIN, "velocity"),
        (
            "momentum",
            WARM,
            "learning-rate schedule",
        ),
    ],
)
def test_another_optimiser(name: str, opts: list[str], words: str, settings: list[str], runs: Path) -> None:
    line = refuse(*resume(settings, runs / name / "iter_2", *opts))
    assert "model.pdopt: is of another" in line
    assert words in line
    assert "resume with the config that it was trained with" in line


def spoil_names(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.replace("head.", "decoder."): value for name, value in state.items()}


def spoil_classes(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return state | {"head.classifier.weight": np.ones([21, 512, 1, 1], np.float32)}


def spoil_numbers(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return state | {"head.classifier.bias": np.ones([19], np.int32)}


@pytest.mark.parametrize(
    ("spoil", "words"), [(spoil_names, "missing"), (spoil_classes, "(21, 512, 1, 1)"), (spoil_numbers, "holds int32")]
)
def test_weights_that_do_not_fit(spoil: object, words: str, settings: list[str], saved: Path) -> None:
    """PaddleSeg would train on from random values."""
    state = {name: value.numpy() for name, value in paddle.load(str(saved / "model.pdparams")).items()}
    paddle.save(spoil(state), str(saved / "model.pdparams"))
    line = refuse(*resume(settings, saved))
    assert "model.pdparams: does not fit CCNetPort" in line
    assert words in line


def test_a_state_of_another_kind(settings: list[str], saved: Path) -> None:
    shutil.copy(saved / "model.pdparams", saved / "model.pdopt")
    assert "has no LR_Scheduler" in refuse(*resume(settings, saved))
    (saved / "model.pdopt").write_bytes(b"\x80\x04")
    assert "model.pdopt: not a readable pickle" in refuse(*resume(settings, saved))


def test_a_state_with_other_shapes(settings: list[str], saved: Path) -> None:
    state = paddle.load(str(saved / "model.pdopt"))
    name = next(name for name in state if "velocity" in name)
    state[name] = paddle.zeros([3])
    paddle.save(state, str(saved / "model.pdopt"))
    assert f"{name} is (3,), the config's model needs" in refuse(*resume(settings, saved))


def test_nothing_left_to_train(settings: list[str], saved: Path) -> None:
    command = ["train", *settings, "--iters", 2, "--resume_model", saved, "--save_dir", saved.parent / "out"]
    assert "give more as --iters N" in refuse(*command)
