"""Figures as people read and write them: sizes, rates, durations."""

from __future__ import annotations

import re

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
SIZE = re.compile(r"(?i)(\d+(?:\.\d+)?)\s*(?:([kmgtp])(i?))?b?")
RATE = re.compile(r"(?i)(\d+(?:\.\d+)?)\s*([kmgt]?)(?:bit)?(?:/s|ps)?")
RATE_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
UNLIMITED = {"", "0", "none", "unlimited"}
POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def size_text(count: float) -> str:
    """Bytes in decimal units with one digit after the point: "91.2 GB"."""
    value = float(count)
    for unit in UNITS[:-1]:
        if abs(value) < 999.95:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {UNITS[-1]}"


def rate_text(bytes_a_second: float) -> str:
    return f"{size_text(bytes_a_second)}/s"


def bits_text(bits_a_second: float) -> str:
    """As networks have it: "400 Mbit/s", "2.5 Gbit/s"."""
    value, units = float(bits_a_second), ["", "k", "M", "G", "T"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.4g} {units[0]}bit/s"


def parse_rate(text: str) -> int | None:
    """Bits a second in "400mbit", "2.5 Gbit/s" or "1000000"; None means unlimited. Raises ValueError."""
    text = text.strip()
    if text.lower() in UNLIMITED:
        return None
    match = RATE.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is no rate: write bits a second, such as 400mbit, 2.5gbit or 1000000')
    return int(float(match[1]) * 1000 ** RATE_POWERS[match[2].lower()]) or None


def duration_text(seconds: float) -> str:
    """ "4.2 s", "3 min 05 s", "2 h 10 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def parse_size(text: str) -> int:
    """Bytes in "64MiB", "1.5 GB" or "4096"; raises ValueError."""
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'"{text}" is no size: write bytes, such as 64MiB, 1.5GB or 4096')
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** POWERS[(match[2] or "").lower()])


def few(names: list[str] | tuple[str, ...], shown: int = 3) -> str:
    """ "a, b, c and 14 more"."""
    head = ", ".join(names[:shown])
    return head if len(names) <= shown else f"{head} and {len(names) - shown:,} more"


def count(number: int, noun: str) -> str:
    """ "1 node", "3 nodes"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
