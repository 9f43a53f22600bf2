"""The state of a source, as one digest: two listings with the same one are the same version."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from transfers.errors import PlanError
from transfers.planning import Listing


def fingerprint(listing: Listing, marker: str = "") -> str:
    """SHA-256 of the objects' names and generations, in hex; with a marker, of that one object's generation alone.

    marker: a name below the source's folder. Raises PlanError("marker") when it is not there: nothing is whole yet.
    """
    if marker:
        name = f"{listing.uri.folder}/{marker}" if listing.uri.folder else marker
        found = [item for item in listing.objects if item.name == name]
        if not found:
            raise PlanError("marker", f"there is no {listing.uri}{marker}: an upload is whole when it is there")
        facts: list[Any] = [["marker", found[0].name, found[0].generation]]
    else:
        facts = sorted([item.bucket, item.name, item.generation] for item in listing.objects)
        if listing.manifest is not None:
            facts.append(repr(listing.manifest))
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()
