"""What commands share: the client, --json, and the types of arguments."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fdist_site.cli.config import load
from nodes.labels import NODE_NAME, parse_labels
from transfers.words import parse_rate, parse_size

if TYPE_CHECKING:
    from transfers.client import Fdist

Command = TypeVar("Command", bound=Callable[..., Any])
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?")
PATIENCE = 10.0  # seconds for which a person is kept waiting for a coordinator that does not answer
SECONDS = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}


class Settings:
    """Of one call. url: of the command line, "" unless given."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.json = False
        self._client: Fdist | None = None

    def client(self) -> Fdist:
        from transfers.client import Fdist

        if self._client is None:
            config = load(self.url)
            self._client = Fdist(config.url, config.token, patience=PATIENCE)
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


pass_settings = click.make_pass_decorator(Settings, ensure=True)


def _set_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Settings).json = True


def json_option(command: Command) -> Command:
    return click.option(
        "--json", is_flag=True, expose_value=False, callback=_set_json, is_eager=True, help="For programs."
    )(command)


class Size(click.ParamType[int]):
    name = "size"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), parameter, context)


class Rate(click.ParamType[int]):
    """Bits a second, as networks have them; gives bytes a second."""

    name = "rate"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if isinstance(value, int):
            return value
        try:
            return (parse_rate(value) or 0) // 8 or self.fail("a rate of nothing is none", parameter, context)
        except ValueError as error:
            self.fail(str(error), parameter, context)


class Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if isinstance(value, int | float):
            return float(value)
        match = DURATION.fullmatch(value.strip().lower())
        if match is None:
            self.fail(f'"{value}" is no duration: write 90, 90s, 10m or 2h', parameter, context)
        return float(match[1]) * SECONDS[match[2]]


class Selector(click.ParamType[dict[str, Any]]):
    """ "all", names, or labels; with commas between."""

    name = "nodes"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        if value.strip() == "all":
            return {"all": True}
        if "=" in value:
            try:
                return {"labels": parse_labels(value)}
            except ValueError as error:
                self.fail(str(error), parameter, context)
        names = [name.strip() for name in value.split(",") if name.strip()]
        wrong = [name for name in names if not NODE_NAME.fullmatch(name)]
        if wrong or not names:
            self.fail(f'"{value}" picks no nodes: write all, gpu-01,gpu-02 or zone=a,kind=h100', parameter, context)
        return {"names": names}
