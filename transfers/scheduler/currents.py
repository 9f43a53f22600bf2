"""Which version of a payload nodes are to use: the word behind each link `current`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from transfers.scheduler.base import Base, text, texts

KEY, REVISION = "currents", "currents_rev"  # an agent reads both, and changes neither


@dataclass(frozen=True)
class Wanted:
    """jobs: by the folder in which the link lies, below each data directory. revision: as heartbeats bring it."""

    revision: str
    jobs: Mapping[str, str]


class CurrentCalls(Base):
    def set_current(self, folder: str, job: str) -> bool:
        """Has nodes name this job's files by the link in `folder`; "" for none any more. Says whether that is new."""
        return bool(int(self._run("current", folder, job)))

    def currents(self) -> Wanted:
        with self._client.pipeline(transaction=True) as pipe:
            pipe.get(self._keys(REVISION))
            pipe.hgetall(self._keys(KEY))
            revision, jobs = pipe.execute()
        return Wanted("" if revision is None else text(revision), texts(jobs))
