"""One evaluation over several processes, started by `torchrun` or `python -m paddle.distributed.launch`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from cityscapes.totals import Totals

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Group:
    """This process's `rank` among `size`; `local_rank` counts those of this machine, and chooses the GPU."""

    launcher: Literal["torchrun", "paddle"] | None = None
    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process prints and writes the report."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[tuple[int, Item]]:
        """This process's part, each item with its place in the whole. The parts cover all, without overlap."""
        return list(enumerate(items))[self.rank :: self.size]

    def sum(self, totals: Totals) -> Totals:
        """The sum of all processes' totals, in each of them."""
        if self.size == 1:
            return totals
        gather = _gather_by_torch if self.launcher == "torchrun" else _gather_by_paddle
        parts = [Totals.from_json(json.loads(text)) for text in gather(json.dumps(totals.to_json()), self.size)]
        for part in parts[1:]:
            parts[0].merge(part)
        return parts[0]


def find_group(environment: Mapping[str, str] = os.environ) -> Group:
    """The group that the launcher's environment variables describe; one process without a launcher."""
    if int(environment.get("PADDLE_TRAINERS_NUM", 1)) > 1:
        return Group(
            launcher="paddle",
            rank=int(environment["PADDLE_TRAINER_ID"]),
            size=int(environment["PADDLE_TRAINERS_NUM"]),
            local_rank=int(environment.get("PADDLE_RANK_IN_NODE", environment["PADDLE_TRAINER_ID"])),
        )
    if int(environment.get("WORLD_SIZE", 1)) > 1:
        return Group(
            launcher="torchrun",
            rank=int(environment["RANK"]),
            size=int(environment["WORLD_SIZE"]),
            local_rank=int(environment["LOCAL_RANK"]),
        )
    return Group()


def _gather_by_torch(text: str, size: int) -> list[str]:
    import torch.distributed as distributed

    distributed.init_process_group("gloo")
    texts: list[str] = [""] * size
    distributed.all_gather_object(texts, text)
    distributed.destroy_process_group()
    return texts


def _gather_by_paddle(text: str, size: int) -> list[str]:
    from models_paddle import paddle

    paddle.distributed.init_parallel_env()
    texts: list[str] = []
    paddle.distributed.all_gather_object(texts, text)
    return texts
