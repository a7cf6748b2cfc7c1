"""Patches a second by precision, layout and compiler; of the cache and of augmentation."""

TAKES = "7 min"
