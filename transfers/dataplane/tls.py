"""TLS between nodes: each has a certificate that it made for itself, and readers know it by its SHA-256, the pin.

The pin comes to a reader with the ticket, by the scheduler, to which the node gave it when it registered. So the
certificate is signed by nobody, names are not looked at, and no list of authorities is asked: whoever has another
certificate is not the node that was meant. Readers show none; what they may have is said by their tickets, which travel
inside of the connection.

An address with a pin is "host:port#pin"; one without is read in plain text.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import select
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from transfers.errors import Cancelled, PeerFailed

log = logging.getLogger(__name__)

PIN_MARK = "#"
PIN_LENGTH = 43  # 32 bytes as base64url
GOOD_FOR = timedelta(days=30)
RENEW_AFTER = timedelta(days=20)
SKEW = timedelta(days=1)  # by which the clocks of two nodes may differ
RECORD = 17 * 1024  # most bytes of a TLS record; OpenSSL may hold one that has come in part
_CHUNK = 256 * 1024  # read from the disk and encrypted at once
_LOOK_SECONDS = 0.1
_HANDSHAKE_BYTE = 0x16  # what every TLS connection begins with
_SOL_TLS, _TLS_TX = 282, 1  # linux/tls.h
_OP_ENABLE_KTLS = 1 << 3  # openssl/ssl.h; Python names it from 3.12 on


class SpokePlainText(OSError):
    """A peer asked without TLS."""


@dataclass(frozen=True)
class Identity:
    """A node's key and certificate as PEM, and the pin by which others know it."""

    pem: str = field(repr=False)
    pin: str
    begins: datetime

    def is_due(self, now: datetime | None = None) -> bool:
        """Whether it is to be replaced by a new one."""
        return (now or datetime.now(UTC)) - self.begins >= RENEW_AFTER


def make_identity(node: str, begins: datetime | None = None) -> Identity:
    """A new key and a certificate for it. Costs a millisecond."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    begins = begins or datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), begins - SKEW, begins + GOOD_FOR
    ).sign(key, hashes.SHA256())
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = (secret + made.public_bytes(serialization.Encoding.PEM)).decode()
    return Identity(pem, pin_of(made.public_bytes(serialization.Encoding.DER)), begins)


def pin_of(certificate: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(certificate).digest()).decode().rstrip("=")


def split_pin(address: str) -> tuple[str, str]:
    """ "host:port" and the pin, which is empty for an address that is read in plain text."""
    place, _, pin = address.partition(PIN_MARK)
    return place, pin


class TlsConnection(ssl.SSLSocket):
    """A connection between nodes that behaves as our plain ones do: reads and writes that give up in time.

    Its socket never blocks. `patience`: seconds for SO_RCVTIMEO and SO_SNDTIMEO, which OpenSSL would not heed.
    """

    def begin(self) -> None:
        self.patience = {socket.SO_RCVTIMEO: _LOOK_SECONDS, socket.SO_SNDTIMEO: 15.0}
        self._chunk: memoryview | None = None
        self._by_kernel = False
        self.is_void = False

    def shake_hands(self, patience: float, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Raises OSError (ssl.SSLError among them), or Cancelled."""
        give_up = time.monotonic() + patience
        while True:
            try:
                self.do_handshake()
                break
            except ssl.SSLWantReadError:
                event = select.POLLIN
            except ssl.SSLWantWriteError:
                event = select.POLLOUT
            if cancelled():
                raise Cancelled("a connection that was being opened was stopped")
            if not self._wait(event, _LOOK_SECONDS) and time.monotonic() > give_up:
                raise TimeoutError(f"no TLS within {patience:.0f} s")
        self._by_kernel = _encrypted_by_kernel(self)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """As much as is there and fits, waiting for the first of it. BlockingIOError when nothing came in time."""
        view = memoryview(buffer)
        filled = 0
        while filled < len(view):
            try:
                count = super().recv_into(view[filled:])
            except ssl.SSLWantReadError:
                if filled:
                    break
                if not self._wait(select.POLLIN, self.patience[socket.SO_RCVTIMEO]):
                    raise BlockingIOError from None
                continue
            except ssl.SSLEOFError as error:
                # A peer that ends in good order says so. The module cannot tell a reset, which voids what came, from
                # the end of a peer that was killed, so both count as the former.
                raise ConnectionResetError("the connection ended without a word") from error
            if not count:
                break
            filled += count
        return filled

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        data = bytearray(buflen)
        return bytes(data[: self.recv_into(data)])

    def sendall(self, data: Any, flags: int = 0) -> None:
        """flags are for plain sockets: how records become packets is OpenSSL's business."""
        view = memoryview(data)
        while view:
            try:
                view = view[super().send(view) :]
            except ssl.SSLWantWriteError:
                if not self._wait(select.POLLOUT, self.patience[socket.SO_SNDTIMEO]):
                    raise BlockingIOError("the reader takes nothing") from None

    def send_file(self, descriptor: int, offset: int, count: int) -> int:
        """Sends bytes of a file and gives how many; 0 at its end."""
        if self._by_kernel:
            return self._sendfile(descriptor, offset, count)
        chunk = self._chunk = self._chunk or memoryview(bytearray(_CHUNK))
        found = os.preadv(descriptor, [chunk[: min(count, _CHUNK)]], offset)
        self.sendall(chunk[:found])
        return found

    def _sendfile(self, descriptor: int, offset: int, count: int) -> int:
        while True:
            try:
                return os.sendfile(self.fileno(), descriptor, offset, count)
            except BlockingIOError:
                if not self._wait(select.POLLOUT, self.patience[socket.SO_SNDTIMEO]):
                    raise

    def close(self) -> None:
        """Ends it in good order, unless it is to be `reset`."""
        if not self.is_void and self.fileno() >= 0:
            with suppress(OSError, ValueError):  # it says so and does not wait for the peer to say the same
                self._sslobj.shutdown()  # type: ignore[attr-defined]
        super().close()

    def _wait(self, event: int, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self.fileno(), event)
        return bool(poll.poll(seconds * 1000))


def server_context(pem: str) -> ssl.SSLContext:
    """For whoever serves with this key and certificate."""
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # connections are kept, not taken up again; and a quiet one has nothing to read
    # The module takes files alone. This one is in memory: a key does not touch the disk.
    file = os.memfd_create("fdist-key", os.MFD_CLOEXEC)
    try:
        os.write(file, pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
    return context


def accept(connection: socket.socket, context: ssl.SSLContext, patience: float) -> TlsConnection | None:
    """The server's side; None when the peer has gone without a word. Raises SpokePlainText, or OSError."""
    connection.settimeout(patience)
    first = connection.recv(1, socket.MSG_PEEK)
    if not first:
        return None
    if first[0] != _HANDSHAKE_BYTE:
        raise SpokePlainText("this node is read by TLS alone, and the reader spoke plain text")
    secured = _wrap(connection, context, server=True)
    try:
        secured.shake_hands(patience)
    except BaseException:
        secured.close()
        raise
    return secured


def connect(
    connection: socket.socket, place: str, pin: str, patience: float, cancelled: Callable[[], bool]
) -> TlsConnection:
    """The reader's side: a connection to whoever has the certificate of this pin, and to nobody else.

    Raises PeerFailed("untrusted"), OSError or Cancelled.
    """
    secured = _wrap(connection, _reader_context(), server=False)
    try:
        secured.shake_hands(patience, cancelled)
        problem = _problem(secured.getpeercert(binary_form=True) or b"", pin)
    except ssl.SSLError as error:
        secured.close()
        raise PeerFailed(
            "untrusted", f"the node at {place} is to be read by TLS, and does not speak it ({error.reason or error})"
        ) from error
    except BaseException:
        secured.close()
        raise
    if problem:
        secured.close()
        raise PeerFailed("untrusted", f"the node at {place} {problem}")
    return secured


def _problem(certificate: bytes, pin: str) -> str:
    """What is wrong with a peer's certificate, as the end of a sentence; empty when nothing is."""
    from cryptography import x509

    if pin_of(certificate) != pin:
        return (
            f"has a certificate of SHA-256 {pin_of(certificate)}, and the one that was meant has {pin}: another took "
            "its address, or somebody stands between"
        )
    read = x509.load_der_x509_certificate(certificate)
    now = datetime.now(UTC)
    if not read.not_valid_before_utc - SKEW <= now <= read.not_valid_after_utc + SKEW:
        return (
            f"has a certificate that was good from {read.not_valid_before_utc:%Y-%m-%d} to "
            f"{read.not_valid_after_utc:%Y-%m-%d}, and it is {now:%Y-%m-%d} here: restart its agent, or set the clock"
        )
    return ""


def _wrap(connection: socket.socket, context: ssl.SSLContext, *, server: bool) -> TlsConnection:
    connection.setblocking(False)
    secured = context.wrap_socket(
        connection, server_side=server, do_handshake_on_connect=False, suppress_ragged_eofs=False
    )
    assert isinstance(secured, TlsConnection)  # noqa: S101  (narrows the type; _context sees to it)
    secured.begin()
    return secured


_readers: list[ssl.SSLContext] = []


def _reader_context() -> ssl.SSLContext:
    if not _readers:
        context = _context(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the pin is checked instead, in `connect`
        _readers.append(context)
    return _readers[0]


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.sslsocket_class = TlsConnection
    if ssl.OPENSSL_VERSION_INFO >= (3, 0):
        context.options |= _OP_ENABLE_KTLS  # where the kernel has it; elsewhere it changes nothing
    return context


def _encrypted_by_kernel(connection: socket.socket) -> bool:
    """Whether what is written to the socket itself is encrypted there, so that sendfile may be used."""
    try:
        return any(connection.getsockopt(_SOL_TLS, _TLS_TX, 4))
    except OSError:
        return False
