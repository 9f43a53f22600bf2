"""Telling other programs what becomes of jobs: what to tell, to which address, signed, until it has arrived."""
