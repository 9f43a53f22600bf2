"""Scripts by which a shard may be followed by another where few nodes hold it, and not only where 64 do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from transfers.scheduler import scripts

USUAL, FEW = "PLENTY, PLENTY_SHARE = 64, 16", "PLENTY, PLENTY_SHARE = 1, 16"


@contextmanager
def one_copy_is_plenty() -> Iterator[None]:
    """What is loaded meanwhile is another version of the scripts."""
    text = scripts._text
    changed = [path.name for path in (scripts.FOLDER / "lib").glob("*.lua") if USUAL in text(path)]
    assert changed == ["followers.lua"], changed
    made = (scripts._shared, scripts._body, scripts.commands, scripts.version, scripts.library)
    try:
        with patch.object(scripts, "_text", lambda path: text(path).replace(USUAL, FEW)):
            for each in made:
                each.cache_clear()
            yield
    finally:
        for each in made:
            each.cache_clear()
