"""Threads that are kept for the next piece of work: as many as there is work at once, none before it comes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

logger = logging.getLogger(__name__)

Work = Callable[[], None]


class ThreadPool:
    """Runs each piece of work at once, in a thread that is free or else in a new one.

    The threads are daemons: what they do can be taken up again after a restart, so a process need not wait for them.
    They stay, because sockets' buffers and per-thread memory are worth keeping warm.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._busy = 0

    def submit(self, work: Work) -> None:
        """Run `work` soon. An error that it lets out is logged: it is a fault of this program."""
        with self._lock:
            self._busy += 1
            if self._busy > len(self._threads):
                thread = threading.Thread(target=self._run, name=f"{self.name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._work.put(work)

    def close(self, timeout: float) -> bool:
        """Let the threads end after what they have; False when some still ran after `timeout` seconds."""
        with self._lock:
            threads = list(self._threads)
        for _ in threads:
            self._work.put(None)
        for thread in threads:
            thread.join(timeout / max(len(threads), 1))
        return not any(thread.is_alive() for thread in threads)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except Exception:
                logger.exception("work failed thread=%s", threading.current_thread().name)
            finally:
                with self._lock:
                    self._busy -= 1
