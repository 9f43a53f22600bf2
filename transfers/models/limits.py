"""Bounds of stored values."""

MAX_CRC32C = 2**32 - 1
