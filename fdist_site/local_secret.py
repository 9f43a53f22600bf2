"""A secret key for an installation that was given none: made once, kept in a file that only its owner reads."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

KEY_BYTES = 48


def local_secret(path: Path) -> str:
    """The secret in `path`, made there on first use with mode 0600.

    Two processes that start at once agree: the file is written whole under another name and linked into place, and
    the second one to link reads what the first one made.
    """
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secrets.token_urlsafe(KEY_BYTES))
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first; its key is the key
    finally:
        draft.unlink()
    return path.read_text().strip()
