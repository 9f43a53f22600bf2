"""Standing distributions by the API: `Fdist.standing`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from transfers.client.http import Http
from transfers.client.standing_rows import Standing, StandingEvent, StandingNode, StandingVersion


class StandingCalls:
    """What one asks of standing distributions. Each is named by its name."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def create(
        self,
        name: str,
        source: str,
        *,
        nodes: Mapping[str, Any] | Sequence[str] | None = None,
        **options: Any,
    ) -> Standing:
        """Makes one; its first version starts when the source has settled.

        nodes: as of a job. options: destination, share, versions_kept, check_seconds, settle_seconds, marker, and of
        each version's job topology, shard_size, gcs_slots, upload_slots, download_slots, priority, policy,
        own_zone, bucket_budget. Raises InvalidRequest that names the field.
        """
        body = {"name": name, "source": source, **_changes(nodes, options)}
        return Standing.of(self._http.post("standing/", body))

    def all(self, **narrow: Any) -> Iterator[Standing]:
        """By name. narrow: name, source, paused, behind, rolled_back, trouble."""
        return map(Standing.of, self._http.rows("standing/", **narrow))

    def get(self, name: str) -> Standing:
        """Raises NotFound."""
        return Standing.of(self._http.get(_at(name)))

    def versions(self, name: str) -> Iterator[StandingVersion]:
        """The newest first."""
        return map(StandingVersion.of, self._http.rows(f"{_at(name)}versions/"))

    def nodes(self, name: str, **narrow: Any) -> Iterator[StandingNode]:
        """narrow: node, version, behind, leaving."""
        return map(StandingNode.of, self._http.rows(f"{_at(name)}nodes/", **narrow))

    def events(self, name: str, *, after: int = 0) -> Iterator[StandingEvent]:
        """What happened since the event `after`, oldest first."""
        return map(StandingEvent.of, self._http.rows(f"{_at(name)}events/", after=after))

    def change(self, name: str, *, nodes: Mapping[str, Any] | Sequence[str] | None = None, **options: Any) -> Standing:
        """Changes what is given; see `create`."""
        return Standing.of(self._http.patch(_at(name), _changes(nodes, options)))

    def pause(self, name: str) -> Standing:
        """No new version and no switch from now on. Raises Conflict."""
        return self._act(name, "pause")

    def resume(self, name: str) -> Standing:
        """Goes on after a pause, or after a rollback. Raises Conflict."""
        return self._act(name, "resume")

    def check(self, name: str) -> Standing:
        """Has the source looked at now. Raises Conflict for one that is paused."""
        return self._act(name, "check")

    def rollback(self, name: str, version: int | None = None) -> Standing:
        """Has nodes use an earlier version; the one before, unless given. Raises Conflict, InvalidRequest."""
        return self._act(name, "rollback", {} if version is None else {"version": version})

    def delete(self, name: str, *, purge: bool) -> None:
        """Ends it. purge: its versions and links are removed from all nodes; else they stay as they are."""
        self._http.delete(f"{_at(name)}?copies={'purge' if purge else 'keep'}")

    def _act(self, name: str, act: str, body: Mapping[str, Any] | None = None) -> Standing:
        return Standing.of(self._http.post(f"{_at(name)}{act}/", body))


def _at(name: str) -> str:
    return f"standing/{quote(name, safe='')}/"


def _changes(nodes: Mapping[str, Any] | Sequence[str] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    selector = nodes if nodes is None or isinstance(nodes, Mapping) else {"names": list(nodes)}
    given = {"nodes": selector, **options}
    return {name: value for name, value in given.items() if value is not None}
