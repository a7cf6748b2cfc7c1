"""On how many of 50 random sizes our networks and MONAI's run, before and after export."""

TAKES = "5 min"
