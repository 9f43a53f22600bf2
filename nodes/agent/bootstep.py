"""Starts and stops the agent with the Celery worker that carries it."""

from __future__ import annotations

from typing import Any

from celery import bootsteps

from nodes.agent.agent import Agent

_running: list[Agent] = []


def current_agent() -> Agent:
    """The agent of this process; raises RuntimeError outside an agent's worker."""
    if not _running:
        raise RuntimeError("no agent runs in this process")
    return _running[0]


def stop_running_agent() -> None:
    """Ask the agent of this process, if there is one, to take no more work."""
    for agent in _running:
        agent.stop_taking()


def end_long_poll(worker: Any) -> None:
    """Close the socket on which the consumer waits for messages.

    It is about to close its connection, and would first wait for the answer to its last poll: up to the
    `polling_interval` of the broker's options, which is long because thousands of workers poll.
    """
    connection = getattr(worker.consumer, "connection", None)
    if connection is None or not connection.connected:
        return
    for channel in connection.transport.channels:
        client = channel.__dict__.get("client")  # a cached property: absent if nothing was ever polled
        if client is not None and client.connection is not None:
            client.connection.disconnect()


class AgentStep(bootsteps.StartStopStep):
    """A step of the worker, not of its consumer: it stays up while the broker is down and through reconnects.

    It needs the pool, so that it is stopped before the pool waits for the drain to end. The application's
    `agent_config` gives the agent's configuration.
    """

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        agent = Agent(worker.app.agent_config())
        _running.append(agent)
        agent.start()

    def stop(self, worker: Any) -> None:
        while _running:
            _running.pop().stop()
        end_long_poll(worker)

    def terminate(self, worker: Any) -> None:
        self.stop(worker)
