"""Who may do what in Redis: one user for all agents, one for the coordinator.

An operation of the scheduler runs with the rights of whoever calls it, so agents have the commands that their
operations give, on the keys of their cell that those change. What they may only read: the enrolment of nodes, jobs'
plans. What is the coordinator's alone (making jobs, ending them, ordering nodes about) begins with a write that agents
may not do.
docs/security.md says what this does and does not stop.

A key is found by the first pattern that fits, so those that every operation uses come first.
"""

from __future__ import annotations

from transfers.scheduler.keys import Keys
from transfers.scheduler.scripts import AGENT_OPERATIONS, commands

AGENT = "fdist-agents"
COORDINATOR = "fdist-coordinator"

_JOB_ID = "?" * 32  # a UUID in hexadecimal
# Keys of the cell (transfers/scheduler/keys.py) that agents' operations change. ":[^p]*" leaves a job's plan out.
_WRITTEN = (
    "n:*",
    f"j:{_JOB_ID}",
    "j:*:[^p]*",
    "j:*:pa*",  # pace, parked
    "",  # the prefix, which each call names
    "stamp",
    "tmp",
    "underway",
    "seen",
    "due",
    "behind",
    "up",
    "slow",
    "shunned",
    "nodes",
    "names",
    "jobs",
    "lease_seq",
    "node_seq",
    "zones",
    "zone:*",
    "slow_count",
    "trials",
    "inventory",
    "totals",
    "asking",
)
_READ = ("j:*:plan", "enrolment", "protocol", "admitted", "refusals", "currents", "currents_rev")
_APPENDED = ("events",)
# Of Celery's transport: the nodes' queues.
_BROKER_KEYS = ("node.*",)
_BROKER_COMMANDS = ("brpop", "llen", "lpush", "rpush", "multi", "exec")
_CONNECTION = ("auth", "hello", "ping", "select", "quit", "reset", "echo", "client|setname", "client|id")
_OWN = ("fcall", "time", "get", "hget", "hgetall", "hset", "blpop", "lpop")  # what the agent calls by itself

# Beyond reading and writing: the coordinator loads the functions, and its pages show how the server is.
_COORDINATOR_MORE = ("time", "function|load", "script|load", "info", "slowlog|len", "acl|whoami")
LATER = ("client|setinfo",)  # that clients give when they connect, and that Redis 7.0 does not know
_COORDINATOR_NEVER = ("flushall", "flushdb", "keys", "swapdb", "migrate", "restore", "debug", "config", "shutdown")


def agent_rules(cell: str) -> list[str]:
    """The rules of the agents' user, without its password, as ACL SETUSER takes them."""
    prefix = Keys(cell).prefix
    allowed = {each.lower() for each in commands(AGENT_OPERATIONS)} | {*_OWN, *_BROKER_COMMANDS, *_CONNECTION}
    return [
        *(f"~{prefix}{key}" for key in _WRITTEN),
        *(f"%R~{prefix}{key}" for key in _READ),
        *(f"%W~{prefix}{key}" for key in _APPENDED),
        *(f"~{key}" for key in _BROKER_KEYS),
        "resetchannels",
        "-@all",
        *(f"+{command}" for command in sorted(allowed)),
    ]


def coordinator_rules(cell: str) -> list[str]:
    """The rules of the coordinator's user, without its password."""
    return [
        f"~{Keys(cell).prefix}*",
        f"~fdist-lead:{cell}:*",
        *(f"~{key}" for key in _BROKER_KEYS),
        "resetchannels",
        "-@all",
        "+@read",
        "+@write",
        "+@connection",
        "+@transaction",
        "+@scripting",
        *(f"+{command}" for command in _COORDINATOR_MORE),
        *(f"-{command}" for command in _COORDINATOR_NEVER),
    ]
