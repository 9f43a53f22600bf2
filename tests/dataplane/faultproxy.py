"""A proxy before the bucket that breaks answers as told: the next requests for data get the next faults, then peace."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Fault:
    """What happens to one answer.

    status: send this instead. after: bytes of the body that pass before `then` happens: "reset", "close", "stall" or
    "drip" (a byte every 50 ms). header: (name, value) put in place of the answer's own. silent: never answer.
    flip: which byte of the body has a bit turned over.
    """

    status: int = 0
    after: int = -1
    then: str = ""
    header: tuple[str, str] | None = None
    silent: bool = False
    retry_after: int = 0
    flip: int = -1


class FaultProxy:
    """Forwards HTTP/1.1 to `target`, a request a connection on its far side; keeps the near side alive."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.faults: deque[Fault] = deque()
        self.always: Fault | None = None
        self.requests: list[str] = []  # the Range headers that came
        self.connections = 0
        self._target = target
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ending = threading.Event()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def start(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._ending.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            with near:
                while (request := _read_head(near)) is not None:
                    if not self._forward(near, request[0]):
                        return
        except OSError:
            return

    def _forward(self, near: socket.socket, request: bytes) -> bool:
        lines = request.decode("latin-1").split("\r\n")
        wanted = next((line for line in lines if line.lower().startswith("range:")), "")
        with self._lock:
            self.requests.append(wanted.partition(":")[2].strip())
            fault = self.faults.popleft() if self.faults else self.always
        fault = fault or Fault()
        if fault.silent:
            self._ending.wait(30)
            return False
        if fault.status:
            retry = f"Retry-After: {fault.retry_after}\r\n" if fault.retry_after else ""
            near.sendall(f"HTTP/1.1 {fault.status} Fault\r\n{retry}Content-Length: 5\r\n\r\nfault".encode())
            return True
        with socket.create_connection(self._target, 10) as far:
            far.sendall(request)
            answer = _read_head(far)
            assert answer is not None
            head, start = answer
            if fault.header is not None:
                head = _with_header(head, *fault.header)
            near.sendall(head)
            return self._body(near, far, start, _length(answer[0]), fault)

    def _body(self, near: socket.socket, far: socket.socket, data: bytes, length: int, fault: Fault) -> bool:
        passed = 0
        while True:
            if fault.then and passed + len(data) >= fault.after:
                near.sendall(data[: fault.after - passed])
                return self._break(near, data[fault.after - passed :], fault.then)
            near.sendall(_flipped(data, fault.flip - passed))
            passed += len(data)
            if passed >= length:
                return True
            data = far.recv(65536)
            if not data:
                return False

    def _break(self, near: socket.socket, rest: bytes, how: str) -> bool:
        if how == "reset":
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            near.close()
        elif how == "stall":
            self._ending.wait(30)
        elif how == "drip":
            for byte in rest:
                near.sendall(bytes([byte]))
                time.sleep(0.05)
        return False


@contextmanager
def faulty(endpoint: str) -> Iterator[FaultProxy]:
    """A proxy before the bucket at `endpoint`."""
    host, _, port = endpoint.removeprefix("http://").partition(":")
    proxy = FaultProxy((host, int(port)))
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.close()


def _read_head(connection: socket.socket) -> tuple[bytes, bytes] | None:
    """A message's head and what came with it; None at the end."""
    data = b""
    while _HEAD_END not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    end = data.index(_HEAD_END) + len(_HEAD_END)
    return data[:end], data[end:]


def _flipped(data: bytes, at: int) -> bytes:
    if not 0 <= at < len(data):
        return data
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


def _length(head: bytes) -> int:
    for line in head.decode("latin-1").split("\r\n"):
        if line.lower().startswith("content-length:"):
            return int(line.partition(":")[2])
    return 1 << 60


def _with_header(head: bytes, name: str, value: str) -> bytes:
    lines = [line for line in head.decode("latin-1").split("\r\n")[:-2] if not line.lower().startswith(name.lower())]
    return "\r\n".join([*lines, f"{name}: {value}", "", ""]).encode("latin-1")
