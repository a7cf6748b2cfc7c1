"""Seconds and memory of one pass of the notes' network on each engine."""

TAKES = "8 min, 5 GB"
