"""One reader a job and process, however many pages look at it: each picture is read, compared and encoded once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from django.db import Error as DatabaseError
from django.db import connection

from transfers.links import Links
from transfers.live.delta import DeltaWriter
from transfers.live.picture import Picture, read_picture
from transfers.models import Job

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
BUSY_PART = 0.15  # at most this part of a core for one job's reader: larger fleets are shown less often
KEEP_ALIVE_SECONDS = 15.0
STREAM_SECONDS = 3600.0  # then the page connects again, and has to be allowed again
WAITING_MESSAGES = 30  # a reader that is further behind begins anew
RETRY_MS = 2000
END = None

_feeds: dict[tuple[int, uuid.UUID], Feed] = {}


class Feed:
    """Reads the job while somebody listens."""

    def __init__(self, links: Links, job_id: uuid.UUID) -> None:
        self.links = links
        self.job_id = job_id
        self.writer = DeltaWriter()
        self.queues: set[asyncio.Queue[str | None]] = set()
        self.task: asyncio.Task[None] | None = None
        self.first = asyncio.Event()
        self.ended = False

    def join(self) -> asyncio.Queue[str | None]:
        queue: asyncio.Queue[str | None] = asyncio.Queue(WAITING_MESSAGES)
        self.queues.add(queue)
        if self.task is None:
            self.task = asyncio.create_task(self._run(), name=f"feed of {self.job_id.hex}")
        return queue

    def leave(self, queue: asyncio.Queue[str | None]) -> None:
        self.queues.discard(queue)
        if not self.queues and self.task is not None:
            self._forget()
            self.task.cancel()

    def _forget(self) -> None:
        key = (id(asyncio.get_running_loop()), self.job_id)
        if _feeds.get(key) is self:
            del _feeds[key]

    async def _run(self) -> None:
        try:
            while not self.ended:
                began = time.monotonic()
                await self._turn()
                await asyncio.sleep(max(INTERVAL_SECONDS, (time.monotonic() - began) / BUSY_PART))
        finally:
            # Also after a fault of ours: the streams end then, and the pages come back to a new feed.
            self._forget()
            self.first.set()
            self._send(END)

    async def _turn(self) -> None:
        try:
            picture = await asyncio.to_thread(_read, self.links, self.job_id, self.writer.sent)
        except DatabaseError as error:
            logger.warning("live page waits for the database job=%s error=%s", self.job_id.hex, error)
            return
        except Job.DoesNotExist:
            self.ended = True
            return
        message = self.writer.next(picture)
        if self.first.is_set():
            self._send(encode("update", message))
        self.first.set()
        self.ended = picture.ended
        if self.ended:
            self._send(END)

    def _send(self, text: str | None) -> None:
        for queue in list(self.queues):
            if queue.full():  # a reader that fell behind: its stream ends, and the page begins anew
                with contextlib.suppress(asyncio.QueueEmpty):
                    while True:
                        queue.get_nowait()
                text_for_it: str | None = END
            else:
                text_for_it = text
            queue.put_nowait(text_for_it)


def _read(links: Links, job_id: uuid.UUID, old: Picture | None) -> Picture:
    try:
        return read_picture(links, job_id, old)
    finally:
        connection.close()  # this thread's; a page that stays open must not hold one


def feed_of(links: Links, job_id: uuid.UUID) -> Feed:
    """The feed of a job in the running event loop."""
    key = (id(asyncio.get_running_loop()), job_id)
    feed = _feeds.get(key)
    if feed is None or feed.ended:
        feed = _feeds[key] = Feed(links, job_id)
    return feed


async def stream(links: Links, job_id: uuid.UUID) -> AsyncIterator[str]:
    """Server-sent events: "start" with everything, "update" with what changed, "end" when nothing more will."""
    feed = feed_of(links, job_id)
    queue = feed.join()
    until = time.monotonic() + STREAM_SECONDS
    try:
        yield f"retry: {RETRY_MS}\n\n"
        await feed.first.wait()
        if feed.writer.sent is None:
            if feed.ended:  # the job was deleted
                yield encode("end", {})
            return
        while not queue.empty():  # all of it is in the picture that comes now
            queue.get_nowait()
        yield encode("start", feed.writer.whole())
        if feed.ended:
            yield encode("end", {})
            return
        while time.monotonic() < until:
            try:
                message = await asyncio.wait_for(queue.get(), KEEP_ALIVE_SECONDS)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            if message is END:
                if feed.ended:
                    yield encode("end", {})
                return
            yield message
    finally:
        feed.leave(queue)


def encode(event: str, data: dict[str, Any]) -> str:
    return f"event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
