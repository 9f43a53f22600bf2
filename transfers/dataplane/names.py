"""Names that may become paths on a node: relative, without surprises, and free of clashes with one another."""

from __future__ import annotations

from collections.abc import Sequence

from transfers.errors import PlanError

STATE_DIR = ".fdist"  # inside a node's data directory; no payload may land there
_NAME_BYTES = 255  # one part of a path, on every file system that nodes use
_PATH_BYTES = 3000  # PATH_MAX is 4096, and the data directory comes before it


def check_name(name: object, field: str = "source") -> None:
    """Raises PlanError(field) unless `name` is a relative posix path that stays below where it is put."""
    if not isinstance(name, str) or not name:
        raise PlanError(field, f"{name!r} cannot be a file's name")
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        raise PlanError(field, f"{name!r} cannot be a file's name: it is not valid Unicode") from error
    if len(encoded) > _PATH_BYTES or b"\0" in encoded:
        raise PlanError(field, f"{name[:80]!r}... cannot be a file's name: it is too long, or has a NUL in it")
    parts = name.split("/")
    if any(part in ("", ".", "..") or len(part.encode()) > _NAME_BYTES for part in parts):
        raise PlanError(field, f"{name!r} cannot be a file's name: a part of the path is empty, '.', '..' or too long")
    if parts[0] == STATE_DIR:
        raise PlanError(field, f"{name!r} cannot be a file's name: {STATE_DIR!r} is where a node keeps its state")


def check_names(names: Sequence[str]) -> None:
    """Raises PlanError unless every name is good and all can be on one disk together."""
    seen: set[str] = set()
    for name in names:
        check_name(name)
        if name in seen:
            raise PlanError("source", f"two files are named {name!r}")
        seen.add(name)
    for name in names:
        folder = name.rpartition("/")[0]
        while folder:
            if folder in seen:
                raise PlanError("source", f"{folder!r} is both a file and the folder of {name!r}")
            folder = folder.rpartition("/")[0]


def check_destination(destination: object) -> None:
    """Raises PlanError("destination") unless it is a sub-path of the data directory; "" is the directory itself."""
    if destination != "":
        check_name(destination, "destination")
