"""Loads the Lua: shared parts and operations as one library of Redis functions, or as scripts where there are none.

A library is loaded once and its shared parts are set up once; a script builds them anew in each call, which costs some
30 us. A server that lost the library (a restart, another master) says so and gets it again.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import NoPermissionError, NoScriptError, ResponseError

FOLDER = Path(__file__).with_name("lua")
# Each part uses only those before it.
PARTS = (
    "cell",
    "lag",
    "tally",
    "events",
    "bits",
    "ticket",
    "underway",
    "nodes",
    "log",
    "jobs",
    "zones",
    "idle",
    "holdings",
    "rates",
    "parking",
    "followers",
    "leases",
    "choose",
    "match",
    "forward",
    "feed",
    "reports",
    "answer",
    "rescue",
    "burial",
    "chain",
    "ending",
)


# What agents call, and what is the coordinator's: lib/cell.lua turns those away who log in as agents.
AGENT_OPERATIONS = (
    "announce",
    "ask",
    "dispute",
    "finish",
    "heartbeat",
    "job_set",
    "leave",
    "next",
    "register",
    "unpark",
    "withdraw",
)

# Lua keeps a value in 16 bytes of a table by number and in 40 by name. So a part may declare the fields of a record, in
# lines `-- places: state epoch`, and the code writes `n._state`: the place, a number, is put into the text here.
_DECLARED = re.compile(r"^-- places: (.+)$", re.MULTILINE)
_PLACED = re.compile(r"(?<=[\w\])])\._([a-z]\w*)")

_REFUSED = re.compile(r"to run the '(?:fcall|function|script|evalsha)\b")


def names() -> list[str]:
    """Every operation."""
    return sorted(path.stem for path in FOLDER.glob("*.lua"))


@cache
def _text(path: Path) -> str:
    """A file as the server is to get it. Raises ValueError for a field that has no place."""
    places, text = _places(), path.read_text()
    if unknown := set(_PLACED.findall(text)) - places.keys():
        raise ValueError(f"{path.name}: no part declares a place for {', '.join(sorted(unknown))}")
    return _PLACED.sub(lambda field: f"[{places[field[1]]}]", text)


@cache
def _places() -> dict[str, int]:
    """The fields of all records, and where they stand in theirs.

    Raises ValueError if two have a field of one name: whose is meant cannot be seen where it is used.
    """
    places: dict[str, int] = {}
    for part in PARTS:
        fields = " ".join(_DECLARED.findall((FOLDER / "lib" / f"{part}.lua").read_text())).split()
        for place, field in enumerate(fields, 1):
            if field in places:
                raise ValueError(f"lib/{part}.lua: the field {field} has a place already")
            places[field] = place
    return places


def _part(name: str) -> str:
    """A shared part. If it has functions (or values) without `local`, others may use these, and the rest is its own."""
    body = _text(FOLDER / "lib" / f"{name}.lua")
    shared = re.findall(r"^(?:function )?([A-Za-z_]\w*)(?:\(| = )", body, re.MULTILINE)
    return f"local {', '.join(shared)}\ndo\n{body}\nend" if shared else body


@cache
def _shared() -> str:
    places = ", ".join(f"{field} = {place}" for field, place in _places().items())
    return "\n".join([f"local PLACES = {{ {places} }}", *map(_part, PARTS)])


@cache
def _body(name: str) -> str:
    return _text(FOLDER / f"{name}.lua")


def _operation(name: str) -> str:
    return (
        f"local function body()\n{_body(name)}\nend\n"
        "local function operation(keys, args) begin(keys, args) local reply = body() finish() return reply end"
    )


@cache
def commands(operations: tuple[str, ...]) -> frozenset[str]:
    """The commands of Redis that these operations, and the parts that they share, may give."""
    return frozenset(re.findall(r"\bcall\('([A-Z]+)'", "\n".join([_shared(), *map(_body, operations)])))


@cache
def version() -> str:
    """Names this very text: versions of fdist that differ do not replace each other's functions."""
    return hashlib.sha256("\0".join([_shared(), *map(_body, names())]).encode()).hexdigest()[:12]


@cache
def library() -> str:
    """All operations as one library for FUNCTION LOAD."""
    operations = [
        f"do\n{_operation(name)}\nredis.register_function('{function(name)}', operation)\nend" for name in names()
    ]
    return "\n".join([f"#!lua name=fdist_{version()}", "local keeps_memory = true", _shared(), *operations])


@cache
def script(name: str) -> str:
    """One operation as a script for EVAL."""
    head = "local keys, args, keeps_memory = KEYS, ARGV, false"
    return "\n".join([head, _shared(), _operation(name), "return operation(keys, args)"])


def function(name: str) -> str:
    return f"fdist_{name}_{version()}"


class Scripts:
    """Calls operations by name.

    functions: whether the server may be asked for functions; where it refuses them, scripts are used from then on.
    """

    def __init__(self, client: redis.Redis, prefix: str, *, functions: bool = True) -> None:
        self._client = client
        self._prefix = prefix
        self._functions = functions
        self._loaded: dict[str, str] = {}

    def __call__(self, name: str, *args: str | int | float) -> Any:
        if self._functions:
            try:
                return self._client.fcall(function(name), 1, self._prefix, *args)
            except ResponseError as error:
                if not _is_missing(error):
                    raise
            if self._load_library():
                return self._client.fcall(function(name), 1, self._prefix, *args)
        return self._evaluate(name, args)

    def _load_library(self) -> bool:
        """Whether the server has the library now; False where it offers no functions."""
        try:
            self._client.function_load(library(), replace=True)
        except ResponseError as error:
            if not _is_refused(error):
                raise
            self._functions = False
        return self._functions

    def _evaluate(self, name: str, args: tuple[str | int | float, ...]) -> Any:
        sha = self._loaded.get(name)
        if sha is None:
            try:
                sha = self._loaded[name] = str(self._client.script_load(script(name)))
            except NoPermissionError as error:
                self._functions = True  # they are to be had as soon as the coordinator has loaded them
                raise NoPermissionError(
                    f"the server does not hold the functions of this version ({version()}), and this login may not "
                    "load them: a coordinator of the same version does so when it starts"
                ) from error
        try:
            return self._client.evalsha(sha, 1, self._prefix, *args)
        except NoScriptError:
            self._client.script_load(script(name))
            return self._client.evalsha(sha, 1, self._prefix, *args)


def _is_missing(error: ResponseError) -> bool:
    return "function not found" in str(error).lower() or _is_refused(error)


def _is_refused(error: ResponseError) -> bool:
    """Whether it is the command itself that this server or this login does not have, and nothing within a script."""
    said = str(error).lower()
    return "unknown command" in said or (isinstance(error, NoPermissionError) and _REFUSED.search(said) is not None)
