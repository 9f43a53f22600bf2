"""The admin site of the record."""

from transfers.admin.job import JobAdmin
from transfers.admin.parts import JobNodeAdmin, TransferAdmin

__all__ = ["JobAdmin", "JobNodeAdmin", "TransferAdmin"]
