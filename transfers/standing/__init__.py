"""Standing distributions: what is asked for, what to do next, and how it is done. The coordinator's part calls it."""
