"""A discrete-event simulation of a fleet that drives the real scheduler scripts in virtual time."""
