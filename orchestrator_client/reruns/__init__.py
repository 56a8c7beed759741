"""Runs that keep results of a run that has ended: what they keep, what they do again and why, and how they begin."""
