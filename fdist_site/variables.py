"""Typed values out of environment variables; what is wrong with one is said with its name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from transfers.errors import FdistError
from transfers.words import parse_rate

SIZE = re.compile(r"(?i)(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?")
UNLIMITED = {"", "0", "none", "unlimited"}
FLAGS = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}
_LOGIN = re.compile(r"//[^/@]*@")


class ConfError(FdistError):
    """A variable of the environment is missing or cannot be used; the message names it."""

    def __init__(self, variable: str, message: str) -> None:
        super().__init__(f"{variable}: {message}")
        self.variable = variable


class Reader:
    """Reads typed variables out of a mapping; its errors name the variable."""

    def __init__(self, environment: Mapping[str, str] | None) -> None:
        self.environment = os.environ if environment is None else environment

    def text(self, variable: str, default: str = "") -> str:
        return self.environment.get(variable, "").strip() or default

    def required(self, variable: str) -> str:
        value = self.text(variable)
        if not value:
            raise ConfError(variable, "is not set, and an agent cannot run without it")
        return value

    def integer(self, variable: str, default: int, minimum: int, maximum: int) -> int:
        text = self.text(variable, str(default))
        if not text.isascii() or not text.isdigit():
            raise ConfError(variable, f'"{text}" is no whole number')
        if not minimum <= int(text) <= maximum:
            raise ConfError(variable, f"{text} is not between {minimum} and {maximum}")
        return int(text)

    def seconds(self, variable: str, default: float, minimum: float, maximum: float) -> float:
        text = self.text(variable, str(default))
        try:
            value = float(text)
        except ValueError:
            raise ConfError(variable, f'"{text}" is no number of seconds') from None
        if not minimum <= value <= maximum:
            raise ConfError(variable, f"{text} s is not between {minimum} and {maximum}")
        return value

    def flag(self, variable: str) -> bool:
        text = self.text(variable, "false").lower()
        if text not in FLAGS:
            raise ConfError(variable, f'"{text}" is neither true nor false')
        return FLAGS[text]

    def choice(self, variable: str, choices: Sequence[str]) -> str:
        """One of some words, in small letters; the first of them unless set."""
        text = self.text(variable, choices[0]).lower()
        if text not in choices:
            raise ConfError(variable, f'"{text}" is none of {", ".join(choices)}')
        return text

    def address(self, variable: str, default: str, schemes: Sequence[str]) -> str:
        """An address that begins with one of these schemes."""
        text = self.text(variable, default)
        try:
            parts = urlsplit(text)
            known = parts.scheme in schemes and (parts.port or 1) > 0
        except ValueError:  # such as a port that is no number
            known = False
        if not known:
            raise ConfError(
                variable, f"{hidden(text)} is no address that begins with {', '.join(f'{s}://' for s in schemes)}"
            )
        return text

    def matching(self, variable: str, form: re.Pattern[str], what: str) -> str:
        """A text of a certain form, or none."""
        text = self.text(variable)
        if text and not form.fullmatch(text):
            raise ConfError(variable, f'"{text}" is no {what}')
        return text

    def names(self, variable: str) -> tuple[str, ...]:
        return tuple(filter(None, map(str.strip, self.text(variable).split(","))))

    def rate(self, variable: str) -> int | None:
        try:
            return parse_rate(self.text(variable))
        except ValueError as error:
            raise ConfError(variable, str(error)) from None

    def size(self, variable: str) -> int | None:
        try:
            return parse_size(self.text(variable))
        except ValueError as error:
            raise ConfError(variable, str(error)) from None


def parse_size(text: str) -> int | None:
    """Bytes in "800GB", "1.5 TiB" or "1000000"; None means no limit. Raises ValueError."""
    text = text.strip()
    if text.lower() in UNLIMITED:
        return None
    match = SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is no size: write bytes, such as 800GB, 1.5TiB or 1000000')
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** ("kmgt".index(match[2].lower()) + 1 if match[2] else 0)) or None


def hidden(address: str) -> str:
    """An address as it may be shown: without the login in it."""
    return f'"{_LOGIN.sub("//…@", address)}"'
