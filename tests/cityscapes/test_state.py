"""The state of an interrupted evaluation: exact, its own, and never in the way."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cityscapes.agreement import Agreement, Flip
from cityscapes.pictures import Picture
from cityscapes.state import State, cache_folder
from cityscapes.totals import Totals
from converter.errors import InputError

SETTINGS = {"root": "/data", "weights": {"torch": "abc"}, "flip": False}


@pytest.fixture
def totals():
    found = Totals.empty(("torch", "paddle"), 1 / 3)
    found.images = 2
    found.confusion["torch"] += np.arange(361).reshape(19, 19)
    flip = Flip(image="a/b", row=1, column=2, torch="road", paddle="sky", margin=0.1)
    found.agreement = Agreement(1 / 3, differing=3, unexplained=1, worst=[flip])
    found.pictures = [Picture(index=1, name="a/b", differing=3, panels={"input": "data:image/png;base64,"})]
    return found


def test_it_comes_back_exactly(totals, tmp_path):
    State(SETTINGS, interval=0, folder=tmp_path / "new").update(totals)
    found = State(SETTINGS, folder=tmp_path / "new").load()
    assert found.to_json() == totals.to_json()
    assert found.agreement.noise == 1 / 3


@pytest.mark.parametrize("change", [{"root": "/other"}, {"weights": {"torch": "abd"}}, {"flip": True}, {"limit": 3}])
def test_another_evaluation_does_not_find_it(totals, tmp_path, change):
    State(SETTINGS, interval=0, folder=tmp_path).update(totals)
    assert State({**SETTINGS, **change}, folder=tmp_path).load() is None


def test_it_is_not_written_for_every_picture(totals, tmp_path):
    state = State(SETTINGS, interval=1e9, folder=tmp_path)
    state.update(totals)
    assert state.load() is None
    state.save()
    assert state.load().images == 2


def test_what_is_saved_is_the_last_whole_picture(totals, tmp_path):
    """Not the half-counted one during which the interruption came."""
    state = State(SETTINGS, interval=1e9, folder=tmp_path)
    state.update(totals)
    totals.confusion["torch"][0, 0] += 1
    state.save()
    assert state.load().confusion["torch"][0, 0] == 0


def test_it_is_removed(totals, tmp_path):
    state = State(SETTINGS, interval=0, folder=tmp_path)
    state.update(totals)
    state.remove()
    assert list(tmp_path.iterdir()) == []
    state.remove()


@pytest.mark.parametrize("content", ["", "{}", '{"images": 1', "[1]"])
def test_a_damaged_file_is_said_to_be_so(tmp_path, content):
    state = State(SETTINGS, folder=tmp_path)
    state.path.write_text(content)
    with pytest.raises(InputError, match="remove it to start anew"):
        state.load()


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(images=10**30),
        lambda record: record["confusion"]["torch"].pop(),
        lambda record: record["confusion"]["torch"][0].__setitem__(0, -1),
        lambda record: record["pictures"][0]["panels"].update(input="javascript:alert(1)"),
        lambda record: record["agreement"]["worst"][0].update(margin="0.1"),
        lambda record: record.update(more=1),
    ],
)
def test_another_shape_or_number_is_no_state(totals, tmp_path, change):
    state, record = State(SETTINGS, folder=tmp_path), totals.to_json()
    change(record)
    state.path.write_text(json.dumps(record))
    with pytest.raises(InputError, match="not a readable state"):
        state.load()


def test_a_folder_that_cannot_be_made_does_not_stop_the_evaluation(totals, tmp_path):
    (tmp_path / "file").touch()
    state = State(SETTINGS, interval=0, folder=tmp_path / "file" / "folder")
    state.update(totals)
    assert state.load() is None


def test_the_cache_is_the_user_s(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "ccnet-parity" / "evaluations"
