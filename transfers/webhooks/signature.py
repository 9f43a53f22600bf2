"""How a receiver knows that a message is ours, and new.

    Fdist-Timestamp: 1790000000
    Fdist-Signature: v1=<HMAC-SHA256 of "1790000000." and the body, with the webhook's secret, in hex>

docs/api.md has a receiver that checks both.
"""

from __future__ import annotations

import hashlib
import hmac

VERSION = "v1"


def sign(secret: str, timestamp: int, body: bytes) -> str:
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"{VERSION}={digest}"
