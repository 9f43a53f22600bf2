"""What the processes of one cell have to agree on: the keys in Redis, what scripts answer, how peers ask for shards.

An agent is let in when its number is within the coordinator's range. The number goes up with a change that the version
before cannot work with; OLDEST follows once nobody needs to come from there any more. docs/upgrading.md says what that
means for an upgrade.
"""

from __future__ import annotations

PROTOCOL = 1
OLDEST = 1  # that the coordinator of this version takes in


def spoken() -> str:
    """What a coordinator of this version writes into Redis for nodes to look at."""
    return f"{OLDEST} {PROTOCOL}"
