"""Streamed prediction against whole passes: exactness, memory, seconds, the largest volume."""

TAKES = "an hour, 12 GB, 3 GB of disk"
