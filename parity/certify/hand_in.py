"""The reproduction guide's ten arrays and five logs, of what the gates compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from parity.certify.gate import Outcome
from parity.reports.reprod_log import FILES, FORWARD, write_pair

GATES_OF = {
    FORWARD: "forward",
    "metric": "metric",
    "loss": "loss",
    "bp_align": "backward",
    "train_align": "training",
}
"""The guide's point -> the gate whose arrays its files hold."""


def write_hand_in(folder: Path, outcomes: Sequence[Outcome]) -> list[str]:
    """Write the files of every point whose gate compared something; for each of the others, why there are none.

        write_hand_in(Path("log_reprod"), certify(options).outcomes)
        # ["metric_paddle.npy, metric_torch.npy and metric_diff.log are not written: the port's own metric was …"]

    Raises InputError if a file cannot be written.
    """
    known = {outcome.name: outcome for outcome in outcomes}
    missing = []
    for point, gate in GATES_OF.items():
        outcome = known[gate]
        if outcome.hand_in is not None:
            write_pair(folder, point, port=outcome.hand_in.port, reference=outcome.hand_in.reference)
        else:
            *first, last = FILES[point]
            missing.append(f"{', '.join(first)} and {last} are not written: gate {gate!r}: {outcome.reason}")
    return missing
