"""A stream of server-sent events about one thing, for pages and for the API."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator

from django.db import connection

from transfers.links import Links
from transfers.live.happened import events_between
from transfers.live.hub import END, Listener, hub_of
from transfers.live.subjects import About

KEEP_ALIVE_SECONDS = 15.0
STREAM_SECONDS = 3600.0  # then the reader connects again, and has to be allowed again
RETRY_MS = 2000


async def stream(links: Links, about: About, *, after: int | None = None, brief: bool = False) -> AsyncIterator[str]:
    """Messages: "start" with everything, "update" with what changed, "happened" for each event of the record, "end".

    about: a job's id, a node's name, standing distributions, or None for the whole fleet. after: the last event that
    the reader saw; those since are told first. A reader that gives none gets those from now on. brief: without what
    only a picture of everything needs.
    """
    hub = hub_of(links)
    listener = hub.join(about, brief)
    until = time.monotonic() + STREAM_SECONDS
    begun = False
    try:
        yield f"retry: {RETRY_MS}\n\n"
        while time.monotonic() < until:
            try:
                text = await asyncio.wait_for(listener.queue.get(), KEEP_ALIVE_SECONDS)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            if text is END:
                return
            if begun:
                yield text
                continue
            begun = True
            # A reader that is cut off from here on comes back with the id that it has by then.
            yield f"id: {listener.position}\n{text}" if after is None else text
            async for missed in _missed(links, about, listener, after):
                yield missed
    finally:
        hub.leave(listener)


async def _missed(links: Links, about: About, listener: Listener, after: int | None) -> AsyncIterator[str]:
    if after is None or after >= listener.position or not (about is None or isinstance(about, uuid.UUID)):
        return
    pages = events_between(links.cell, about, after, listener.position)
    while (page := await asyncio.to_thread(_take, pages)) is not None:
        yield page


def _take(pages: Iterator[str]) -> str | None:
    try:
        return next(pages, None)
    finally:
        connection.close()  # this thread's
