"""The Celery application: what an agent runs as its worker, and what the coordinator publishes nudges with.

The settings are chosen for thousands of workers on one broker: two connections a worker, one key a queue, nothing that
workers tell each other, and messages that are acknowledged at once, since a message only says "look for work".
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_shutting_down

from fdist_site import conf
from transfers.nudge import node_queue

BROKER_TRANSPORT_OPTIONS = {
    # A nudge is not worth restoring. Without this the transport keeps a copy of each message until it is acknowledged,
    # and looks for old ones under a lock that it gives back by a script of its own, which agents' users may not run.
    "ack_emulation": False,
    "polling_interval": 10,  # seconds a worker's BRPOP blocks; a message still arrives at once
    "priority_steps": [0],  # one key a queue, not four
    "socket_timeout": 30,
    "socket_connect_timeout": 10,
    "socket_keepalive": True,
    "health_check_interval": 15,
}


class FdistCelery(Celery):
    """With where an agent that runs in its worker gets its configuration."""

    agent_config = staticmethod(conf.agent_config)


def make_app(broker_url: str, node: str = "") -> FdistCelery:
    """An application on the broker; the parts that only a worker needs are imported when a worker starts.

    node: whose worker it is; its queue is declared here, since one that only the command line names would leave
    bindings in the broker for ever.
    """
    app = FdistCelery("fdist", broker=broker_url, set_as_current=False)
    app.conf.update(
        broker_transport_options=BROKER_TRANSPORT_OPTIONS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # never give up: the broker will be back
        broker_pool_limit=1,
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=False,  # a nudge is lost or done; leases recover the work itself
        task_reject_on_worker_lost=False,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # transfers do not need the broker
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        task_send_sent_event=False,
        worker_soft_shutdown_timeout=20,
        worker_hijack_root_logger=False,
        task_serializer="json",
        accept_content=["json"],
        task_create_missing_queues=True,
        task_queues=[node_queue(node)] if node else None,
        timezone="UTC",
        include=["nodes.agent.tasks"],
    )
    app.steps["worker"].add("nodes.agent.bootstep:AgentStep")
    return app


app = agent_app = make_app(conf.broker_url(), conf.node_name())


@worker_shutting_down.connect(weak=False, dispatch_uid="fdist-agent-stop")
def stop_taking_work(**_kwargs: Any) -> None:
    """SIGTERM reaches movers at once: the pool's threads cannot be stopped from outside, only asked."""
    from nodes.agent.bootstep import stop_running_agent

    stop_running_agent()


@setup_logging.connect(weak=False, dispatch_uid="fdist-agent-log")
def log_lines(**_kwargs: Any) -> None:
    """One format for all that an agent logs."""
    from nodes.agent.log import set_up

    set_up(conf.log_level(), conf.log_format())
