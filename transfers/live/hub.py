"""One reader a process, however many streams are open: each subject is read, compared and encoded once a turn, and the
text goes to all who listen. The reader is there while somebody listens, and takes a bounded part of a core."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence

from django.db import Error as DatabaseError
from django.db import connection

from transfers.links import Links
from transfers.live.encoding import Text, encode, encode_both
from transfers.live.happened import MOST_EVENTS, Happened, events_since, last_event
from transfers.live.readings import Readings
from transfers.live.subjects import About, Gone, Subject, subject_of

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
BUSY_PART = 0.15  # at most this part of a core for the reader: more, and larger, subjects are told less often
WAITING_MESSAGES = 30  # a listener that is further behind begins anew
END = None

_hubs: dict[tuple[int, int], Hub] = {}


class Listener:
    """queue: messages, the first of which has everything; END when there will be none. position: the event up to which
    the first one goes."""

    def __init__(self, feed: Feed, brief: bool) -> None:
        self.feed = feed
        self.brief = brief
        self.queue: asyncio.Queue[str | None] = asyncio.Queue(WAITING_MESSAGES)
        self.position = 0

    def put(self, text: str | None) -> None:
        if self.queue.full():  # it fell behind: its stream ends, and it begins anew
            with contextlib.suppress(asyncio.QueueEmpty):
                while True:
                    self.queue.get_nowait()
            text = END
        self.queue.put_nowait(text)

    def take(self, text: Text) -> None:
        self.put(text.brief if self.brief else text.full)


class Feed:
    """A subject and who listens. joining: those who wait for their first message."""

    def __init__(self, key: About, subject: Subject) -> None:
        self.key = key
        self.subject = subject
        self.joining: set[Listener] = set()
        self.listening: set[Listener] = set()
        self.gone = False
        self._start: Text | None = None

    def look(self, links: Links, readings: Readings, again: bool) -> tuple[Text | None, Text | None]:
        """(what changed since the last turn, all of it for those who join), each None where nobody needs it.

        again: it is time to look again; else only a subject that nobody has looked at is read.
        """
        update = None
        try:
            if again or not self.subject.seen:
                update = encode_both("update", self.subject.update(links, readings), self.subject.bulky)
                self._start = None
        except DatabaseError as error:
            logger.warning("streams wait for the database subject=%s error=%s", self.key, error)
        except Gone:
            self.gone = True
        if self.joining and self._start is None and self.subject.seen:
            self._start = encode_both("start", self.subject.whole(), self.subject.bulky)
        return update, self._start if self.joining else None

    def tell(self, update: Text | None, start: Text | None, joined: Sequence[Listener], position: int | None) -> None:
        """joined: who get the start, which goes up to the event `position`."""
        if update is not None:
            for listener in self.listening:
                listener.take(update)
        if start is not None and position is not None:
            for listener in joined:
                if listener in self.joining:
                    listener.position = position
                    listener.take(start)
                    self.joining.remove(listener)
                    self.listening.add(listener)

    def end(self) -> None:
        self.gone = True
        for listener in self.joining | self.listening:
            listener.put(encode("end", {}))
            listener.put(END)


class Hub:
    """The reader of one event loop. Its feeds are changed in the loop alone; the reading is done in a thread."""

    def __init__(self, links: Links) -> None:
        self.links = links
        self.feeds: dict[About, Feed] = {}
        self.position: int | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._due = 0.0

    def join(self, about: About, brief: bool) -> Listener:
        feed = self.feeds.get(about)
        if feed is None or feed.gone:
            feed = self.feeds[about] = Feed(about, subject_of(about))
        listener = Listener(feed, brief)
        feed.joining.add(listener)
        self._wake.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="reader of the live streams")
        return listener

    def leave(self, listener: Listener) -> None:
        feed = listener.feed
        feed.joining.discard(listener)
        feed.listening.discard(listener)
        if not feed.joining and not feed.listening and self.feeds.get(feed.key) is feed:
            del self.feeds[feed.key]
        if not self.feeds and self._task is not None:
            self._forget()
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while self.feeds:
                with contextlib.suppress(TimeoutError):  # somebody joined, or it is time
                    await asyncio.wait_for(self._wake.wait(), max(0.0, self._due - time.monotonic()))
                self._wake.clear()
                await self._turn()
        finally:
            # Also after a fault of ours: the streams end then, and their readers come back to a new hub.
            self._forget()
            for feed in self.feeds.values():
                for listener in feed.joining | feed.listening:
                    listener.put(END)

    async def _turn(self) -> None:
        began, busy = time.monotonic(), time.thread_time()
        again = began >= self._due
        feeds = [feed for feed in self.feeds.values() if again or feed.joining]
        joined = {feed: list(feed.joining) for feed in feeds}
        found, texts, spent = await asyncio.to_thread(self._read, feeds, again)
        events = found or []
        if again:
            # Of the processor's time, not of the clock's: on a busy machine a turn takes long and costs no more.
            spent += time.thread_time() - busy
            self._due = began + max(INTERVAL_SECONDS, spent / BUSY_PART)
        if events:
            self.position = events[-1].id
        for feed, (update, start) in zip(feeds, texts, strict=True):
            self._tell_events(feed, events)
            feed.tell(update, start, joined[feed], self.position)
            # Not before all its events were told.
            if feed.gone or (feed.subject.ended and found is not None and len(found) < MOST_EVENTS):
                feed.end()
                self.feeds.pop(feed.key, None)

    def _tell_events(self, feed: Feed, events: Sequence[Happened]) -> None:
        text = "".join(event.text for event in events if feed.key in (None, event.job))
        if text:
            for listener in feed.listening:
                listener.put(text)

    def _read(
        self, feeds: Sequence[Feed], again: bool
    ) -> tuple[list[Happened] | None, list[tuple[Text | None, Text | None]], float]:
        """The new events, None if they were not looked for or could not be read; each feed's messages; and the
        processor's seconds that it took."""
        began = time.thread_time()
        try:
            events = self._new_events() if again else None
            readings = Readings(self.links.scheduler)
            texts = [feed.look(self.links, readings, again) for feed in feeds]
            return events, texts, time.thread_time() - began
        finally:
            connection.close()  # this thread's; a stream that stays open must not hold one

    def _new_events(self) -> list[Happened] | None:
        try:
            if self.position is None:
                self.position = last_event(self.links.cell)
                return []
            return events_since(self.links.cell, self.position)
        except DatabaseError as error:
            logger.warning("streams wait for the database's events error=%s", error)
            return None

    def _forget(self) -> None:
        key = _key(self.links)
        if _hubs.get(key) is self:
            del _hubs[key]


def hub_of(links: Links) -> Hub:
    """The hub of the running event loop."""
    key = _key(links)
    hub = _hubs.get(key)
    if hub is None:
        hub = _hubs[key] = Hub(links)
    return hub


def _key(links: Links) -> tuple[int, int]:
    return id(asyncio.get_running_loop()), id(links)
