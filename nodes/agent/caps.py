"""What this node may use: rates and slots, as its settings say until an order of the coordinator says otherwise.

An order counts at once, also for what moves already, and is kept over restarts in `<data dir>/.fdist/caps.json`.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nodes.agent.config import AgentConfig
from nodes.agent.log import say
from transfers.dataplane.disk import disk_errors
from transfers.dataplane.names import STATE_DIR
from transfers.errors import DiskFull, StoreError

logger = logging.getLogger(__name__)

LIMITS = {  # name -> least and most; rates are bit/s, 0 lifts the cap
    "upload_rate": (0, 10**13),
    "download_rate": (0, 10**13),
    "gcs_rate": (0, 10**13),
    "upload_slots": (0, 64),
    "download_slots": (1, 64),
    "gcs_slots": (0, 64),
}


class Caps:
    """Thread-safe. `apply` is called with all values by their names after each change."""

    def __init__(self, config: AgentConfig, apply: Callable[[Mapping[str, int]], None]) -> None:
        self._node = config.name
        self._own = {name: getattr(config, name) or 0 for name in LIMITS}
        self._path = config.data_dir / STATE_DIR / "caps.json"
        self._apply = apply
        self._lock = threading.Lock()
        self._ordered = _load(self._path)

    def __getitem__(self, name: str) -> int:
        return self._ordered.get(name, self._own[name])

    def values(self) -> dict[str, int]:
        """What counts now."""
        return self._own | self._ordered

    def ordered(self) -> dict[str, int]:
        """What counts by order, and not by the node's settings."""
        return dict(self._ordered)

    def obey(self, order: Mapping[str, Any]) -> None:
        """An order {"op": "caps", name: value, ...}: all of it or, where a value cannot be, nothing.

        A name that is left out stays as it is; None gives it back to the node's own setting.
        """
        changes = {name: value for name, value in order.items() if name != "op"}
        wrong = [f"{name}={value!r}" for name, value in changes.items() if not _possible(name, value)]
        if wrong:
            say(logger, logging.ERROR, "caps not understood", node=self._node, wrong=", ".join(wrong))
            return
        with self._lock:
            merged = self._ordered | changes
            self._ordered = {name: value for name, value in merged.items() if value is not None}
            self._apply(self.values())
            try:
                self._save()
            except (StoreError, DiskFull) as error:  # they count until the next start
                say(logger, logging.ERROR, "caps not kept", node=self._node, error=error)
        say(logger, logging.INFO, "caps changed", node=self._node, **self.values())

    def _save(self) -> None:
        with disk_errors(self._path.parent, "keep the caps of this node"):
            draft = self._path.with_suffix(".new")
            draft.write_text(json.dumps(self._ordered, sort_keys=True))
            draft.replace(self._path)


def _possible(name: str, value: Any) -> bool:
    if value is None or name not in LIMITS:
        return name in LIMITS
    least, most = LIMITS[name]
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _load(path: Path) -> dict[str, int]:
    """What an earlier start was ordered; nothing where that cannot be read."""
    try:
        kept = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {name: value for name, value in kept.items() if value is not None and _possible(name, value)}
