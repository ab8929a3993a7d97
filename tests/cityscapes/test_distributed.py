"""Several processes: their shares, and the sum, through each framework's own launcher."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cityscapes.distributed import Group, find_group

PROCESS = """
import json, sys
from pathlib import Path
from cityscapes.distributed import find_group
from cityscapes.totals import Totals
group = find_group()
totals = Totals.empty(("torch",), None)
totals.images = 10 ** group.rank
totals.confusion["torch"][group.rank, 3] = 2**60 + group.rank
total = group.sum(totals)
Path(sys.argv[1], str(group.rank)).write_text(json.dumps([group.launcher, total.to_json()]))
"""


@given(count=st.integers(0, 40), size=st.integers(1, 7))
def test_shares_cover_everything_once(count, size):
    items = [f"picture {i}" for i in range(count)]
    shares = [Group(rank=rank, size=size).share(items) for rank in range(size)]
    assert sorted(pair for share in shares for pair in share) == sorted(enumerate(items))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_paddle_s_launcher_gives_every_process_the_sum(tmp_path):
    """`tests/cli/test_eval.py` has torchrun's."""
    script = tmp_path / "process.py"
    script.write_text(PROCESS)
    launcher = ("paddle.distributed.launch", "--nproc_per_node=2", f"--log_dir={tmp_path}/log")
    command = [sys.executable, "-m", *launcher, str(script), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    for rank in range(2):
        found, total = json.loads((tmp_path / str(rank)).read_text())
        assert found == "paddle"
        assert total["images"] == 11
        assert [row[3] for row in total["confusion"]["torch"][:3]] == [2**60, 2**60 + 1, 0]


def test_without_a_launcher_there_is_one_process():
    group = find_group({"WORLD_SIZE": "1", "PADDLE_TRAINERS_NUM": "1"})
    assert (group.launcher, group.rank, group.size, group.leads) == (None, 0, 1, True)
    assert find_group({}) == group


def test_launchers_are_known_by_their_variables():
    torchrun = {"WORLD_SIZE": "8", "RANK": "5", "LOCAL_RANK": "1"}
    assert find_group(torchrun) == Group(launcher="torchrun", rank=5, size=8, local_rank=1)
    paddle = {"PADDLE_TRAINERS_NUM": "4", "PADDLE_TRAINER_ID": "3", "PADDLE_RANK_IN_NODE": "1"}
    assert find_group(paddle) == Group(launcher="paddle", rank=3, size=4, local_rank=1)
    assert not find_group(paddle).leads
