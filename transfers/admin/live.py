"""A job's page in the admin as the scheduler has the job now: the picture that its live page begins with."""

from __future__ import annotations

from collections import Counter

from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display

from transfers.admin.base import STATE_LABELS, whole
from transfers.links import get_links
from transfers.live.picture import Picture, read_picture
from transfers.models import Job
from transfers.words import rate_text, size_text

LINK = '<a class="text-primary-600 underline dark:text-primary-500" href="{}">open</a>'  # words of the theme's styles


class LiveJob:
    """Columns that are of now; what the record says is shown, and said to be old, while the scheduler is away."""

    live_fields = ("live_state", "live_part", "live_nodes", "live_moving", "live_moved", "live_why", "live")

    @display(description="State now", label=STATE_LABELS)
    def live_state(self, job: Job) -> str:
        return picture_of(job).state

    @display(description="There")
    def live_part(self, job: Job) -> str:
        now = picture_of(job)
        wanted = len(now.nodes) * now.shard_count
        text = f"{now.part * 100:.1f} %, {now.shards_held:,} of {wanted:,} shards on all nodes"
        return text if now.source_seen else f"{text} (by the record: the scheduler cannot be reached)"

    @display(description="Nodes now")
    def live_nodes(self, job: Job) -> str:
        states = Counter(node.state for node in picture_of(job).nodes.values())
        return ", ".join(f"{count:,} {state}" for state, count in states.most_common()) or "none"

    @display(description="Moving now")
    def live_moving(self, job: Job) -> str:
        now = picture_of(job)
        rate = sum(node.rate for node in now.nodes.values())
        return f"{len(now.transfers):,} shards" + (f", at {whole(rate_text(rate))}" if rate else "")

    @display(description="Moved")
    def live_moved(self, job: Job) -> str:
        now = picture_of(job)
        return f"{size_text(now.moved_gcs)} out of the bucket, {size_text(now.moved_peer)} between nodes"

    @display(description="What holds it up")
    def live_why(self, job: Job) -> str:
        now = picture_of(job)
        why = Counter(node.why for node in now.nodes.values() if node.why)
        return now.error or "; ".join(f"{text} ({count:,})" for text, count in why.most_common(3)) or "nothing"

    @display(description="Live page")
    def live(self, job: Job) -> str:
        return format_html(LINK, reverse("job", args=[job.pk]))


def picture_of(job: Job) -> Picture:
    """Read once for each row that is shown."""
    found: Picture | None = getattr(job, "_picture", None)
    if found is None:
        found = read_picture(get_links(), job.pk, with_bits=False)
        job._picture = found  # type: ignore[attr-defined]
    return found
