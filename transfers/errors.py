"""The error family of fdist: each class says what the caller can do, each message is a sentence with its numbers."""

from __future__ import annotations


class FdistError(Exception):
    """The base of every error that fdist raises on purpose."""


class PlanError(FdistError):
    """A job that cannot work as asked: tell the user which field to change.

    field: the request's field at fault, as the API spells it ("source", "nodes", "shard_size", ...).
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class InvalidTransition(FdistError):
    """A state change that the record does not allow, such as cancelling a job that has ended."""


class NotEnrolled(FdistError):
    """The node's enrolment key is not one that this cell knows: get a new key from the coordinator."""


class WrongProtocol(NotEnrolled):
    """Agent and coordinator are of versions that cannot work together: upgrade the one that the message names."""


class StaleNode(FdistError):
    """The scheduler does not know this node, or knows a later start of it: register again."""


class NoSuchJob(FdistError):
    """The scheduler holds no such job: it ended, was forgotten, or Redis lost it (the coordinator rebuilds it)."""


class SourceChanged(FdistError):
    """The bucket no longer has the object at the pinned generation: give up and tell the user."""


class SourceBusy(FdistError):
    """The bucket kept refusing after every retry: try the shard again later."""


class SourceRefused(FdistError):
    """The bucket said no in a way that retrying cannot change (permission, bad request)."""


class PeerFailed(FdistError):
    """A peer could not give the shard: blame it, and ask the scheduler for another source.

    why: one word for the record: refused, reset, short, stalled, slow, busy, ticket, garbage, missing,
    untrusted (TLS: not the certificate that was meant).
    """

    def __init__(self, why: str, message: str) -> None:
        super().__init__(message)
        self.why = why


class CorruptShard(FdistError):
    """The bytes arrived, and their digest is not the shard's."""


class DiskFull(FdistError):
    """The node's disk cannot take the job: free space or exclude the node."""


class StoreError(FdistError):
    """The node's data directory cannot be used: read-only, a foreign file in the way, a damaged state file."""


class Tampered(FdistError):
    """What Redis says of a job is not what the coordinator signed: take nothing of it, and tell the operator."""


class BadTicket(FdistError):
    """A shard was asked for without a valid ticket."""


class Cancelled(FdistError):
    """The transfer was told to stop; what it had received stays for a resume unless the job was cancelled."""
