"""What the pictures of one moment share: read from the scheduler once, when the first of them asks."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING

from transfers.scheduler.types import LeaseView, NodeView

if TYPE_CHECKING:
    from transfers.scheduler import Scheduler


class Readings:
    """The fleet and the transfers under way, at one moment. Raises the Redis error where Redis cannot be reached."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    @cached_property
    def nodes(self) -> dict[str, NodeView]:
        return {view.name: view for view in self.scheduler.nodes()}

    @cached_property
    def leases(self) -> dict[str, list[LeaseView]]:
        """Of each job that has any, what moves: not what only begins when another is over."""
        found: dict[str, list[LeaseView]] = defaultdict(list)
        for lease in self.scheduler.leases():
            if not lease.follows:
                found[lease.job].append(lease)
        return dict(found)
