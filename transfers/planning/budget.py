"""How much of the bucket a job may read: a number of bytes, or a multiple of its payload."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from transfers.errors import PlanError
from transfers.words import parse_size, size_text

FIELD = "bucket_budget"
RATIO = re.compile(r"(\d{1,6}(?:\.\d{1,6})?) ?x")
MOST_BYTES = 2**63 - 1
FORMS = 'bytes, such as 150000000000 or "150GB", or a multiple of the payload, such as "1.2x"'


@dataclass(frozen=True)
class Budget:
    """One of both: amount in bytes, or ratio to the payload."""

    amount: int | None = None
    ratio: float | None = None

    def of(self, size: int) -> int:
        """Bytes for a payload of `size`; raises PlanError for less than the payload: no job could complete."""
        found = self.amount if self.amount is not None else int(size * (self.ratio or 0))
        if found < size:
            raise PlanError(
                FIELD,
                f"{size_text(found)} ({found:,} bytes) is less than the payload, which has {size_text(size)} "
                f"({size:,} bytes) and leaves the bucket once at least",
            )
        return min(found, MOST_BYTES)


def parse_budget(value: Any) -> Budget | None:
    """Raises PlanError that names the field."""
    if value is None:
        return None
    if isinstance(value, str) and (match := RATIO.fullmatch(value.strip())):
        return Budget(ratio=float(match[1]))
    try:
        amount = parse_size(value) if isinstance(value, str) else value
    except (ValueError, OverflowError):
        amount = None
    if isinstance(amount, bool) or not isinstance(amount, int) or not 0 < amount <= MOST_BYTES:
        raise PlanError(FIELD, f"{value!r} is no budget: write {FORMS}")
    return Budget(amount=amount)
