"""One option of a request at a time: its plain value as it is used, or a PlanError that names the option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transfers.errors import PlanError
from transfers.words import size_text

Given = Mapping[str, Any]


def text(given: Given, name: str) -> str:
    """Without white space around it; "" where nothing is given."""
    value = given.get(name, "")
    if not isinstance(value, str):
        raise PlanError(name, f"{name} is text, and {value!r} is not")
    if "\0" in value:
        raise PlanError(name, f"{name} has a NUL character in it")
    return value.strip()


def choice(given: Given, name: str, choices: Sequence[str]) -> str:
    """One of the choices, the first of which is taken where nothing is given."""
    value = text(given, name) or choices[0]
    if value not in choices:
        known = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise PlanError(name, f'"{value}" is no {name}: choose {known}')
    return value


def flag(given: Given, name: str, *, default: bool) -> bool:
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise PlanError(name, f"{name} is true or false, and {value!r} is not")
    return value


def part(given: Given, name: str, default: float = 1.0) -> float:
    """A part of the nodes."""
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise PlanError(name, f"{name} is the part of the nodes, above 0 and at most 1, and {value!r} is not")
    return float(value)


def whole(given: Given, name: str, default: int, least: int, most: int) -> int:
    value = whole_or_none(given, name, least, most)
    return default if value is None else value


def whole_or_none(given: Given, name: str, least: int, most: int, unit: str = "") -> int | None:
    """unit: " bytes" for a size, which is told as people read it."""
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise PlanError(name, f"{name} is a whole number{unit and f' of{unit}'}, and {value!r} is not")
    if not least <= value <= most:
        bounds = f"{size_text(least)} and {size_text(most)}" if unit else f"{least:,} and {most:,}"
        raise PlanError(name, f"{name} is {value:,}{unit} and must be between {bounds}")
    return value
