"""Identity tokens as Compute Engine's metadata server gives them, signed by an authority of the tests."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.auth import crypt, jwt

ACCOUNT = "fdist-workers@example-project.iam.gserviceaccount.com"
MACHINE = {
    "project_id": "example-project",
    "project_number": 1234567890,
    "zone": "europe-west4-a",
    "instance_id": "4242424242424242",
    "instance_name": "n1",
    "instance_creation_timestamp": 1700000000,
}


class Authority:
    """Signs as Google does: RS256, the key named in the token's head. `certificate` is what others check it with."""

    def __init__(self, key_id: str = "key-1") -> None:
        self.key_id = key_id
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._signer = crypt.RSASigner.from_string(pem, key_id)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federated-signon.system.gserviceaccount.com")])
        begin, end = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=20)
        made = x509.CertificateBuilder(name, name, key.public_key(), 7, begin, end).sign(key, hashes.SHA256())
        self.certificate = made.public_bytes(serialization.Encoding.PEM).decode()

    def token(self, audience: str, *, machine: dict[str, Any] | None = None, age: float = 0.0, **claims: Any) -> str:
        """machine: what differs from MACHINE. age: seconds since it was given; they are good for an hour."""
        issued = int(time.time() - age)
        body: dict[str, Any] = {
            "iss": "https://accounts.google.com",
            "aud": audience,
            "azp": "1234",
            "sub": "1234",
            "email": ACCOUNT,
            "email_verified": True,
            "iat": issued,
            "exp": issued + 3600,
            "google": {"compute_engine": {**MACHINE, **(machine or {})}},
            **claims,
        }
        return jwt.encode(self._signer, body).decode()
