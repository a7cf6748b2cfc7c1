"""Time, steps and patches to a fixed validation Dice with batches of 1 to 16 and `auto`."""

TAKES = "30 min"
