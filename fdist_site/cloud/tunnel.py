"""A way to the coordinator's port from here: an IAP tunnel, opened again when it breaks."""

from __future__ import annotations

import subprocess
from types import TracebackType

from fdist_site.local.processes import free_port

LISTENING = "127.0.0.1:8000"  # in the command that Terraform gives
STOP_GRACE = 10


class Tunnel:
    """Use as a context manager. command: the output `ui_tunnel` of Terraform, a line for a shell."""

    def __init__(self, command: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = command.replace(LISTENING, f"127.0.0.1:{self.port}")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Tunnel:
        self.keep_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def keep_open(self) -> None:
        """Open it again if it has ended, as it does while there is no machine or nothing listens there."""
        if self._process is not None and self._process.poll() is None:
            return
        self._end()
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {self._command}"],  # a command of our own Terraform configuration
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
