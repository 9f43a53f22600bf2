"""Figures in templates, in the words of transfers.words."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone

from transfers.words import duration_text, size_text

register = template.Library()


@register.filter
def size(value: int) -> str:
    return size_text(value)


@register.filter
def crc(value: int | None) -> str:
    """A CRC-32C as eight hex digits."""
    return "" if value is None else f"{value:08x}"


@register.filter
def took(start: datetime | None, end: datetime | None) -> str:
    """From start to end, or until now."""
    return duration_text(((end or timezone.now()) - start).total_seconds()) if start else ""


@register.filter
def percent(part: float, whole: float) -> int:
    """Rounded down: 100 means all of it."""
    return int(100 * part // whole) if whole else 0


@register.filter
def duration(seconds: float) -> str:
    return duration_text(seconds)


@register.filter
def milliseconds(value: int) -> str:
    return duration_text(value / 1000)
