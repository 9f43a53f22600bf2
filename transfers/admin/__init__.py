"""The admin site of the record."""

from transfers.admin.job import JobAdmin
from transfers.admin.parts import JobNodeAdmin, TransferAdmin
from transfers.admin.standing import StandingAdmin
from transfers.admin.webhook import WebhookAdmin

__all__ = ["JobAdmin", "JobNodeAdmin", "StandingAdmin", "TransferAdmin", "WebhookAdmin"]
