"""How far the scheduler's event stream has been folded into the record."""

from __future__ import annotations

from django.db import models


class StreamCursor(models.Model):
    """One row a cell, written in the transaction that writes what the events say: each event counts exactly once."""

    cell = models.CharField(max_length=63, primary_key=True)
    position = models.CharField(max_length=64, default="0-0")
    moved_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.cell} at {self.position}"
