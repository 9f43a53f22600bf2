"""Signed plans: the coordinator signs what a job is, and every node checks it before it believes what Redis says.

Orders that remove files are signed as well.

Ed25519, so that a node can check and nobody but the coordinator can sign. A node gets the public key with its
enrolment key, which a person hands to it and which never passes through Redis.

    fdist-signed-1 <signature, base64url>\\n<the plan as JSON>
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable

from transfers.errors import Tampered

_HEADER = "fdist-signed-1 "
_PURPOSE = b"fdist: plan of a job\n"  # a signature is good for this and for nothing else
_ORDER = b"fdist: order to remove files\n"
_PUBLIC_BYTES = 32
KEY_SEPARATOR = "."  # in an enrolment key: the secret, then the coordinator's public key


class Signer:
    """Signs with the key that follows from a secret of any form; the same secret gives the same key everywhere."""

    def __init__(self, secret: str) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        seed = hashlib.sha256(b"fdist: signing key\n" + secret.encode()).digest()
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> str:
        """What nodes need to check signatures, as text of 43 characters."""
        return _encode(self._key.public_key().public_bytes_raw())

    def sign(self, plan: str) -> str:
        signature = self._key.sign(_PURPOSE + plan.encode())
        return f"{_HEADER}{_encode(signature)}\n{plan}"

    def sign_purge(self, job: str, node: str) -> str:
        """What an order that removes a job's files from a node has to bring along."""
        return _encode(self._key.sign(_ORDER + _purge(job, node)))


def is_signed_purge(signature: object, job: str, node: str, public_keys: Iterable[str]) -> bool:
    """Whether the coordinator wants this job's files off this node; without any key everybody is believed."""
    keys, raw = list(public_keys), _decode(signature) if isinstance(signature, str) else None
    return not keys or (raw is not None and any(_agrees(key, raw, _purge(job, node), _ORDER) for key in keys))


def open_signed(text: str, public_keys: Iterable[str], what: str) -> str:
    """The plan in a signed text, if one of these keys signed it; without any key it is taken as it is.

    what: "the plan of job 5f..", for the message. Raises Tampered.
    """
    head, _, plan = text.partition("\n")
    signed = head.startswith(_HEADER)
    if not signed:
        plan = text
    keys = list(public_keys)
    if not keys:
        return plan
    if not signed:
        raise Tampered(f"{what} is not signed: it did not come from the coordinator that enrolled this node")
    signature = _decode(head.removeprefix(_HEADER))
    if signature is None or not any(_agrees(key, signature, plan.encode(), _PURPOSE) for key in keys):
        raise Tampered(
            f"{what} does not carry the signature of the coordinator that enrolled this node: it was changed in Redis, "
            "or another coordinator wrote it"
        )
    return plan


def public_key_of(enrolment_key: str) -> str:
    """The coordinator's public key in an enrolment key; empty when it has none."""
    secret, _, public_key = enrolment_key.rpartition(KEY_SEPARATOR)
    return public_key if secret and is_public_key(public_key) else ""


def is_public_key(text: str) -> bool:
    raw = _decode(text)
    return raw is not None and len(raw) == _PUBLIC_BYTES


def _purge(job: str, node: str) -> bytes:
    return f"{job}\n{node}".encode()


def _agrees(public_key: str, signature: bytes, text: bytes, purpose: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(_decode(public_key) or b"")
    try:
        key.verify(signature, purpose + text)
    except InvalidSignature:
        return False
    return True


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes | None:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
