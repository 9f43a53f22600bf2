"""Who was handed something: the server tells of every push into an inbox, so that none is looked at in vain."""

from __future__ import annotations

from typing import Any

import redis

CHANNEL = b"__keyevent@*__:rpush"


class Pushes:
    """A connection that hears of pushes. `drain` gives the keys pushed to by all that this process called before."""

    def __init__(self, client: redis.Redis) -> None:
        client.config_set("notify-keyspace-events", "El")
        kwargs: dict[str, Any] = {**client.connection_pool.connection_kwargs, "protocol": 2, "decode_responses": False}
        self._connection = client.connection_pool.connection_class(**kwargs)
        self._connection.connect()
        self._connection.send_command("PSUBSCRIBE", CHANNEL)
        self._connection.read_response()

    def drain(self) -> list[str]:
        """Every push up to now: the answer to a ping comes after all of them."""
        keys = []
        self._connection.send_command("PING")
        while (message := self._connection.read_response())[0] == b"pmessage":
            keys.append(message[3].decode())
        return keys

    def close(self) -> None:
        self._connection.disconnect()
