"""A Redis as an installation that is locked down has it: TLS alone, a user for agents, one for the coordinator."""

from __future__ import annotations

import hashlib
import io
import ipaddress
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.management import call_command

from fdist_site.local.fleet import LocalFleet
from fdist_site.local.processes import ProcessGroup
from fdist_site.local.redis_server import RedisServer, connect
from nodes.redis_acl import AGENT, COORDINATOR

PASSWORDS = {
    "default": "only-operators-know-this-one",
    AGENT: "what-every-agent-has-4c1f",
    COORDINATOR: "what-the-coordinator-has-77",
}
METRICS_TOKEN = "with-which-metrics-are-read"
needs_tls_server = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="no redis-server with TLS on PATH (Debian: redis-server)"
)


def write_certificates(folder: Path, host: str = "127.0.0.1") -> None:
    """An authority, ca.pem, and the certificate that it signs for a host: server.pem and server.key."""
    folder.mkdir(parents=True, exist_ok=True)
    begin, end = datetime.now(UTC) - timedelta(minutes=5), datetime.now(UTC) + timedelta(days=2)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
    authority = (
        x509.CertificateBuilder(authority_name, authority_name, authority_key.public_key(), 1, begin, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    certificate = (
        x509.CertificateBuilder(authority_name, name, key.public_key(), 2, begin, end)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
    (folder / "server.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "server.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


class SecuredRedis(RedisServer):
    """`url` is the operators'; `url_of(user)` another's. Its users are those that `manage.py redis_acl show` writes."""

    def __init__(self, group: ProcessGroup, data_dir: Path, *, persist: bool = False) -> None:
        super().__init__(group, data_dir, persist=persist)
        write_certificates(data_dir)
        files = {}
        for user, password in PASSWORDS.items():
            files[user] = data_dir / f"{user}.txt"
            files[user].write_text(password)
        shown = io.StringIO()
        call_command(
            "redis_acl",
            "show",
            agents_password_file=str(files[AGENT]),
            coordinator_password_file=str(files[COORDINATOR]),
            stdout=shown,
        )
        operators = hashlib.sha256(PASSWORDS["default"].encode()).hexdigest()
        (data_dir / "users.acl").write_text(f"user default on #{operators} ~* &* +@all\n{shown.getvalue()}")

    def program(self) -> Path:
        return Path(shutil.which("redis-server") or "redis-server")

    def options(self) -> dict[str, str]:
        return super().options() | {
            "port": "0",
            "tls-port": str(self.port),
            "tls-cert-file": str(self.data_dir / "server.pem"),
            "tls-key-file": str(self.data_dir / "server.key"),
            "tls-ca-cert-file": str(self.data_dir / "ca.pem"),
            "tls-auth-clients": "no",
            "aclfile": str(self.data_dir / "users.acl"),
        }

    def url_of(self, user: str, database: int = 0) -> str:
        trust = f"ssl_cert_reqs=required&ssl_ca_certs={self.data_dir / 'ca.pem'}&ssl_check_hostname=true"
        return f"rediss://{user}:{PASSWORDS[user]}@{self.host}:{self.port}/{database}?{trust}"

    @property
    def url(self) -> str:
        return self.url_of("default")

    @property
    def broker_url(self) -> str:
        return self.url_of("default", 1)


class SecuredFleet(LocalFleet):
    """A fleet on such a Redis: agents log in as agents, the coordinator as itself. Nodes serve each other by TLS."""

    def __init__(self, root: Path, **options: object) -> None:
        super().__init__(root, **options)  # type: ignore[arg-type]
        self.secured = SecuredRedis(self.group, self.root / "redis", persist=bool(options.get("persist")))
        self.redis_server = self.secured

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {
            "REDIS_URL": self.secured.url_of(AGENT),
            "FDIST_METRICS_TOKEN": METRICS_TOKEN,
            "FDIST_PEER_TLS": "required",
        }

    @property
    def coordinator_environment(self) -> dict[str, str]:
        return super().coordinator_environment | {"REDIS_URL": self.secured.url_of(COORDINATOR)}

    def refusals(self) -> list[str]:
        """What Redis has denied since it started: who, what, in which way."""
        found = connect(self.secured.url).acl_log(100)
        return [f"{each['username']}: {each['reason']} {each['object']} ({each['context']})" for each in found]
