"""Where the coordinator is and with which token: from the command line, the environment, or a file.

The file is `fdist/config.toml` in XDG_CONFIG_HOME (by default ~/.config), or what FDIST_CONFIG names:

    url = "https://fdist.example.org"
    token = "..."
"""

from __future__ import annotations

import json
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from transfers.errors import FdistError

DEFAULT_URL = "http://127.0.0.1:8000"
PRIVATE = 0o600


class BadConfig(FdistError):
    """The file cannot be used as it is."""


@dataclass(frozen=True)
class Config:
    url: str
    token: str


def config_path(environment: Mapping[str, str] = os.environ) -> Path:
    named = environment.get("FDIST_CONFIG", "")
    if named:
        return Path(named)
    home = environment.get("XDG_CONFIG_HOME", "") or str(Path.home() / ".config")
    return Path(home) / "fdist" / "config.toml"


def load(url: str = "", environment: Mapping[str, str] = os.environ) -> Config:
    """url: of the command line, if it was given. The file's token goes to the file's address only.

    Raises BadConfig.
    """
    kept = _read(config_path(environment))
    address = (url or environment.get("FDIST_URL", "") or kept.get("url", "") or DEFAULT_URL).rstrip("/")
    token = environment.get("FDIST_TOKEN", "").strip()
    if not token and address == (kept.get("url", "") or DEFAULT_URL).rstrip("/"):
        token = kept.get("token", "")
    return Config(address, token)


def save(config: Config, environment: Mapping[str, str] = os.environ) -> Path:
    """Writes the file so that nobody else can read it, whole or not at all; gives where it is."""
    path = config_path(environment)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    try:
        with os.fdopen(descriptor, "w") as file:
            # A JSON string is a TOML basic string as well.
            file.write(f"url = {json.dumps(config.url)}\ntoken = {json.dumps(config.token)}\n")
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    return path


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}") from error
    try:
        kept = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{path} is no TOML: {error}") from error
    wrong = [key for key, value in kept.items() if key not in ("url", "token") or not isinstance(value, str)]
    if wrong:
        raise BadConfig(f'{path}: "{wrong[0]}" is not known, or no text; there may be url and token')
    if kept.get("token") and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise BadConfig(f"{path} holds a token and others can read it: chmod 600 {path}")
    return kept
