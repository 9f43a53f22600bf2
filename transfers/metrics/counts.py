"""What happened, counted by the coordinator's process as it does its work; all begins at 0 when that starts.

Two coordinators share the work, so sum over them: `sum(rate(fdist_transfers_total[5m]))`.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from transfers.exposition import new_registry

REGISTRY = new_registry()

# Why transfers fail, as agents and the scheduler say it. Whatever else they say is "other": a label has few values.
REASONS = frozenset(
    [
        "busy",
        "changed",
        "dead",
        "digest",
        "disk",
        "error",
        "garbage",
        "late",
        "left",
        "missing",
        "refused",
        "reset",
        "short",
        "slow",
        "stalled",
        "ticket",
    ]
)
SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
RATIOS = (0.1, 0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0)
# 0.999: with nothing below 1, a quantile of jobs that read the bucket once would be drawn as half of it.
COPIES = (0.999, 1.0, 1.001, 1.01, 1.02, 1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0)
DURATIONS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)

BYTES = Counter(
    "fdist_transfer_bytes", "Bytes that moved to nodes, also by tries that failed.", ["source"], registry=REGISTRY
)
ACROSS_ZONES = Counter(
    "fdist_transfer_bytes_across_zones",
    "Of those from peers, bytes from a node of one zone to a node of another.",
    registry=REGISTRY,
)
TRANSFERS = Counter(
    "fdist_transfers", "Shards on their way to a node that ended.", ["source", "outcome"], registry=REGISTRY
)
FAILURES = Counter(
    "fdist_transfer_failures", "Transfers that did not succeed and were tried again.", ["reason"], registry=REGISTRY
)
VERIFICATION_FAILURES = Counter(
    "fdist_verification_failures", "Checksums that were wrong, of shards and of whole files.", ["of"], registry=REGISTRY
)
EXPIRED = Counter("fdist_leases_expired", "Transfers that made no progress until their lease ended.", registry=REGISTRY)
JOBS_ENDED = Counter("fdist_jobs_ended", "Jobs that ended.", ["state"], registry=REGISTRY)
NODES_DIED = Counter("fdist_nodes_died", "Nodes that were declared dead.", registry=REGISTRY)
AMPLIFICATION = Histogram(
    "fdist_job_amplification_ratio",
    "Bytes out of the bucket divided by the payload, of complete jobs.",
    buckets=COPIES,
    registry=REGISTRY,
)
EFFICIENCY = Histogram(
    "fdist_job_efficiency_ratio",
    "Time that a link of FDIST_LINK_RATE needs for the payload, divided by the time that nodes of complete jobs took.",
    ["node"],
    buckets=RATIOS,
    registry=REGISTRY,
)
DURATION = Histogram(
    "fdist_job_duration_seconds", "From the start of complete jobs to their end.", buckets=DURATIONS, registry=REGISTRY
)
EVENTS = Counter("fdist_recorder_events", "Events of the scheduler written to the record.", registry=REGISTRY)
BATCH = Histogram(
    "fdist_recorder_batch_seconds", "Writing a batch of events to the record.", buckets=SECONDS, registry=REGISTRY
)
STEP = Histogram(
    "fdist_coordinator_step_seconds",
    "One step of a part of the coordinator; the recorder's includes its wait for events.",
    ["part"],
    buckets=SECONDS,
    registry=REGISTRY,
)
STEP_FAILURES = Counter("fdist_coordinator_step_failures", "Steps that ended in an error.", ["part"], registry=REGISTRY)
LEADING = Gauge(
    "fdist_coordinator_leading",
    "1 where this process does the part's work, 0 where it stands by.",
    ["part"],
    registry=REGISTRY,
)
PRUNED = Counter("fdist_pruned_rows", "Rows of history that were kept no longer.", ["table"], registry=REGISTRY)

for _source in ("bucket", "peer"):  # a series that is not there yet cannot be told from one that is not asked for
    BYTES.labels(_source)
    for _outcome in ("done", "failed", "expired", "corrupt"):
        TRANSFERS.labels(_source, _outcome)
for _reason in (*REASONS, "other"):
    FAILURES.labels(_reason)
for _of in ("shard", "file"):
    VERIFICATION_FAILURES.labels(_of)
for _state in ("complete", "failed", "cancelled"):
    JOBS_ENDED.labels(_state)
for _node in ("median", "last"):
    EFFICIENCY.labels(_node)


def reason_of(outcome: str, why: str) -> str:
    """The label for why a transfer failed."""
    word = why or outcome
    return "digest" if outcome == "corrupt" else word if word in REASONS else "other"
