"""What people do to a job that is there already, with the words of the button, and who may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from transfers import reopening, submission
from transfers.models import Job


@dataclass(frozen=True)
class Act:
    """states: of the job, in which it makes sense. ask: what to confirm first. run: takes the job and who does it.

    fits: whether it makes sense for the job as it is otherwise.
    """

    name: str
    states: tuple[str, ...]
    permission: str
    run: Callable[[Job, str], object]
    past: str
    ask: str = ""
    fits: Callable[[Job], bool] = lambda job: True


BEGUN = ("planned", "running")
ENDED = ("complete", "failed", "cancelled")
ANY = (*BEGUN, "paused", *ENDED)
CHANGE = "transfers.change_job"

ACTS = {
    act.name: act
    for act in (
        Act(
            "pause",
            BEGUN,
            CHANGE,
            lambda job, who: submission.pause(job, reason=f"by {who}"),
            "Paused",
        ),
        Act("resume", ("paused",), CHANGE, lambda job, who: submission.resume(job, reason=f"by {who}"), "Resumed"),
        Act("retry", ENDED, CHANGE, lambda job, who: reopening.retry(job), "Retried"),
        Act("verify", ("complete",), CHANGE, lambda job, who: reopening.verify(job), "Verified"),
        Act(
            "pin",
            ANY,
            CHANGE,
            lambda job, who: submission.pin(job),
            "Pinned",
            fits=lambda job: not job.pinned and job.purged_at is None,
        ),
        Act("unpin", ANY, CHANGE, lambda job, who: submission.unpin(job), "Unpinned", fits=lambda job: job.pinned),
        Act(
            "cancel",
            (*BEGUN, "paused"),
            "transfers.cancel_job",
            lambda job, who: submission.cancel(job, f"cancelled by {who}"),
            "Cancelled",
            ask="Cancel this job on every node?",
        ),
        Act(
            "purge",
            ENDED,
            "transfers.purge_job",
            lambda job, who: submission.purge(job),
            "Purged",
            ask="Remove the files of this job from every node?",
        ),
    )
}
