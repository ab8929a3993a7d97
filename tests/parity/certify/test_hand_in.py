"""The reproduction guide's files of what the gates compared: its own package passes a port's and refuses mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.certify.gate import Outcome
from parity.certify.hand_in import GATES_OF, write_hand_in
from parity.certify.paddle_side import PaddleSide
from parity.reports.reprod_log import FILES
from tests.parity.certify.cases import make_subject, outcome_of
from tests.parity.guides_package import judge, without_times

RIGHT = {part: f"tests.parity.certify.own_parts:{name}" for part, name in (("loss", "loss"), ("metric", "miou"))}
WRONG = {
    "loss": "parity.mutants.functions:function_auxiliary_in_full",
    "metric": "parity.mutants.functions:function_void_counted",
}


def run_gates(folder: Path, **options: Any) -> list[Outcome]:
    subject = make_subject(folder, size=(33, 49), **options)
    return [outcome_of(gate, subject) for gate in GATES_OF.values()]


def other_epsilon(side: PaddleSide) -> None:
    side.modules["head.reduce.norm"].module._epsilon = 1e-3


@pytest.mark.parametrize(
    ("options", "said"), [({"parts": RIGHT}, "passed"), ({"parts": WRONG, "edit": other_epsilon}, "failed")]
)
def test_the_package_agrees_with_the_gates(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    outcomes = run_gates(tmp_path, **options)
    assert [outcome.verdict for outcome in outcomes] == [said] * len(GATES_OF)
    folder = tmp_path / "log_reprod"
    folder.mkdir()
    assert write_hand_in(folder, outcomes) == []
    assert {path.name for path in folder.iterdir()} == {name for names in FILES.values() for name in names}
    for point, (*_, log) in FILES.items():
        theirs, ours = judge(folder, point), without_times(folder / log)
        assert theirs[-1] == ours[-1] == f"root INFO: diff check {said}", point
        assert [line.partition("value")[0] for line in theirs] == [line.partition("value")[0] for line in ours]


def test_a_part_that_was_not_given_leaves_its_files_out(tmp_path: Path) -> None:
    """Another's loss or metric would be the toolkit's word, not the port's."""
    subject = make_subject(tmp_path, size=(33, 49), port="tests.parity.official_port:build_inline")
    outcomes = [outcome_of(gate, subject) if gate != "forward" else OTHER for gate in GATES_OF.values()]
    folder = tmp_path / "log_reprod"
    folder.mkdir()
    missing = write_hand_in(folder, outcomes)
    assert {path.name for path in folder.iterdir()} == set(FILES["bp_align"])
    assert missing[1] == (
        "metric_paddle.npy, metric_torch.npy and metric_diff.log are not written: gate 'metric': "
        "the port's own metric was not given (--metric or --config)"
    )
    assert "train_align_benchmark.npy" in missing[-1]


OTHER = Outcome(
    name="forward", verdict="not asked for", measured=None, limit=None, reason="left out by --gates", seconds=0.0
)


def test_a_loss_that_raises_is_missing_on_the_ports_side(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("def loss(outputs, labels):\n    raise ValueError('no')\n")
    outcome = outcome_of("loss", make_subject(tmp_path, size=(33, 49), parts={"loss": f"{broken}:loss"}))
    assert outcome.hand_in is not None
    assert outcome.hand_in.port == {}
    assert len(outcome.hand_in.reference) > 0
    assert all(np.isfinite(value) for value in outcome.hand_in.reference.values())
