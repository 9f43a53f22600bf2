"""How a job stands in an address: its id, with dashes or without. `<job:pk>`, of pages and API alike."""

from __future__ import annotations

from uuid import UUID


class JobIdConverter:
    regex = "[0-9a-f-]{32,36}"

    def to_python(self, value: str) -> UUID:
        return UUID(value)  # what raises ValueError is no such address

    def to_url(self, value: UUID | str) -> str:
        return str(value)
