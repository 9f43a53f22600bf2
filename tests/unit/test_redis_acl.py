"""The agents' user of Redis has what the scripts use, which change: nobody has to find that out by a refusal."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from nodes.redis_acl import agent_rules
from transfers.scheduler import scripts
from transfers.scheduler.scripts import AGENT_OPERATIONS

CELL = "{fdist:main}:"
COORDINATORS = {
    "coordinator",
    "job_seq",
    "admitted",
    "asking",
    "refusals",
    "enrolment",
    "protocol",
    "currents",
    "currents_rev",
}


def patterns(*kinds: str) -> list[str]:
    """What follows the cell's prefix in rules that begin so."""
    starts = tuple(f"{kind}{CELL}" for kind in kinds)
    return [rule.partition(CELL)[2] for rule in agent_rules("main") if rule.startswith(starts)]


def test_every_key_that_a_script_makes_is_one_that_agents_may_change_or_is_the_coordinators() -> None:
    texts = [path.read_text() for path in scripts.FOLDER.rglob("*.lua")]
    made = {name for text in texts for name in re.findall(r"P \.\. '([a-z_:]+)'", text)}
    assert {"n:", "j:", "stamp", "seen"} <= made
    allowed = [each.replace("[^p]", "[!p]") for each in patterns("~", "%W~")]
    parts = {f"j:{'0' * 32}:have:1" if name == "j:" else f"{name}x" if name.endswith(":") else name for name in made}
    refused = {name for name in parts if not any(fnmatchcase(name, each) for each in allowed)}
    assert refused - COORDINATORS == set()


def test_parts_of_a_job_are_agents_but_for_its_plan() -> None:
    texts = [path.read_text() for path in scripts.FOLDER.rglob("*.lua")]
    made = {name for text in texts for name in re.findall(r"\.\. ':([a-z]+)", text)} - {"orders", "dropped", "accused"}
    allowed = [each.replace("[^p]", "[!p]") for each in patterns("~")]
    refused = {name for name in made if not any(fnmatchcase(f"j:{'0' * 32}:{name}", each) for each in allowed)}
    assert refused == {"plan"}


def test_every_operation_is_an_agents_or_the_coordinators() -> None:
    """An operation that is new has to be thought about: who calls it?"""
    guarded = {name for name in scripts.names() if "coordinator_only()" in scripts._body(name)}
    assert guarded | set(AGENT_OPERATIONS) == set(scripts.names())
    assert guarded & set(AGENT_OPERATIONS) == {"job_set"}  # agents say that a job failed, and nothing else
