"""Validation Dice and gradients of one network under each loss; what each loss costs."""

TAKES = "28 min"
