"""Nudges: messages that say "there may be work for you", one queue a node. They carry no state."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kombu import Exchange, Queue
from kombu.exceptions import OperationalError

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger(__name__)

DRAIN_TASK = "fdist.drain"
EXPIRES = 300  # seconds; an older nudge says nothing that a heartbeat has not said since
CONNECT_RETRIES = 1  # a broker that is down should not hold up who nudges
ANONYMOUS = Exchange("")  # routes by the queue's name: one command a message, and no bindings to read


def queue_name(node: str) -> str:
    """The name of the queue that a node's agent reads."""
    return f"node.{node}"


def node_queue(node: str) -> Queue:
    """A node's queue, to publish to; nothing is declared in the broker."""
    name = queue_name(node)
    return Queue(name, ANONYMOUS, routing_key=name, no_declare=True)


def nudge(app: Celery, job: str, nodes: Iterable[str]) -> int:
    """Tell nodes that a job may have work for them; gives how many messages the broker took.

    app: the application of fdist_site.celery. nodes: those that live; a dead node's queue only grows.

    A broker that cannot be reached is logged and no error: a nudge that was lost costs a heartbeat's time.
    Cost: one connection, then one command and about 0.5 ms a node.
    """
    sent = 0
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=CONNECT_RETRIES, interval_start=0)
            producer = app.amqp.Producer(connection)
            for node in nodes:
                queue: Any = node_queue(node)  # Celery's stubs know queues by name alone
                app.send_task(
                    DRAIN_TASK,
                    kwargs={"job": job},
                    queue=queue,
                    producer=producer,
                    expires=EXPIRES,
                    ignore_result=True,
                    retry=False,
                )
                sent += 1
    except OperationalError as error:
        logger.warning("nudges not sent job=%s sent=%d error=%s", job, sent, error)
    return sent
