"""How long history is kept: rows that are too old, or too many, are deleted a few at a time. Jobs keep their sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models

from transfers.models import JobEvent, StandingEvent, Transfer

# What grows with every shard, and when each row is from. Both are written in the order of their ids.
HISTORY: tuple[tuple[type[models.Model], str], ...] = (
    (Transfer, "ended_at"),
    (JobEvent, "at"),
    (StandingEvent, "at"),
)


@dataclass(frozen=True)
class Keep:
    """age: how old a row may be; rows: how many of a table are kept. None keeps all."""

    age: timedelta | None
    rows: int | None


def excess(model: type[models.Model], rows: int) -> int:
    """The id up to which rows are more than `rows`; 0 when there are not that many.

    Cost: two looks at the index where the ids span no more than `rows`; else a walk along `rows` entries of the index.
    """
    ids = _rows(model).order_by("-id").values_list("id", flat=True)
    newest, oldest = ids.first(), ids.last()
    if newest is None or oldest is None or newest - oldest < rows:
        return 0
    found: int | None = ids[rows : rows + 1].first()
    return found or 0


def prune(model: type[models.Model], at: str, before: datetime | None, up_to: int, limit: int) -> int:
    """Deletes rows that are from earlier than `before` or whose id is at most `up_to`, the oldest first.

    At most `limit` rows, in one short transaction; gives how many.
    """
    rows = _rows(model).order_by("id").values_list("id", at)[:limit]
    gone = [pk for pk, when in rows if pk <= up_to or (before is not None and when < before)]
    return _rows(model).filter(pk__in=gone).delete()[0] if gone else 0


def tables() -> Iterator[tuple[type[models.Model], str, str]]:
    """Each model of the history, the field that says when, and its name in metrics."""
    for model, at in HISTORY:
        yield model, at, str(model._meta.verbose_name_plural)


def _rows(model: type[models.Model]) -> models.QuerySet[Any]:
    return model._default_manager.all()
