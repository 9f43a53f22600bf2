"""From what was asked, what the bucket holds and what the nodes are, to a plan; or to a PlanError that names the field.

Pure: no socket, no database, no clock. `transfers.sources` fetches the listing, `transfers.submission` puts the pieces
together. A source is an object, a prefix, or a manifest of pre-cut shards, whose format is in `manifest`.
"""

from transfers.planning.cutting import auto_shard_size
from transfers.planning.listing import Listing, SourceObject
from transfers.planning.manifest import Manifest, parse_manifest
from transfers.planning.plan import JobPlan, draft_job, plan_job
from transfers.planning.request import JobRequest
from transfers.planning.source import SourceUri, parse_source
from transfers.planning.targets import NodeFacts

__all__ = [
    "JobPlan",
    "JobRequest",
    "Listing",
    "Manifest",
    "NodeFacts",
    "SourceObject",
    "SourceUri",
    "auto_shard_size",
    "draft_job",
    "parse_manifest",
    "parse_source",
    "plan_job",
]
